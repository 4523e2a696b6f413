"""Commands about the contract with publishers; they need no settings and no connection."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from agreements import events
from agreements.errors import EventError

type Verdict = dict[str, str | bool | None]


def validate(
    files: Annotated[list[Path], typer.Argument(help="Files that hold one event each; - is standard input.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check events against the contract, offline: each fault by its field, never by its value.

    Exit code 0 when all are valid, 1 when one is not, 2 when a file cannot be read.

    Example: agreements validate event.json
    """
    verdicts = [_verdict(file) for file in files]
    for verdict in verdicts:
        typer.echo(json.dumps(verdict)) if as_json else _print(verdict)
    raise typer.Exit(0 if all(verdict["valid"] for verdict in verdicts) else 1)


def schema() -> None:
    """Print the JSON Schema of an acceptance event, for publishers.

    It is made from the model that reads events, so that both say the same. Events are read more leniently
    (names in any case, unknown fields ignored); the schema tells how they should be written.

    Example: agreements schema > acceptance-event.schema.json
    """
    typer.echo(json.dumps(events.json_schema(), indent=2))


def _verdict(file: Path) -> Verdict:
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    try:
        events.parse(body)
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


def _print(verdict: Verdict) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if verdict["valid"]:
        console.print(f"{verdict['file']}: valid")
    else:
        console.print(f"{verdict['file']}: {verdict['detail']}. {verdict['advice']}")
