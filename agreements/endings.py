"""What became of the copies of a run, told by where they lie.

A copy carries its run's id wherever it goes, and the function app sends the next copy before it completes the
one in hand. So looking in the order in which copies move (acceptances, retries, then where they come to rest)
misses none; what is found nowhere any more was confirmed. One that lies in duplicates as ``AlreadyRecorded``
is on record too, and counts as confirmed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agreements.deliveries import Property
from agreements.errors import Reason
from agreements.messages import ParkedMessage, Place


@dataclass(frozen=True, slots=True)
class Endings:
    """How the copies of a run stand: how many are under way, and how many were parked again, by reason."""

    under_way: int
    parked: Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Looks for the copies of one run.

    Attributes:
        moving: where copies are under way, in the order in which they move.
        resting: where they can come to rest.
        marks: for each place, the sequence number beyond which they must lie.
    """

    peek: Callable[[Place, int], Iterator[ParkedMessage]]
    run: str
    moving: Sequence[Place]
    resting: Sequence[Place]
    marks: Mapping[str, int]

    def __call__(self) -> Endings:
        """Look now."""
        under_way = sum(1 for place in self.moving for _ in self._copies(place))
        # By what was replayed: after a crash there may be two copies of one message.
        ended = {
            message.text(Property.REPLAYED_FROM): message.reason
            for place in self.resting
            for message in self._copies(place)
        }
        parked = Counter(ended.values())
        del parked[Reason.ALREADY_RECORDED]
        return Endings(under_way, parked)

    def _copies(self, place: Place) -> Iterator[ParkedMessage]:
        first = self.marks.get(str(place), 0) + 1
        return (m for m in self.peek(place, first) if m.text(Property.REPLAY_RUN) == self.run)
