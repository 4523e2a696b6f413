"""The command that finds one event, wherever it is. Right: Data Receiver."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from agreements import identity
from agreements.cli import masking, output, talk
from agreements.cli.options import Json, Reveal
from agreements.cli.parked import operations
from agreements.deliveries import Property
from agreements.messages import ParkedMessage, Place
from agreements.operations import Operations
from agreements.selection import event_ids


def trace(
    event_id: Annotated[str, typer.Argument(help="The publisher's id, a correlation id, or an origin.")],
    *,
    as_json: Json = False,
    reveal: Reveal = False,
) -> None:
    """Find where an event is now, and what happened to it: in every queue and dead-letter queue.

    Searches by the event's id, message id, correlation id or origin. What is found nowhere was confirmed or
    discarded, or never came: the log tells, and the audit file of whoever discarded it. Looks only. Needs the
    role Azure Service Bus Data Receiver. Exit code 3 when it is nowhere.

    Example: agreements trace 94e4e214-6b06-4fb7-96d1-94d559f9b47f
    """
    if not event_id.strip():
        raise typer.BadParameter("say which event", param_hint="EVENT_ID")
    now = datetime.now(UTC)
    with operations() as at:
        seen = [message for message in at.messages(_everywhere(at)) if event_id in _names(message)]
    for message in seen:
        row = _row(message, reveal=reveal)
        if as_json:
            output.print_json(row)
        else:
            _print(row, message, now)
    if not seen:
        talk.tell(
            "It waits nowhere: it was confirmed or discarded, or it never came. The log tells, by its"
            " correlation id or origin; see docs/operations.md, Find an event."
        )
    raise typer.Exit(0 if seen else output.NOTHING)


def _everywhere(at: Operations) -> list[Place]:
    return [*at.names.moving, *at.names.resting]


def _names(message: ParkedMessage) -> set[str]:
    names = event_ids(message) | {_correlation_id(message)}
    return names | {message.correlation_id} if message.correlation_id else names


def _correlation_id(message: ParkedMessage) -> str:
    """Return the correlation id that the log has."""
    origin = message.text(Property.ORIGIN) or message.position
    told = message.text(Property.CORRELATION_ID) or message.correlation_id
    return str(identity.correlation_id(origin, told))


def _row(message: ParkedMessage, *, reveal: bool) -> dict[str, object]:
    return {
        "place": str(message.place),
        "sequenceNumber": message.sequence_number,
        "state": message.state,
        "enqueuedTime": message.enqueued_time.isoformat(),
        "scheduledFor": message.scheduled_for.isoformat() if message.scheduled_for else None,
        "eventId": masking.masked_id(message.event_id, reveal=reveal),
        "correlationId": _correlation_id(message),
        "deliveryCount": message.delivery_count,
        "reason": message.reason or None,
        "advice": message.advice if message.reason else None,
        "properties": masking.masked_properties(message, reveal=reveal),
    }


def _print(row: dict[str, object], message: ParkedMessage, now: datetime) -> None:
    since = output.age(message.enqueued_time, now)
    typer.echo(f"{row['place']}, {row['sequenceNumber']}: {row['state']}, enqueued {since} ago")
    if message.scheduled_for and message.scheduled_for > now:
        typer.echo(f"  comes again at {message.scheduled_for.isoformat(timespec='seconds')}")
    if message.reason:
        output.print_item(f"  {message.reason}: ", message.advice)
    typer.echo(talk.plain(f"  event id        {row['eventId']}"))
    typer.echo(f"  correlation id  {row['correlationId']} (finds its log lines)")
    properties = row["properties"]
    for name, value in properties.items() if isinstance(properties, dict) else ():
        output.print_item(f"  {name:<26} ", str(value))
