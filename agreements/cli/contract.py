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

from agreements import asyncapi, events, outcome_events
from agreements.errors import EventError, Reason
from agreements.events import AcceptanceEvent

type Verdict = dict[str, str | bool | None]


def validate(
    files: Annotated[list[Path], typer.Argument(help="Files that hold one event each; - is standard input.")],
    *,
    content_type: Annotated[str | None, typer.Option(help="The content type that the messages have.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check events against the contract, offline: each fault by its field, never by its value.

    A date that lies ahead is a fault by this machine's clock.

    Exit code 0 when all are valid, 1 when one is not, 2 when a file cannot be read.

    Example: agreements validate event.json
    """
    now = datetime.now(UTC)
    verdicts = [_verdict(file, content_type, now) for file in files]
    for verdict in verdicts:
        typer.echo(json.dumps(verdict)) if as_json else _print(verdict)
    raise typer.Exit(0 if all(verdict["valid"] for verdict in verdicts) else 1)


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


def _verdict(file: Path, content_type: str | None, now: datetime) -> Verdict:
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    try:
        _check(events.parse(body, content_type), now)
    except EventError as error:
        return {
            "file": str(file),
            "valid": False,
            "reason": error.reason,
            "field": error.field,
            "detail": str(error),
            "advice": error.reason.advice,
        }
    return {"file": str(file), "valid": True}


def _check(event: AcceptanceEvent, now: datetime) -> None:
    if event.date_agreed.in_future(now):
        raise EventError(Reason.DATE_IN_FUTURE, "dateAgreed")


def _print(verdict: Verdict) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if verdict["valid"]:
        console.print(f"{verdict['file']}: valid")
    else:
        console.print(f"{verdict['file']}: {verdict['detail']}. {verdict['advice']}")
