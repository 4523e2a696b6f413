"""Plan what is done to waiting messages: which exactly, and why not the others. No Service Bus, no terminal.

A plan is a file of JSON lines: what is to be done, then one line for each message that was looked at, with
its sequence number and either a fingerprint (chosen) or why it was skipped. A plan is applied exactly.
"""

import hashlib
import json
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from itertools import pairwise
from pathlib import Path

from agreements.messages import ParkedMessage, Place, State
from agreements.selection import Selection, customer_of

_VERSION = 1


class PlanError(ValueError):
    """A plan cannot be used as it is."""


@unique
class Action(StrEnum):
    """What a plan does to its messages."""

    REPLAY = "replay"
    RELEASE = "release"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a plan is for.

    Attributes:
        namespace: whose messages they are.
        target: where copies are sent; ``None`` when there are none.
        max_replays: a message that was replayed as often is not chosen.
        marks: the highest sequence number of each place then: what a run causes lies beyond.
    """

    run: str
    namespace: str
    action: Action
    target: str | None
    selection: str
    made_at: str
    max_replays: int
    marks: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Summary:
    """What a plan holds: how many are chosen, by reason; skipped, by why; and which doubts there are."""

    chosen: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)


def make(
    messages: Iterable[ParkedMessage],
    order: Order,
    selection: Selection,
    limit: int | None,
    doubts: Callable[[ParkedMessage], Iterable[str]],
    summary: Summary,
) -> Iterator[str]:
    """Yield the lines of a plan, with the doubts about each chosen message, and count them in the summary."""
    yield json.dumps({"plan": _VERSION, **_order(order)})
    for message in messages:
        skipped = _skipped(message, order, selection)
        if skipped is None and limit is not None and summary.chosen.total() >= limit:
            skipped = "beyond the limit"
        if skipped is None:
            doubted = list(doubts(message))
            summary.chosen[message.reason] += 1
            summary.doubts.update(doubted)
            line = _chosen(message, order, doubted)
        else:
            summary.skipped[skipped] += 1
            line = {**_named(message), "skipped": skipped}
        yield json.dumps(line, ensure_ascii=False)


def _order(order: Order) -> dict[str, object]:
    return {
        "run": order.run,
        "namespace": order.namespace,
        "action": order.action,
        "target": order.target,
        "selection": order.selection,
        "madeAt": order.made_at,
        "maxReplays": order.max_replays,
        "marks": dict(order.marks),
    }


def _skipped(message: ParkedMessage, order: Order, selection: Selection) -> str | None:
    if (mismatch := selection.mismatch(message)) is not None:
        return mismatch
    scheduled = message.state is State.SCHEDULED
    if scheduled != (order.action is Action.RELEASE):
        return "on its way: a retry that is scheduled" if scheduled else "not scheduled"
    if message.state is State.DEFERRED:
        return "deferred by another program"
    if order.action is Action.REPLAY and message.replay >= order.max_replays:
        return f"replayed {message.replay} times already"
    return None


def _named(message: ParkedMessage) -> dict[str, object]:
    return {"place": str(message.place), "sequenceNumber": message.sequence_number}


def _chosen(message: ParkedMessage, order: Order, doubted: list[str]) -> dict[str, object]:
    return {
        **_named(message),
        "fingerprint": message.fingerprint,
        "enqueuedTime": message.enqueued_time.isoformat(),
        "eventId": message.event_id,
        "customerTenantId": customer_of(message),
        "reason": message.reason,
        "errorCode": message.error_code,
        "replay": message.replay,
        "target": order.target,
        "doubts": doubted,
    }


class Plan:
    """A plan as it was written down; of each message it keeps in memory 16 bytes and its state.

    Raises:
        PlanError: the file is no plan, or not a whole one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hash = hashlib.sha256()
        self.numbers: dict[Place, array[int]] = {}
        self._fingerprints: dict[Place, array[int]] = {}
        try:
            with path.open("rb") as lines:
                self.order = self._read_order(lines.readline())
                for line in lines:
                    self._read_item(line)
            self._sort()
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise PlanError(f"{path}: not a plan, or not a whole one: make a new one") from None

    @property
    def count(self) -> int:
        """How many messages are chosen."""
        return sum(map(len, self.numbers.values()))

    def index(self, place: Place, number: int) -> int | None:
        """Return where a message stands among the chosen ones of its place, ``None`` if it is not chosen."""
        numbers = self.numbers[place]
        at = bisect_left(numbers, number)
        return at if at < len(numbers) and numbers[at] == number else None

    def names(self, message: ParkedMessage) -> bool:
        """Tell whether a message was chosen, as it is now or before somebody mended it."""
        return (
            message.place in self.numbers and self.index(message.place, message.sequence_number) is not None
        )

    def fits(self, message: ParkedMessage, index: int) -> bool:
        """Tell whether a message is the one that was chosen."""
        return self._fingerprints[message.place][index] == int(message.fingerprint, 16)

    def _read_order(self, line: bytes) -> Order:
        self.hash.update(line)
        given = json.loads(line)
        if given["plan"] != _VERSION:
            raise PlanError
        return Order(
            run=str(given["run"]),
            namespace=str(given["namespace"]),
            action=Action(given["action"]),
            target=given["target"],
            selection=str(given["selection"]),
            made_at=str(given["madeAt"]),
            max_replays=int(given["maxReplays"]),
            marks={str(path): int(number) for path, number in given["marks"].items()},
        )

    def _read_item(self, line: bytes) -> None:
        self.hash.update(line)
        given: Mapping[str, object] = json.loads(line)
        if "skipped" in given:
            return
        place, number = Place.parse(str(given["place"])), int(str(given["sequenceNumber"]))
        self.numbers.setdefault(place, array("q")).append(number)
        self._fingerprints.setdefault(place, array("Q")).append(int(str(given["fingerprint"]), 16))

    def _sort(self) -> None:
        # A partitioned queue has the partition in the highest bits and is not peeked in their order; and what
        # was named twice would wait for ever to be found a second time.
        for place, numbers in self.numbers.items():
            if any(one >= other for one, other in pairwise(numbers)):
                pairs = sorted(set(zip(numbers, self._fingerprints[place], strict=True)))
                self.numbers[place] = array("q", (number for number, _ in pairs))
                self._fingerprints[place] = array("Q", (fingerprint for _, fingerprint in pairs))
