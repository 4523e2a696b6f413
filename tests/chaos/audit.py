"""Where every event of a load ended, put together from queues, ledger, log and what publishers were told."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.bus import Told, Waiting

# A step as the stack tells it: the time, the event by the beginning of its correlation id, what happened.
_STEP = re.compile(r"[\d:.]+  event (?P<key>[0-9a-f]{8}) +(?P<what>.+)")


@dataclass(frozen=True, slots=True)
class Published:
    """A message as it was published; ``refused`` says that the service refuses this customer's data.

    The first eight digits of its correlation id are its alone: by them the log names it.
    """

    correlation_id: str
    customer: str
    body: bytes
    refused: bool


def told(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return what was told of each event, step by step, by the first eight digits of its correlation id."""
    steps: dict[str, list[str]] = {}
    for line in lines:
        if step := _STEP.match(line):
            steps.setdefault(step["key"], []).append(step["what"])
    return steps


def audit(
    events: Sequence[Published],
    waiting: Iterable[Waiting],
    ledger: Sequence[Mapping[str, object]],
    steps: Mapping[str, Sequence[str]],
) -> dict[str, int]:
    """Assert that every event ended in exactly one place, honestly; return how those published twice ended.

    What was told last need not be the end: when a copy was sent and the host killed, the original may tell
    once more of a retry whose copy the queue drops, while the first copy has come to its end already.

    Args:
        events: everything that was published.
        waiting: what lies in all queues and their dead-letter queues.
        ledger: what Partner Center recorded, each with the correlation id of the call that recorded it.
        steps: what the log told of each event, as ``told`` returns it.
    """
    by_id = {event.correlation_id: event for event in events}
    lying = _lying(waiting, by_id)
    own = _recorded(events, ledger, by_id)
    assert not own & lying.keys(), "what we recorded waits for nobody"
    doubles = Counter[str]()
    times = Counter(event.customer for event in events)
    for event in events:
        parked = lying.get(event.correlation_id)
        steps_told = steps.get(event.correlation_id[:8], [])
        if event.refused:
            assert parked, f"{event.correlation_id} is not parked"
            assert (parked.place, parked.reason) == ("agreement-rejections", "Refused"), parked
            assert _has(steps_told, "Rejected: Refused"), (event.correlation_id, steps_told)
        elif event.correlation_id in own:
            assert _has(steps_told, "Confirmed"), (event.correlation_id, steps_told)
        else:
            assert times[event.customer] > 1, f"{event.correlation_id} is on record under another's id"
            doubles[_double(event, parked, steps_told)] += 1
    return dict(doubles)


def _has(steps: Sequence[str], ending: str) -> bool:
    return any(step.startswith(ending) for step in steps)


def _lying(waiting: Iterable[Waiting], by_id: Mapping[str, Published]) -> dict[str, Waiting]:
    lying: dict[str, Waiting] = {}
    for message in waiting:
        assert message.correlation_id in by_id, f"nobody published {message}"
        assert message.correlation_id not in lying, f"{message.correlation_id} lies in two places"
        lying[message.correlation_id] = message
    return lying


def _recorded(
    events: Sequence[Published], ledger: Sequence[Mapping[str, object]], by_id: Mapping[str, Published]
) -> set[str]:
    """Return the correlation ids under which something was recorded: for each good customer one, its own."""
    recorded = Counter(str(agreement["customerTenantId"]) for agreement in ledger)
    assert set(recorded) == {event.customer for event in events if not event.refused}, "not all, or others"
    assert set(recorded.values()) <= {1}, "an agreement is recorded twice"
    assert len({agreement["requestId"] for agreement in ledger}) == len(ledger), "a request id recorded twice"
    for agreement in ledger:
        event = by_id[str(agreement["correlationId"])]
        assert event.customer == agreement["customerTenantId"], "recorded by the call of another event"
    return {str(agreement["correlationId"]) for agreement in ledger}


def _double(event: Published, parked: Waiting | None, steps: Sequence[str]) -> str:
    """Return how the one of two equal events ended that did not record the agreement."""
    if parked is None:
        # A double that had to be tried again finds the record of its twin, and is done.
        assert _has(steps, "Confirmed: it was on record already"), (event.correlation_id, steps)
        return "found on record when it was tried again"
    assert parked.place == "agreement-duplicates", parked
    assert parked.reason in {"AlreadyRecorded", "RecordUnknown"}, parked
    # After a crash between parking and completing it is delivered again, and then told as found on record.
    again = _has(steps, "Confirmed")
    return f"parked as {parked.reason}" + ", and found on record when it was delivered again" * again


def audit_told(
    events: Sequence[Published],
    waiting: Iterable[Waiting],
    ledger: Sequence[Mapping[str, object]],
    outcomes: Iterable[Told],
) -> dict[str, int]:
    """Assert that the publisher of every event was told its end, once and truly; return what was told.

    Args:
        events: everything that was published.
        waiting: what lies in all queues and their dead-letter queues.
        ledger: what Partner Center recorded.
        outcomes: everything that was told; repeats have one id and count once.
    """
    by_id = {event.correlation_id: event for event in events}
    lying = _lying(waiting, by_id)
    own = {str(agreement["correlationId"]) for agreement in ledger}
    told: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in {outcome.event["id"]: outcome for outcome in outcomes}.values():
        assert outcome.correlation_id in by_id, f"nobody published {outcome}"
        told.setdefault(outcome.correlation_id, []).append(outcome.event)
    counts = Counter[str]()
    for event in events:
        about = told.get(event.correlation_id, [])
        final = [outcome["data"] for outcome in about if outcome["data"]["final"]]
        assert len(final) == 1, f"{event.correlation_id} was told {len(final)} ends: {final}"
        assert len(about) <= 2, f"{event.correlation_id} was told more than a delay and its end: {about}"
        assert {outcome["data"].get("customerTenantId") for outcome in about} == {event.customer}
        _assert_true(event, final[0], lying.get(event.correlation_id), recorded=event.correlation_id in own)
        counts.update(outcome["data"]["outcome"] for outcome in about)
    return dict(counts)


def _assert_true(
    event: Published, told: Mapping[str, Any], parked: Waiting | None, *, recorded: bool
) -> None:
    said = (told["outcome"], told.get("reason"))
    if event.refused:
        assert said == ("rejected", "Refused"), (event.correlation_id, told)
    elif recorded:
        assert said in {("confirmed", None), ("recovered", None)}, (event.correlation_id, told)
    elif parked:
        assert said == ("duplicate", parked.reason), (event.correlation_id, told)
    else:
        # Killed between telling of a duplicate and parking it, it is found on record when it comes again.
        again = {("duplicate", reason) for reason in ("AlreadyRecorded", "RecordUnknown")}
        assert said in {("recovered", None), *again}, (event.correlation_id, told)
