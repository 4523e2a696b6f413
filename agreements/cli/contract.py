"""Commands about the contract with publishers; they need no settings and no connection."""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agreements import asyncapi, envelopes, events, outcome_events
from agreements.errors import EventError, Reason


def validate(
    files: Annotated[list[Path], typer.Argument(help="Files that hold one event each; - is standard input.")],
    *,
    content_type: Annotated[str | None, typer.Option(help="The content type that the messages have.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check events against the contract, offline: every fault by its field, never by its value.

    A date that lies ahead is a fault by this machine's clock.

    Exit code 0 when all are valid, 1 when one is not, 2 when a file cannot be read.

    Example: agreements validate event.json
    """
    now = datetime.now(UTC)
    found = [(str(file), _faults(_body(file), content_type, now)) for file in files]
    for file, faults in found:
        typer.echo(_as_json(file, faults)) if as_json else _print(file, faults)
    raise typer.Exit(1 if any(faults for _, faults in found) else 0)


@unique
class Document(StrEnum):
    """What the contract consists of."""

    ACCEPTANCE = "acceptance"
    OUTCOME = "outcome"
    ASYNCAPI = "asyncapi"


_DOCUMENTS: Mapping[Document, Callable[[], dict[str, object]]] = {
    Document.ACCEPTANCE: events.json_schema,
    Document.OUTCOME: outcome_events.json_schema,
    Document.ASYNCAPI: asyncapi.document,
}


def schema(
    which: Annotated[Document, typer.Argument(help="Which part of the contract.")] = Document.ACCEPTANCE,
) -> None:
    """Print the contract as programs read it: a JSON Schema, or an AsyncAPI document.

    acceptance: how an event should be written; events are read more leniently (names in any case, unknown
    fields ignored).

    outcome: what is told of each event.

    asyncapi: both with the queue, the topic and the formats of messages, as AsyncAPI 3.0.

    All are made from the models that read and write events, so that both say the same.

    Example: agreements schema outcome > outcome-event.schema.json
    """
    typer.echo(json.dumps(_DOCUMENTS[which](), indent=2))


def _body(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None


def _faults(body: bytes, content_type: str | None, now: datetime) -> list[EventError]:
    try:
        found = events.check(envelopes.unwrap(body, content_type).data)
    except EventError as error:
        return [error]
    if isinstance(found, list):
        return found
    return [EventError(Reason.DATE_IN_FUTURE, "dateAgreed")] if found.date_agreed.in_future(now) else []


def _as_json(file: str, faults: list[EventError]) -> str:
    told = [
        {"reason": of.reason, "field": of.field, "detail": str(of), "advice": of.reason.advice}
        for of in faults
    ]
    return json.dumps({"file": file, "valid": not faults} | ({"faults": told} if told else {}))


def _print(file: str, faults: list[EventError]) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not faults:
        console.print(f"{file}: valid")
    for fault in faults:
        console.print(f"{file}: {fault}. {fault.reason.advice}")
