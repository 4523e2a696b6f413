"""What a benchmark gives: one figure, a ratio of two things measured side by side in one run."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A ratio with its target; ``ours`` and ``theirs`` are the medians it comes from, in ``unit``."""

    name: str
    ratio: float
    target: str
    ours: float
    theirs: float
    unit: str

    def __str__(self) -> str:
        """Return one line of JSON."""
        return json.dumps(
            {
                "figure": self.name,
                "ratio": round(self.ratio, 3),
                "target": self.target,
                "ours": round(self.ours, 3),
                "theirs": round(self.theirs, 3),
                "unit": self.unit,
            }
        )


def side_by_side(
    name: str, target: str, unit: str, ours: Callable[[], float], theirs: Callable[[], float], *, rounds: int
) -> Figure:
    """Measure both again and again in turn, so that a machine that slows down slows both; take medians."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return Figure(
        name=name,
        ratio=statistics.median(one / other for one, other in pairs),
        target=target,
        ours=statistics.median(one for one, _ in pairs),
        theirs=statistics.median(other for _, other in pairs),
        unit=unit,
    )
