"""Each event's way through the system, as log lines and outcome events tell it, and the account of all."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.bus import Waiting


@dataclass(slots=True)
class Way:
    """What is known of one event: its name for people, and the log lines about it."""

    name: str
    lines: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def last(self) -> Mapping[str, object]:
        """The latest log line, empty before the first."""
        return self.lines[-1] if self.lines else {}


class Journey:
    """The ways of all events, by correlation id; each step is told as it happens."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.ways: dict[str, Way] = {}
        self.told: Counter[str] = Counter()
        self._tell = tell
        self._steps = 0

    @property
    def steps(self) -> int:
        """How many steps were told so far."""
        return self._steps

    def published(self, name: str, correlation_id: str) -> None:
        """Begin the way of an event."""
        self.ways[correlation_id] = Way(name)
        self._step(name, "published")

    def heard(self, line: str) -> None:
        """Take a line that the functions host wrote: one about a delivery, or any other."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict) or "outcome" not in said:
            self._tell(line)
            return
        correlation_id = str(said.get("correlationId"))
        way = self._way(correlation_id)
        way.lines.append(said)
        self._step(way.name, describe(said))

    def outcome(self, correlation_id: str, event: Mapping[str, Any]) -> None:
        """Take what publishers were told of an event; it is no step of its way."""
        self.told[event["data"]["outcome"]] += 1
        self._say(self._way(correlation_id).name, describe_outcome(event))

    def _way(self, correlation_id: str) -> Way:
        return self.ways.setdefault(correlation_id, Way(f"event {correlation_id[:8]}"))

    def _step(self, name: str, what: str) -> None:
        self._steps += 1
        self._say(name, what)

    def _say(self, name: str, what: str) -> None:
        self._tell(f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3] + f"  {name:<34}  {what}")


def describe(line: Mapping[str, object]) -> str:
    """Return a log line about a delivery in words."""
    outcome = str(line["outcome"])
    if line.get("recovered"):
        return f"{outcome}: it was on record already, by an earlier attempt of ours"
    if outcome == "Confirmed":
        return f"{outcome} ({line.get('apiMilliseconds')} ms in the API, attempt {line.get('attempt')})"
    status = f" (HTTP {line['httpStatus']})" if "httpStatus" in line else ""
    again = f", again at {str(line['retryAt'])[11:23]}" if "retryAt" in line else ""
    return f"{outcome}: {line.get('reason')}{status}{again}"


def describe_outcome(event: Mapping[str, Any]) -> str:
    """Return an outcome event in words: its type, whose it is, and why."""
    data = event["data"]
    of = f"customer {event['subject']}" if "subject" in event else f"event {data['eventId']}"
    return ", ".join(["told " + event["type"], of, *([data["reason"]] if "reason" in data else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Where one event ended: ``place`` is a queue or ``ledger``; anything but one place is a ``fault``."""

    name: str
    outcome: str
    reason: str
    place: str
    recovered: bool
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Every event that was published, and where it ended."""

    endings: tuple[Ending, ...]
    summary: dict[str, object]

    @property
    def complete(self) -> bool:
        """Whether every event is in exactly one place."""
        return not any(ending.fault for ending in self.endings)


def account(
    ways: Mapping[str, Way],
    waiting: Iterable[Waiting],
    ledger: Iterable[Mapping[str, object]],
    told: Mapping[str, int],
    environment: Mapping[str, str],
) -> Account:
    """Put together what the queues, the ledger and the log say of each event.

    Args:
        ways: by correlation id.
        waiting: what lies in all queues.
        ledger: the recorded agreements, each with the ``correlationId`` it came with.
        told: how many outcome events came, by what they tell.
        environment: the settings, for the names of the queues.
    """
    lying: dict[str, list[Waiting]] = {}
    for message in waiting:
        lying.setdefault(message.correlation_id, []).append(message)
    recorded = list(ledger)
    known = Counter(str(agreement["correlationId"]) for agreement in recorded)
    endings = tuple(_ending(way, lying.get(key, []), recorded=known[key]) for key, way in ways.items())
    places = Counter(ending.place for ending in endings)
    reasons = Counter(ending.reason for ending in endings if ending.place == environment["REJECTIONS_QUEUE"])
    summary = {
        "published": len(ways),
        "confirmed": places["ledger"],
        "recovered": sum(ending.recovered for ending in endings),
        "duplicates": places[environment["DUPLICATES_QUEUE"]],
        "rejections": dict(sorted(reasons.items())),
        "retriesPending": places[environment["RETRIES_QUEUE"]],
        "ledger": len(recorded),
        "told": dict(sorted(told.items())),
    }
    return Account(endings=endings, summary=summary)


def _ending(way: Way, lying: list[Waiting], *, recorded: int) -> Ending:
    # A line that says "recovered" may be about the record of an equal event: that counts for this one where
    # there is nothing else of it. A line that claims to have recorded counts for nothing without a record.
    recovered = way.last.get("recovered") is True and (recorded > 0 or not lying)
    records = recorded or int(recovered)
    places = [message.place for message in lying] + ["ledger"] * records
    return Ending(
        name=way.name,
        outcome=_outcome(way, lying, confirmed=records > 0) + " (recovered)" * recovered,
        reason=lying[0].reason if lying else "",
        place=places[0] if places else "nowhere",
        recovered=recovered,
        fault=None if len(places) == 1 else " and ".join(places) or "nowhere",
    )


def _outcome(way: Way, lying: list[Waiting], *, confirmed: bool) -> str:
    if lying:
        return lying[0].outcome or "waiting"
    return "Confirmed" if confirmed else str(way.last.get("outcome", "unknown"))


def table(found: Account) -> str:
    """Return where each event ended, a line each, every one ending in the command that shows it there.

    Plain text and never folded, so that the command can be pasted.
    """
    rows = [("event", "outcome", "reason", "look at it there")]
    rows += [(ending.name, ending.outcome, ending.reason, _next(ending)) for ending in found.endings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _next(ending: Ending) -> str:
    look = f"make look AT='{ending.place}'"
    return f"NOT IN ONE PLACE, BUT {ending.fault}: {look}" if ending.fault else look
