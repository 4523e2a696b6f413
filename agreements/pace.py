"""How fast to call a service that says when it was too fast, but never how fast it may be."""

# The pace after the first refusal, and the slowest there is: seconds from one call to the next.
_FIRST = 1.0
_SLOWEST = 60.0
# Closer together than this, calls need no pace.
_NONE = 0.01
# By how much each answer quickens the pace: much until it was too fast once more, then little.
_SEARCHING = 1.05
_FOUND = 1.003
_SLOWER = 1.3


class Pace:
    """None until the service refuses, then learned: slower with each refusal, quicker with each answer.

    Slowed by a factor and quickened by a little, callers that know nothing of each other come to equal shares
    of what the service allows (Chiu and Jain, 1989). No clock and no lock of its own.

    Attributes:
        due: when the next call may be made, in seconds by the caller's clock.
    """

    def __init__(self) -> None:
        self.due = 0.0
        self._seconds = 0.0
        self._quicker = _SEARCHING

    def take(self, now: float) -> None:
        """Make a call: the next one is due when the pace has it."""
        self.due = now + self._seconds

    def refused(self) -> None:
        """Slow down: that was too fast."""
        if self._seconds:
            self._quicker = _FOUND
        self._seconds = min(self._seconds * _SLOWER or _FIRST, _SLOWEST)

    def answered(self) -> None:
        """Quicken: that was not too fast."""
        self._seconds /= self._quicker
        if self._seconds < _NONE:
            self._seconds, self._quicker = 0.0, _SEARCHING
