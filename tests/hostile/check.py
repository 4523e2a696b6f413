"""Whether a body is read as an event or refused by one of our errors, in time, without quoting it."""

import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from agreements import envelopes, events, wire
from agreements.errors import EventError, Reason
from agreements.events import AcceptanceEvent, Contact
from tests.hostile.bodies import MARKERS, Case, make

LONGEST_SECONDS = 0.1
# A traceback is dear to render, and is made of the error's text and source lines: one in so many will do.
_RENDERED = 20
_ENVELOPE_FIELDS = {"specversion must be 1.0", "data_base64 must be base64"}
_FIELDS = {
    f"{prefix}{described.alias} must be {described.description}"
    for prefix, model in (("", AcceptanceEvent), ("primaryContact.", Contact))
    for described in model.model_fields.values()
}
# Every text that an error about an event can have: closed lists alone, so that no value can be in it.
SAYINGS = (
    {str(reason) for reason in Reason}
    | {f"{Reason.CLOUD_EVENT_INVALID} {said}" for said in _ENVELOPE_FIELDS}
    | {f"{reason} {said}" for reason in (Reason.FIELD_MISSING, Reason.FIELD_INVALID) for said in _FIELDS}
    | {f"{Reason.FIELD_TWICE} {said.partition(' ')[0]}" for said in _FIELDS}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one case; ``faults`` says what is wrong with that, if anything is."""

    number: int
    kind: str
    outcome: str
    seconds: float
    faults: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What became of many cases."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: Verdict | None = None
    faulty: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one case."""
        self.cases += 1
        self.outcomes[verdict.outcome] += 1
        if verdict.faults:
            self.faulty.append(verdict)
        if self.slowest is None or verdict.seconds > self.slowest.seconds:
            self.slowest = verdict

    def merge(self, other: "Tally") -> None:
        """Count what another process counted."""
        self.cases += other.cases
        self.outcomes += other.outcomes
        self.faulty += other.faulty
        both = [verdict for verdict in (self.slowest, other.slowest) if verdict]
        self.slowest = max(both, key=lambda verdict: verdict.seconds, default=None)


def tally(seed: int, numbers: range) -> Tally:
    """Check the cases of those numbers."""
    found = Tally()
    for number in numbers:
        found.add(check(number, make(seed, number)))
    return found


def check(number: int, case: Case) -> Verdict:
    """Check one case; one that seems slow is measured again, since only its own time is meant."""
    started = time.thread_time()
    result = _read(case)
    seconds = time.thread_time() - started
    for _ in range(2 if seconds >= LONGEST_SECONDS else 0):
        started = time.thread_time()
        _read(case)
        seconds = min(seconds, time.thread_time() - started)
    faults = list(_faults(result, rendered=number % _RENDERED == 0))
    if seconds >= LONGEST_SECONDS:
        faults.append(f"took {seconds:.3f} s of CPU")
    outcome = str(result.reason) if isinstance(result, EventError) else type(result).__name__
    return Verdict(number, case.kind, outcome, seconds, tuple(faults))


def _read(case: Case) -> AcceptanceEvent | BaseException:
    try:
        envelope = envelopes.unwrap(case.carried.body, case.carried.content_type, case.carried.properties)
        # What is made of an envelope's id travels as a property, which must be text that can be written.
        (envelope.event_id or "").encode()
        return events.read(envelope.data)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what this looks for
        return error


def _faults(result: AcceptanceEvent | BaseException, *, rendered: bool) -> Iterator[str]:
    if isinstance(result, EventError):
        yield from _leaks(result, rendered=rendered)
    elif isinstance(result, AcceptanceEvent):
        json.dumps(wire.agreement_body(result, "a-template"), ensure_ascii=False).encode()
        yield from (
            f"repr shows {marker}" for marker in ("planted", "Planted", "8675309") if marker in repr(result)
        )
    else:
        yield f"raised {''.join(traceback.format_exception(result))}"


def _leaks(error: EventError, *, rendered: bool) -> Iterator[str]:
    if str(error) not in SAYINGS:
        yield f"says what is on no list: {error}"
    # Python keeps what led to an error, and whoever walks along it finds the body.
    if error.__cause__ is not None or error.__context__ is not None:
        yield "has a cause or a context"
    shown = f"{error!r} {error.args} {vars(error)}"
    if rendered:
        shown += "".join(traceback.format_exception(error))
    yield from (f"shows {marker}" for marker in MARKERS if marker in shown)
