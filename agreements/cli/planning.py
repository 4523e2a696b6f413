"""Plans that a command makes by itself of filters: where they lie, which are resumed, what they hold."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from agreements.cli import talk
from agreements.cli.options import Filters
from agreements.dead_letters import Action, Plan, Summary
from agreements.messages import ParkedMessage
from agreements.operations import Operations
from agreements.plan_files import claimed, plan_of, put_away


def folder() -> Path:
    """Return where plans of our own, their journals and the audit trail lie."""
    found = Path(typer.get_app_dir("agreements"))
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def audit_file() -> Path:
    """Return where the audit trail is kept."""
    return folder() / "audit.jsonl"


@contextmanager
def own_plan(
    at: Operations, action: Action, chosen: Filters, messages: Callable[[], Iterator[ParkedMessage]],
    max_replays: int = 3, *, once: bool = False,
) -> Iterator[Plan]:  # fmt: skip
    """Give the plan for some filters: one that is unfinished, or else a new one; if once, any begun."""
    path = plan_of(folder(), action, f"{at.store.namespace} {chosen.told}")
    with claimed(path):
        if (plan := _begun(at, path, once=once)) is None:
            _make(at, path, action, chosen, messages, max_replays, doubted=not once)
            plan = Plan(path)
        yield plan


def _begun(at: Operations, path: Path, *, once: bool) -> Plan | None:
    if not path.exists():
        return None
    plan = Plan(path)
    progress = at.progress(plan)
    if progress.begun and (progress.remaining or once):
        if progress.remaining:
            talk.say(f"resuming {path}")
        return plan
    # One that nobody began to apply is as old as it is: others may wait by now.
    put_away(plan)
    return None


def _make(
    at: Operations,
    path: Path,
    action: Action,
    chosen: Filters,
    messages: Callable[[], Iterator[ParkedMessage]],
    max_replays: int,
    *,
    doubted: bool,
) -> None:
    summary = at.plan(
        path,
        action,
        messages(),
        chosen.selection,
        told=chosen.told,
        limit=chosen.limit,
        max_replays=max_replays,
        # They are about messages as they lie, and not as a file has mended them.
        doubted=doubted,
    )
    tell_summary(summary)


def tell_summary(summary: Summary) -> None:
    """Tell what a plan holds."""
    tell_counted("chosen", summary.chosen)
    tell_counted("skipped", summary.skipped)
    if summary.doubts:
        tell_counted("a replay may not help", summary.doubts)


def tell_counted(what: str, counted: Counter[str]) -> None:
    """Tell how many there are in all, and of each kind."""
    talk.say(f"{what}: {counted.total()}")
    for reason, count in counted.most_common():
        talk.item(f"  {count:>7}  ", reason or "(no reason)")
