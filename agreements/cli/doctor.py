"""The command that checks a deployment."""

import json
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agreements import checkup
from agreements.checkup import Role
from agreements.cli import talk
from agreements.doctor import Check, Finding, Status, examine

_STYLES = {Status.OK: "green", Status.FAILED: "bold red", Status.SKIPPED: "yellow"}


def doctor(
    *,
    role: Annotated[Role, typer.Option(help="Whose settings and reach are checked.")] = Role.APP,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that each check may take.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per check.")] = False,
) -> None:
    """Check this deployment as a person would, each thing with what to do.

    Settings, clock, key vault, age of the refresh token, token exchange, MFA,
    Partner Center and each queue are ok, failed or skipped. The role app
    receives and sends as the function app does; operations looks into and
    takes from every queue and dead-letter queue, and sends to two, as the
    other commands do; publisher sends, and needs no token. Nothing is sent,
    taken, stored or confirmed. The vault and the queues are reached as whoever
    is signed in here (az login; in Azure the managed identity), whom the line
    names: whether the app may do the same shows where the app runs.

    Exit code 0 when nothing failed, 1 when something did.

    Example: agreements doctor --role operations
    """
    talk.silence()
    counted: Counter[Status] = Counter()
    with talk.working() as working:
        for finding in examine(
            checkup.checks(role), seconds=timeout, started=lambda check: working(_doing(check))
        ):
            working(None)
            counted[finding.status] += 1
            typer.echo(json.dumps(_object(finding))) if as_json else _print(finding)
    talk.say(", ".join(f"{counted[status]} {status}" for status in Status))
    raise typer.Exit(1 if counted[Status.FAILED] else 0)


def _doing(check: Check) -> str:
    return f"checking {check.name}"


def _object(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "status": finding.status,
        "detail": finding.detail,
        "advice": finding.advice or None,
        "reason": finding.reason,
        "seconds": round(finding.seconds, 2),
    }


def _print(finding: Finding) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        # Whole lines, so that they can be searched and cut.
        advice = f" - {finding.advice}" if finding.advice else ""
        typer.echo(f"{finding.status:<7}  {finding.check}: {finding.detail}{advice}")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(width=7)
    table.add_column(overflow="fold")
    told = Text.assemble((f"{finding.check}: ", "bold"), finding.detail)
    if finding.advice:
        told.append(f"\n{finding.advice}", _STYLES[finding.status])
    table.add_row(Text(finding.status, _STYLES[finding.status]), told)
    console.print(table)
