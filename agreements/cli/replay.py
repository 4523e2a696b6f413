"""Commands that change what waits: replay, release, discard. Rights: Data Receiver and Data Sender."""

from pathlib import Path
from typing import Annotated

import typer

from agreements.cli import output, talk, transfer
from agreements.cli.applying import Canary, Rate, StopAfter, Wait, Wish, Yes, apply, rate
from agreements.cli.options import Filters, Why, filtered
from agreements.cli.parked import operations
from agreements.cli.planning import folder, own_plan, tell_summary
from agreements.dead_letters import Action, Plan, PlanError
from agreements.operations import Operations
from agreements.pacing import Pace
from agreements.plan_files import journal_of

_REPLAYED = ("rejections", "dead-letters")
_SCHEDULED = ("retries",)

MaxReplays = Annotated[int, typer.Option(min=1, metavar="N", help="Skip what was replayed as often already.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not ask first whether it can succeed.")]


@filtered
def plan(
    chosen: Filters,
    *,
    file: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The plan to write.")],
    max_replays: MaxReplays = 3,
) -> None:
    """Write a plan of a replay: which messages exactly, why others are skipped, where it cannot help.

    Looks only; without --from at rejections and all dead-letter queues. Needs the role Azure Service Bus Data
    Receiver. Exit code 3 when nothing is chosen.

    Example: agreements parked plan --reason NoRelationship -o plan.jsonl
    """
    with operations() as at:
        _check_free(at, file)
        summary = at.plan(
            file,
            Action.REPLAY,
            at.messages(chosen.places(at.names, _REPLAYED)),
            chosen.selection,
            told=chosen.told,
            limit=chosen.limit,
            max_replays=max_replays,
        )
    tell_summary(summary)
    raise typer.Exit(0 if summary.chosen else output.NOTHING)


@filtered
def replay(
    chosen: Filters,
    file: Annotated[Path | None, typer.Argument(metavar="[PLAN]", help="A plan, instead of filters.")] = None,
    *,
    why: Why,
    at_rate: Rate = None,
    canary: Canary = 0,
    stop_after: StopAfter = None,
    max_replays: MaxReplays = 3,
    wait: Wait = False,
    no_check: NoCheck = False,
    yes: Yes = False,
) -> None:
    """Replay events: copy each to the acceptances queue, then remove it from where it waits.

    Applies a plan exactly, or makes one of the filters; refuses a message that changed since. Stopped or
    killed, the same command resumes. A replayed event is looked up on record before it is confirmed, so a
    double is harmless. With --wait prints how many were confirmed, and what was parked again.

    Needs the roles Azure Service Bus Data Receiver and Data Sender. Exit codes: 0 all done, 3 nothing to do,
    4 partly done, 5 refused.

    Example: agreements parked replay --reason NoRelationship --why "relationship established" --canary 1
    """
    pace = Pace(rate=rate(at_rate), canary=canary, stop_after_failures=stop_after)
    wish = Wish(why=why, pace=pace, yes=yes, wait=wait, checked=not no_check)
    if file is not None and chosen.told != "{}":
        raise typer.BadParameter("give a plan or filters, not both")
    with operations() as at:
        if file is not None:
            code = apply(at, _read(file, Action.REPLAY), wish)
        else:
            places = chosen.places(at.names, _REPLAYED)
            with own_plan(at, Action.REPLAY, chosen, lambda: at.messages(places), max_replays) as plan:
                code = apply(at, plan, wish)
    raise typer.Exit(code)


@filtered
def release(
    chosen: Filters,
    *,
    why: Why,
    at_rate: Rate = None,
    canary: Canary = 0,
    stop_after: StopAfter = None,
    wait: Wait = False,
    no_check: NoCheck = False,
    yes: Yes = False,
) -> None:
    """Try scheduled retries now, after an outage: send a copy of each for now, cancel the scheduled one.

    Resumes, asks and reports as `parked replay` does. Needs the roles Azure Service Bus Data Receiver and
    Data Sender. Exit codes: 0 all done, 3 nothing to do, 4 partly done, 5 refused.

    Example: agreements retries release --reason RefreshTokenExpired --why "consent given anew" --rate 10/s
    """
    pace = Pace(rate=rate(at_rate), canary=canary, stop_after_failures=stop_after)
    wish = Wish(why=why, pace=pace, yes=yes, wait=wait, checked=not no_check)
    with operations() as at:
        places = chosen.places(at.names, _SCHEDULED)
        with own_plan(at, Action.RELEASE, chosen, lambda: at.messages(places)) as plan:
            code = apply(at, plan, wish)
    raise typer.Exit(code)


@filtered
def discard(chosen: Filters, *, why: Why, yes: Yes = False) -> None:
    """Remove messages for good: asks for their count to be typed, and writes them to a file first.

    The file is one that `parked import --restore` reads. At least one filter is needed. Needs the role Azure
    Service Bus Data Receiver. Exit codes: 0 all done, 3 nothing to do, 4 partly done, 5 refused.

    Example: agreements parked discard --from duplicates --reason AlreadyRecorded --why "on record"
    """
    if chosen.told == "{}":
        raise typer.BadParameter("say which: give at least one filter")
    with operations() as at:
        places = chosen.places(at.names, _REPLAYED)
        with own_plan(at, Action.DISCARD, chosen, lambda: at.messages(places)) as plan:
            code = apply(at, plan, Wish(why=why, pace=Pace(), yes=yes), lambda: _keep(at, plan))
    raise typer.Exit(code)


def _check_free(at: Operations, file: Path) -> None:
    """Refuse to write a plan over what is not to be lost: one that was begun, or no plan at all."""
    journal = journal_of(file)
    begun = journal.exists()
    if file.exists():
        try:
            plan = Plan(file)
        except PlanError:
            raise output.end(output.REFUSED, f"{file} is there, and is no plan: name another file") from None
        begun = begun and at.progress(plan).begun
    if begun:
        raise output.end(output.REFUSED, f"{file} was begun: name another file, or remove it and its journal")
    # One without a step is of whoever was asked and said no; it would not be that of the plan to come.
    journal.unlink(missing_ok=True)


def _keep(at: Operations, plan: Plan) -> None:
    """Write what is to be removed to a file, whole before anything is removed."""
    kept = folder() / f"discarded-{plan.order.run}.jsonl"
    if not kept.exists():
        half = kept.with_suffix(".half")
        half.unlink(missing_ok=True)
        transfer.write(half, (message for message in at.messages(list(plan.numbers)) if plan.names(message)))
        half.replace(kept)
    talk.say(f"kept in {kept}: personal data, delete it when it is not needed")


def _read(file: Path, action: Action) -> Plan:
    try:
        plan = Plan(file)
    except FileNotFoundError:
        raise typer.BadParameter(f"{file} does not exist") from None
    if plan.order.action is not action:
        raise typer.BadParameter(f"{file} is a plan to {plan.order.action}, not to {action}")
    return plan
