"""What a person does to waiting messages: look, plan, apply. No terminal here, no SDK."""

import getpass
import hashlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from agreements import audit, dead_letters
from agreements.dead_letters import Action, Order, Plan, Stamp, Summary
from agreements.endings import Endings, Following
from agreements.journal import Journal, Step
from agreements.messages import ParkedMessage, Place
from agreements.replays import Pace, Run, StoppedError
from agreements.replays import Store as Copying
from agreements.selection import Selection


class Store(Copying[Any], Protocol):
    """Where messages wait."""

    def open(self, places: Iterable[Place]) -> None:
        """Connect to places, to find out whether they can be reached."""

    def highest(self, place: Place) -> int:
        """Return the highest sequence number in a place, 0 if it is empty."""

    def close(self) -> None:
        """Close what was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The queues, and what commands call the places in them."""

    acceptances: str
    retries: str
    duplicates: str
    rejections: str

    @property
    def dead_letter_queues(self) -> list[Place]:
        """Every dead-letter queue."""
        queues = self.acceptances, self.retries, self.duplicates, self.rejections
        return [Place(queue, dead=True) for queue in queues]

    @property
    def moving(self) -> list[Place]:
        """Where events are under way, in the order in which they move."""
        return [Place(self.acceptances), Place(self.retries)]

    @property
    def resting(self) -> list[Place]:
        """Where events come to rest until a person looks."""
        return [Place(self.duplicates), Place(self.rejections), *self.dead_letter_queues]

    def places(self, name: str) -> list[Place]:
        """Return the places of a name: ``rejections``, ``dead-letters``, …, or a path of Service Bus.

        Raises:
            ValueError: there is none.
        """
        known = {str(place): [place] for place in [*self.moving, *self.resting]}
        known |= {
            "acceptances": [Place(self.acceptances)],
            "retries": [Place(self.retries)],
            "duplicates": [Place(self.duplicates)],
            "rejections": [Place(self.rejections)],
            "dead-letters": self.dead_letter_queues,
        }
        if name not in known:
            raise ValueError(f"{name} is none of {', '.join(known)}")
        return known[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a plan is applied: whether anything was done, and for how many something is left to do."""

    begun: bool
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a plan so far.

    Attributes:
        done: how many are dealt with, in all runs of it.
        left: why others were left where they are, with how many, this time.
        remaining: for how many something is left to do.
        stopped: why it ended early; ``None`` if it did not.
    """

    done: int
    left: Counter[str]
    remaining: int
    stopped: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """What a person can do; built by ``wiring``."""

    store: Store
    names: Names
    now: Callable[[], datetime]
    pause: Callable[[float], object]

    def messages(self, places: Sequence[Place]) -> Iterator[ParkedMessage]:
        """Yield what waits in places, one after the other; locks nothing."""
        self.store.open(places)
        return (message for place in places for message in self.store.peek(place))

    def plan(
        self,
        path: Path,
        action: Action,
        messages: Iterable[ParkedMessage],
        selection: Selection,
        *,
        told: str,
        limit: int | None = None,
        max_replays: int = 3,
    ) -> Summary:
        """Write a plan, whole or not at all; ``told`` are the filters as they were given.

        Raises:
            OSError: the file cannot be written.
        """
        marked = [*self.names.moving, *self.names.resting] if action is not Action.DISCARD else []
        self.store.open(marked)
        order = Order(
            run=str(uuid4()),
            action=action,
            target=_target(action, self.names),
            selection=told,
            made_at=self.now().isoformat(timespec="seconds"),
            max_replays=max_replays,
            marks={str(place): self.store.highest(place) for place in marked},
        )
        summary = Summary()
        half = path.with_name(f"{path.name}.half")
        half.unlink(missing_ok=True)
        with os.fdopen(
            os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            for line, summary in dead_letters.make(messages, order, selection, limit, self.now()):  # noqa: B007 - the last one counts
                file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        return summary

    def apply(
        self,
        plan: Plan,
        *,
        why: str,
        pace: Pace,
        audit_file: Path,
        told: Callable[[int], object],
        stopping: Callable[[], bool],
        mend: Callable[[ParkedMessage], ParkedMessage] = lambda message: message,
    ) -> Result:
        """Apply what is left of a plan, and write the audit record of it.

        Raises:
            JournalError: the plan cannot be applied.
            ServiceBusError: Service Bus failed; the same plan can be applied again.
        """
        who = operator()
        with Journal(journal_of(plan.path), plan.hash.hexdigest(), plan.numbers) as journal:
            run = Run(
                plan=plan,
                journal=journal,
                store=self.store,
                stamp=Stamp(run=plan.order.run, by=who, why=why),
                watch=self.following(plan.order),
                pause=self.pause,
                pace=pace,
                mend=mend,
                told=told,
                stopping=stopping,
            )
            stopped: str | None = "it failed"
            try:
                run()
                stopped = None
            except StoppedError as error:
                stopped = str(error)
            finally:
                result = self._result(plan, journal, run, stopped)
                audit.record(audit_file, self._entry(plan, who, why, result))
        return result

    def progress(self, plan: Plan) -> Progress:
        """Return how far a plan is applied.

        Raises:
            JournalError: the plan is being applied, or was changed.
        """
        with Journal(journal_of(plan.path), plan.hash.hexdigest(), plan.numbers) as journal:
            remaining = sum(journal.remaining(place) for place in plan.numbers)
            return Progress(begun=journal.count(Step.OPEN) < plan.count, remaining=remaining)

    def restore(self, messages: Sequence[ParkedMessage], *, why: str, audit_file: Path) -> int:
        """Send events again whose message is gone; return how many are too large to be sent."""
        run, who, refused = str(uuid4()), operator(), 0
        stamp = Stamp(run=run, by=who, why=why)
        for portion in batched(messages, 100, strict=False):
            copies = [dead_letters.replayed(message, stamp) for message in portion]
            refused += len(self.store.send(self.names.acceptances, copies))
        entry = {"at": self.now().isoformat(timespec="seconds"), "who": who, "action": "restore", "why": why}
        audit.record(audit_file, entry | {"run": run, "chosen": len(messages), "left": refused})
        return refused

    def following(self, order: Order) -> Following:
        """Return what looks for the endings of a plan's copies."""
        return Following(
            peek=self.store.peek,
            run=order.run,
            moving=self.names.moving,
            resting=self.names.resting,
            marks=order.marks,
        )

    def follow(
        self, order: Order, told: Callable[[Endings], object], stopping: Callable[[], bool]
    ) -> Endings:
        """Look until no copy of a plan is under way any more, or until told to stop."""
        following = self.following(order)
        told(endings := following())
        while endings.under_way and not stopping():
            self.pause(1.0)
            told(endings := following())
        return endings

    def _result(self, plan: Plan, journal: Journal, run: Run[Any], stopped: str | None) -> Result:
        remaining = sum(journal.remaining(place) for place in plan.numbers)
        return Result(done=journal.count(Step.DONE), left=run.left, remaining=remaining, stopped=stopped)

    def _entry(self, plan: Plan, who: str, why: str, result: Result) -> dict[str, object]:
        return {
            "at": self.now().isoformat(timespec="seconds"),
            "who": who,
            "action": plan.order.action,
            "why": why,
            "run": plan.order.run,
            "planHash": plan.hash.hexdigest(),
            "chosen": plan.count,
            "done": result.done,
            "left": dict(result.left),
            "remaining": result.remaining,
            "stopped": result.stopped,
        }


def _target(action: Action, names: Names) -> str | None:
    return {Action.REPLAY: names.acceptances, Action.RELEASE: names.retries, Action.DISCARD: None}[action]


def journal_of(plan: Path) -> Path:
    """Return where the journal of a plan lies."""
    return plan.with_name(f"{plan.name}.journal")


def plan_of(folder: Path, action: Action, told: str) -> Path:
    """Return where the plan for some filters lies: the same for the same, so that it is found again."""
    digest = hashlib.sha256(f"{action} {told}".encode()).hexdigest()[:8]
    return folder / f"{action}-{digest}.jsonl"


def put_away(plan: Plan) -> None:
    """Move a plan of our own that is done with, and its journal, out of the way."""
    kept = plan.path.with_name(f"{plan.path.stem}-{plan.order.run}.jsonl")
    plan.path.replace(kept)
    with suppress(FileNotFoundError):
        journal_of(plan.path).replace(journal_of(kept))


def operator() -> str:
    """Return who is at work: the user of this machine, and which machine it is."""
    return f"{getpass.getuser()}@{platform.node()}"
