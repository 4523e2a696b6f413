"""How fast to call a service that says when it was too fast, but never how fast it may be."""

# The pace when there first is one, and the slowest: seconds from one call to the next.
_FIRST = 1.0
_SLOWEST = 60.0
# Closer together than this, calls need no pace.
_NONE = 0.01
# By how much each answer quickens the pace: much until it was too fast once more, then little.
_SEARCHING = 1.05
_FOUND = 1.003
_SLOWER = 1.3
# By how much each second does: else a slow pace, with its few answers, would last.
_EACH_SECOND = 1.004
_LONGEST_IDLE = 3600.0
# Whoever comes too fast is refused more than this share of about the last fifty calls. A service that refuses
# less has reasons of its own, and no pace would help.
_MANY = 0.15
_WEIGHT = 1 / 50


class Pace:
    """None until the service refuses many, then learned: slower with refusals, quicker with answers and time.

    Slowed by a factor and quickened by a little, callers that know nothing of each other come to equal shares
    of what the service allows (Chiu and Jain, 1989). No clock and no lock of its own.

    Attributes:
        due: when the next call may be made, in seconds by the caller's clock.
    """

    def __init__(self) -> None:
        self.due = 0.0
        self._taken = 0.0
        self._share = 0.0
        self._seconds = 0.0
        self._quicker = _SEARCHING

    def take(self, now: float) -> None:
        """Make a call: the next one is due when the pace has it."""
        self._quicken(_EACH_SECOND ** min(now - self._taken, _LONGEST_IDLE))
        self._taken = now
        self.due = now + self._seconds

    def refused(self, *, at_this_pace: bool) -> None:
        """Slow down; a call that was on its way before the last refusal only counts."""
        self._share += (1 - self._share) * _WEIGHT
        if not at_this_pace:
            return
        if self._seconds:
            self._seconds, self._quicker = min(self._seconds * _SLOWER, _SLOWEST), _FOUND
        elif self._share > _MANY:
            self._seconds = _FIRST

    def answered(self) -> None:
        """Quicken: that was not too fast."""
        self._share -= self._share * _WEIGHT
        self._quicken(self._quicker)

    def _quicken(self, factor: float) -> None:
        self._seconds /= factor
        if self._seconds < _NONE:
            self._seconds, self._quicker = 0.0, _SEARCHING
