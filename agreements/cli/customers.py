"""The command about one customer. Rights: Data Receiver, and the partner's token."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

import typer

from agreements import settings, toolbox
from agreements.cli import masking, output, talk
from agreements.cli.options import Json, Reveal
from agreements.cli.parked import operations
from agreements.deadline import Deadline
from agreements.events import Agreement
from agreements.messages import ParkedMessage
from agreements.operations import Operations
from agreements.selection import Selection
from agreements.settings import PartnerSettings

_SECONDS = 60.0


def status(
    customer: Annotated[UUID, typer.Argument(help="The customer's tenant id.")],
    *,
    as_json: Json = False,
    reveal: Reveal = False,
) -> None:
    """Tell whether a customer is covered: recorded agreements newest first, direct acceptance, what waits.

    Asks Partner Center with the partner's token, and looks into every queue. The contact is masked unless
    --reveal. Needs a credential for Partner Center and the role Azure Service Bus Data Receiver. Exit code 3
    when the customer is not covered.

    Example: agreements status 14876998-c0dc-46e6-9d0c-65a57a6c32ec
    """
    with output.failures():
        given = settings.read(PartnerSettings)
        client = toolbox.partner_tools(given).partner_center
        correlation, deadline = uuid4(), Deadline.after(_SECONDS)
        recorded = client.customer_agreements(customer, correlation_id=correlation, deadline=deadline)
        direct = client.direct_acceptance(customer, correlation_id=correlation, deadline=deadline)
    with operations() as at:
        waiting = list(_waiting(at, str(customer)))
    newest = sorted(recorded, key=lambda agreement: agreement.date_agreed, reverse=True)
    found: output.Row = {
        "customerTenantId": str(customer),
        "covered": bool(recorded) or direct,
        "acceptedDirectly": direct,
        "agreements": [_agreement(one, reveal=reveal) for one in newest],
        "waiting": [_waits(message) for message in waiting],
    }
    if as_json:
        output.print_json(found)
    else:
        _print(bool(found["covered"]), newest, waiting, direct=direct, reveal=reveal)
    raise typer.Exit(0 if found["covered"] else output.NOTHING)


def _waiting(at: Operations, customer: str) -> Iterator[ParkedMessage]:
    chosen = Selection(customer=customer)
    everywhere = at.messages([*at.names.moving, *at.names.resting])
    return (message for message in everywhere if chosen.mismatch(message) is None)


def _agreement(agreement: Agreement, *, reveal: bool) -> dict[str, object]:
    contact = agreement.primary_contact
    return {
        "dateAgreed": agreement.date_agreed.isoformat(),
        "type": agreement.type,
        "templateId": agreement.template_id,
        "primaryContact": contact.model_dump(by_alias=True) if reveal else masking.HIDDEN,
    }


def _waits(message: ParkedMessage) -> dict[str, object]:
    return {
        "place": str(message.place),
        "sequenceNumber": message.sequence_number,
        "reason": message.reason,
        "enqueuedTime": message.enqueued_time.isoformat(),
    }


def _print(
    covered: bool,
    newest: list[Agreement],
    waiting: list[ParkedMessage],
    *,
    direct: bool,
    reveal: bool,
) -> None:
    typer.echo("covered" if covered else "not covered: no agreement is on record")
    typer.echo(f"accepted directly at Microsoft: {'yes' if direct else 'no'}")
    typer.echo(f"agreements on record: {len(newest)}")
    for agreement in newest:
        contact = agreement.primary_contact
        who = f"{contact.first_name} {contact.last_name} <{contact.email}>" if reveal else masking.HIDDEN
        typer.echo(talk.plain(f"  {agreement.date_agreed.date()}  {agreement.type}  {who}"))
    typer.echo(f"waiting: {len(waiting)}")
    now = datetime.now(UTC)
    for message in waiting:
        since = output.age(message.enqueued_time, now)
        waits = f"  {message.place}, {message.sequence_number}: {message.reason or message.state}, {since}"
        typer.echo(talk.plain(waits))
