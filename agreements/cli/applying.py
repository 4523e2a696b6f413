"""What commands that change something share: show what will be done, ask, check, apply, tell the result."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from azure.servicebus.exceptions import ServiceBusError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agreements import settings, toolbox
from agreements.cli import output, talk
from agreements.cli.planning import audit_file, tell_counted
from agreements.dead_letters import Action, Order, Plan
from agreements.deadline import Deadline
from agreements.endings import Endings
from agreements.errors import AgreementsError, SettingsError
from agreements.messages import ParkedMessage
from agreements.operations import Operations, Result
from agreements.pacing import Pace
from agreements.settings import PartnerSettings

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Rate = Annotated[
    str | None, typer.Option("--rate", metavar="N/s", help="No more than so many a second (or N/m).")
]
Canary = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Send so many first, and the others once those did not come back."),
]
StopAfter = Annotated[
    int | None,
    typer.Option("--stop-after-failures", min=1, metavar="N", help="Stop once so many were parked again."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow each event to its ending.")]
_PREFLIGHT_SECONDS = 20.0
_PER = {"s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a person wants a plan applied."""

    why: str
    pace: Pace
    yes: bool
    wait: bool = False
    checked: bool = True

    def __post_init__(self) -> None:
        if not self.why.strip():
            raise typer.BadParameter("say why, in a few words", param_hint="--why")


def rate(text: str | None) -> float | None:
    """Return how many a second a rate allows."""
    if text is None:
        return None
    number, _, unit = text.partition("/")
    try:
        value = float(number) / _PER[unit or "s"]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter("such as 10/s or 30/m", param_hint="--rate")
    return value


def apply(
    at: Operations,
    plan: Plan,
    wish: Wish,
    prepare: Callable[[], object] = lambda: None,
    **more: Callable[[ParkedMessage], ParkedMessage],
) -> int:
    """Ask, check, prepare and apply; tell the result and return the exit code."""
    remaining = at.progress(plan).remaining
    if not remaining:
        talk.say("nothing to do")
        return output.NOTHING
    _ask(plan, remaining, wish)
    if wish.checked and plan.order.target:
        _check(at, plan)
    prepare()
    with output.stopping() as stopping, progress(remaining) as told:
        try:
            result = at.apply(
                plan,
                why=wish.why,
                pace=wish.pace,
                audit_file=audit_file(),
                told=told,
                stopping=stopping,
                **more,
            )
        except (ServiceBusError, OSError, KeyboardInterrupt):
            talk.say(_how_to_resume(plan))
            raise
    _tell_result(plan, result)
    good = _follow(at, plan.order, result) if wish.wait and plan.order.target else True
    return 0 if good and not (result.stopped or result.left or result.remaining) else output.PARTLY


def _ask(plan: Plan, remaining: int, wish: Wish) -> None:
    order, pace = plan.order, wish.pace
    target = f" to {order.target}" if order.target else ""
    how = f" at {pace.rate:g}/s" if pace.rate else ""
    how += f", {pace.canary} of them first" if pace.canary else ""
    talk.say(f"{order.action} {remaining} of {plan.count}{target}{how}")
    for place, numbers in plan.numbers.items():
        talk.say(f"  {len(numbers):>7}  from {place}")
    if order.action is Action.DISCARD and not wish.yes:
        _ask_at_all()
        if typer.prompt(f"Type {remaining} to remove them", err=True) != str(remaining):
            raise output.end(output.REFUSED, "not discarded")
    else:
        confirm("go on", yes=wish.yes)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless that was answered beforehand; in a pipe nobody can be asked."""
    if yes:
        return
    _ask_at_all()
    if not typer.confirm(f"{question}?", err=True):
        raise output.end(output.REFUSED, "nothing was changed")


def _ask_at_all() -> None:
    if not sys.stdin.isatty():
        raise output.end(output.REFUSED, "nobody can be asked here: say --yes")


def _check(at: Operations, plan: Plan) -> None:
    """Refuse where the replay would fail: what is reachable from here is asked."""
    at.store.open([*at.names.moving, *at.names.resting, *plan.numbers])
    try:
        given = settings.read(PartnerSettings)
    except SettingsError:
        talk.say("Partner Center is not checked: this machine has no credential for it")
        return
    try:
        toolbox.partner_tools(given).partner_center.template_ids(Deadline.after(_PREFLIGHT_SECONDS))
    except AgreementsError as error:
        raise output.end(
            output.REFUSED, f"Partner Center would refuse: {error}; mend that first, or say --no-check"
        ) from None


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], object]]:
    """Lend what shows on a terminal how many of so many are done: to be called with how many more."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task("messages", total=total)
        yield lambda count: shown.advance(task, count)


def _tell_result(plan: Plan, result: Result) -> None:
    talk.say(f"done: {result.done} of {plan.count}")
    if result.left:
        tell_counted("left where they are", result.left)
    if result.stopped:
        talk.say(f"stopped: {result.stopped}")
    if result.remaining:
        talk.say(_how_to_resume(plan))
    talk.say(f"audit record: {audit_file()}")


def _how_to_resume(plan: Plan) -> str:
    return f"to resume, give the same command again\nplan and journal: {plan.path}"


def _follow(at: Operations, order: Order, result: Result) -> bool:
    """Print the tally once every copy has ended, or at once of a run that was stopped; tell if it is good."""
    with output.stopping("no longer following: what is under way goes on by itself") as stopping:
        seen: list[int] = []

        def told(endings: Endings) -> None:
            if seen[-1:] != [endings.under_way]:
                seen.append(endings.under_way)
                talk.say(f"under way: {endings.under_way}")

        endings = at.follow(order, told, lambda: result.stopped is not None or stopping())
    parked = endings.parked
    output.print_json(
        {
            "run": order.run,
            "confirmed": max(0, result.done - endings.under_way - parked.total()),
            "underWay": endings.under_way,
            "parkedAgain": dict(parked),
        }
    )
    return not (parked or endings.under_way)
