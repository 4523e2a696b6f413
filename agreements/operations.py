"""What a person does to waiting messages: look, plan, apply. No terminal here, no SDK."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from agreements import audit, dead_letters, plan_files
from agreements.copies import Stamp
from agreements.dead_letters import Action, Order, Plan, PlanError, Summary
from agreements.doubts import doubts
from agreements.endings import Endings, Following
from agreements.journal import Journal, Step
from agreements.messages import ParkedMessage, Place
from agreements.pacing import Pace, Pacer, StoppedError
from agreements.places import Names
from agreements.replays import Run
from agreements.replays import Store as Copying
from agreements.restores import Restore, Restored
from agreements.selection import Selection
from agreements.waiting import waiting


class Store(Copying[Any], Protocol):
    """Where messages wait."""

    @property
    def namespace(self) -> str:
        """Whose places these are."""

    def open(self, places: Iterable[Place]) -> None:
        """Connect to places, to find out whether they can be reached."""

    def highest(self, place: Place) -> int:
        """Return the highest sequence number in a place, 0 if it is empty."""

    def close(self) -> None:
        """Close what was opened."""


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
    """What a person can do; built by ``wiring``.

    Attributes:
        signed_in: tells by ids who signed in to Service Bus; ``None`` where a key opens it.
    """

    store: Store
    names: Names
    now: Callable[[], datetime]
    pause: Callable[[float], object]
    signed_in: Callable[[], str | None] = lambda: None

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
        doubted: bool = True,
    ) -> Summary:
        """Write a plan, whole or not at all; ``told`` are the filters as they were given.

        ``doubted`` has everything looked at that waits, to tell where a replay cannot help.

        Raises:
            OSError: the file cannot be written.
        """
        marked = [*self.names.moving, *self.names.resting] if action is not Action.DISCARD else []
        self.store.open(marked)
        order = Order(
            run=str(uuid4()),
            namespace=self.store.namespace,
            action=action,
            target=_target(action, self.names),
            selection=told,
            made_at=self.now().isoformat(timespec="seconds"),
            max_replays=max_replays,
            marks={str(place): self.store.highest(place) for place in marked},
        )
        summary = Summary()
        with self._doubting(action, doubted=doubted) as doubt:
            plan_files.write(path, dead_letters.make(messages, order, selection, limit, doubt, summary))
        return summary

    @contextmanager
    def _doubting(
        self, action: Action, *, doubted: bool
    ) -> Iterator[Callable[[ParkedMessage], Iterable[str]]]:
        """Give what tells the doubts about a message, once everything was looked at that waits beside it."""
        if action is not Action.REPLAY or not doubted:
            yield lambda _: ()
            return
        now = self.now()
        with waiting(now) as others:
            for message in self.messages([*self.names.moving, *self.names.resting]):
                others.add(message)
            yield lambda message: doubts(message, now, others)

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
        """Apply what is left of a plan, with an audit record before and after.

        Raises:
            PlanError: it is for another namespace.
            JournalError: the plan cannot be applied.
            ServiceBusError: Service Bus failed; the same plan can be applied again.
        """
        with self._journal(plan) as journal:
            run = Run(
                plan=plan,
                journal=journal,
                store=self.store,
                stamp=Stamp(run=plan.order.run, by=audit.operator(), why=why),
                pacer=Pacer(
                    pace=pace,
                    watch=self.following(plan.order),
                    pause=self.pause,
                    told=told,
                    stopping=stopping,
                ),
                mend=mend,
            )
            stopped: str | None = "it failed"
            # Also of a run that is killed is known who began it, and why.
            audit.record(audit_file, {"state": "begun", **self._entry(plan, run.stamp)}, log=False)
            try:
                run()
                stopped = None
            except StoppedError as error:
                stopped = str(error)
            finally:
                result = self._result(plan, journal, run, stopped)
                audit.record(audit_file, {"state": "ended", **self._entry(plan, run.stamp), **_told(result)})
        return result

    def progress(self, plan: Plan) -> Progress:
        """Return how far a plan is applied.

        Raises:
            PlanError: it is for another namespace.
            JournalError: the plan is being applied, or was changed.
        """
        with self._journal(plan) as journal:
            remaining = sum(journal.remaining(place) for place in plan.numbers)
            return Progress(begun=journal.count(Step.OPEN) < plan.count, remaining=remaining)

    def left_out(self, plan: Plan, messages: Iterable[ParkedMessage]) -> list[ParkedMessage]:
        """Return those of which a plan neither has nor will have sent a copy: not named, or left behind.

        Raises:
            JournalError: the plan is being applied, or was changed.
        """
        with self._journal(plan) as journal:
            return [
                message
                for message in messages
                if not plan.names(message)
                or journal.step_of(message.place, message.sequence_number) is Step.LEFT
            ]

    def restore(
        self,
        messages: Sequence[ParkedMessage],
        gone: Sequence[ParkedMessage],
        *,
        file: Path,
        digest: str,
        why: str,
        audit_file: Path,
    ) -> Restored:
        """Send events again whose message is gone, with an audit record before and after; see ``Restore``.

        Raises:
            JournalError: another process restores the same.
            ServiceBusError: Service Bus failed; the same can be given again.
        """
        stamp = Stamp(run=str(uuid4()), by=audit.operator(), why=why)
        restore = Restore(
            send=lambda copies: self.store.send(self.names.acceptances, copies),
            stamp=stamp,
            entry=self._began("restore", stamp) | {"digest": digest},
            audit_file=audit_file,
        )
        with restore.journal(file, digest, messages) as journal:
            return restore(gone, journal)

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

    def _journal(self, plan: Plan) -> Journal:
        if plan.order.namespace != self.store.namespace:
            # There its messages would be found gone, and noted as dealt with.
            raise PlanError(
                f"{plan.path}: a plan for {plan.order.namespace}, and this is {self.store.namespace}"
            )
        return Journal(plan_files.journal_of(plan.path), plan.hash.hexdigest(), plan.numbers)

    def _result(self, plan: Plan, journal: Journal, run: Run[Any], stopped: str | None) -> Result:
        remaining = sum(journal.remaining(place) for place in plan.numbers)
        return Result(done=journal.count(Step.DONE), left=run.left, remaining=remaining, stopped=stopped)

    def _began(self, action: str, stamp: Stamp) -> dict[str, object]:
        return {
            "at": self.now().isoformat(timespec="seconds"),
            "who": stamp.by,
            "signedInAs": self.signed_in(),
            "namespace": self.store.namespace,
            "action": action,
            "why": stamp.why,
            "run": stamp.run,
        }

    def _entry(self, plan: Plan, stamp: Stamp) -> dict[str, object]:
        began = self._began(plan.order.action, stamp)
        return began | {"planHash": plan.hash.hexdigest(), "chosen": plan.count}


def _told(result: Result) -> dict[str, object]:
    return {
        "done": result.done,
        "left": dict(result.left),
        "remaining": result.remaining,
        "stopped": result.stopped,
    }


def _target(action: Action, names: Names) -> str | None:
    return {Action.REPLAY: names.acceptances, Action.RELEASE: names.retries, Action.DISCARD: None}[action]
