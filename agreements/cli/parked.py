"""Commands that look at what waits; they lock nothing and change nothing. Right: Data Receiver."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import typer

from agreements import settings, toolbox
from agreements.cli import masking, output, talk
from agreements.cli.options import Filters, Json, Reveal, filtered
from agreements.doubts import doubts
from agreements.messages import ParkedMessage, advice
from agreements.operations import Operations
from agreements.selection import customer_of
from agreements.settings import BusSettings

EVERYWHERE = ("rejections", "duplicates", "dead-letters")
_COLUMNS = ("PLACE", "NUMBER", "AGE", "REASON", "CUSTOMER", "EVENT")


@contextmanager
def operations() -> Iterator[Operations]:
    """Give what operations work with, failures told and connections closed at the end."""
    with output.failures():
        built = toolbox.operations(settings.read(BusSettings))
        try:
            yield built
        finally:
            built.store.close()


def found(at: Operations, chosen: Filters, default: tuple[str, ...] = EVERYWHERE) -> Iterator[ParkedMessage]:
    """Yield the messages that the filters choose."""
    left = chosen.limit
    for message in at.messages(chosen.places(at.names, default)):
        if left == 0:
            return
        if chosen.selection.mismatch(message) is None:
            left = None if left is None else left - 1
            yield message


@filtered
def list_(chosen: Filters, *, as_json: Json = False, reveal: Reveal = False) -> None:
    """List what waits for a person, oldest of each place first; from retries also when it is due.

    Looks only: nothing is locked or counted as delivered. Needs the role Azure Service Bus Data Receiver.
    Exit code 3 when nothing is found.

    Example: agreements parked list --reason Refused --since 2h
    """
    now, count = datetime.now(UTC), 0
    with operations() as at:
        for message in found(at, chosen):
            count += 1
            if as_json:
                output.print_json(_row(message, reveal=reveal))
            else:
                _print_line(message, now, first=count == 1, reveal=reveal)
    _tell_nothing(count)
    raise typer.Exit(0 if count else output.NOTHING)


@filtered
def groups(chosen: Filters, *, as_json: Json = False) -> None:
    """Count what waits for a person by place and reason, with the oldest age and what to do about it.

    Looks only. Needs the role Azure Service Bus Data Receiver. Exit code 3 when nothing is found.

    Example: agreements parked groups
    """
    counted: Counter[tuple[str, str]] = Counter()
    oldest: dict[tuple[str, str], datetime] = {}
    with operations() as at:
        for message in found(at, chosen):
            key = str(message.place), message.reason
            counted[key] += 1
            oldest[key] = min(message.enqueued_time, oldest.get(key, message.enqueued_time))
    now = datetime.now(UTC)
    for (place, reason), count in counted.most_common() if as_json else ():
        since = oldest[place, reason].isoformat()
        output.print_json(
            {"place": place, "reason": reason, "count": count, "oldest": since, "advice": advice(reason)}
        )
    rows = [
        (count, output.age(oldest[key], now), f"{key[1] or '(no reason)'} in {key[0]}", advice(key[1]))
        for key, count in counted.most_common()
    ]
    if not as_json and rows:
        output.print_table(("COUNT", "OLDEST", "REASON", "WHAT TO DO"), rows)
    _tell_nothing(counted.total())
    raise typer.Exit(0 if counted else output.NOTHING)


@filtered
def show(chosen: Filters, *, reveal: Reveal = False) -> None:
    """Show messages whole, each as one JSON object: properties, body, advice, doubts about a replay.

    Looks only. Personal data is masked unless --reveal. Needs the role Azure Service Bus Data Receiver.

    Example: agreements parked show --from rejections --sequence-number 17
    """
    count = 0
    with operations() as at:
        for message in found(at, chosen):
            count += 1
            typer.echo(output.dumps(_whole(message, reveal=reveal), indent=2))
    _tell_nothing(count)
    raise typer.Exit(0 if count else output.NOTHING)


def _tell_nothing(count: int) -> None:
    if not count:
        talk.say("nothing found")


def _row(message: ParkedMessage, *, reveal: bool) -> output.Row:
    return {
        "place": str(message.place),
        "sequenceNumber": message.sequence_number,
        "enqueuedTime": message.enqueued_time.isoformat(),
        "scheduledFor": message.scheduled_for.isoformat() if message.scheduled_for else None,
        "state": message.state,
        "reason": message.reason,
        "errorCode": message.error_code,
        "customerTenantId": customer_of(message),
        "eventId": masking.masked_id(message.event_id, reveal=reveal),
        "replay": message.replay,
        "deliveryCount": message.delivery_count,
    }


def _print_line(message: ParkedMessage, now: datetime, *, first: bool, reveal: bool) -> None:
    row = (
        str(message.place),
        message.sequence_number,
        output.age(message.scheduled_for or message.enqueued_time, now),
        message.reason,
        customer_of(message) or "-",
        masking.masked_id(message.event_id, reveal=reveal),
    )
    if first and sys.stdout.isatty():
        output.print_line(_COLUMNS)
    output.print_line(row)


def _whole(message: ParkedMessage, *, reveal: bool) -> dict[str, object]:
    return {
        **_row(message, reveal=reveal),
        "advice": message.advice,
        "doubts": list(doubts(message, datetime.now(UTC))),
        "messageId": masking.masked_id(message.message_id or "", reveal=reveal),
        "correlationId": masking.masked_id(message.correlation_id or "", reveal=reveal),
        "contentType": message.content_type,
        "subject": message.subject if reveal or not message.subject else masking.HIDDEN,
        "bodyKind": message.body_kind,
        "properties": masking.masked_properties(message, reveal=reveal),
        "body": masking.masked_body(message.body, reveal=reveal),
    }
