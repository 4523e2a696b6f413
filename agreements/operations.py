"""What a person does to waiting messages: look, plan, apply. No terminal here, no SDK."""

import hashlib
import os
import platform
import sys
from array import array
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
from agreements.dead_letters import Action, Order, Plan, PlanError, Stamp, Summary
from agreements.endings import Endings, Following
from agreements.journal import Journal, Step
from agreements.messages import ParkedMessage, Place
from agreements.replays import Pace, Run, StoppedError
from agreements.replays import Store as Copying
from agreements.selection import Selection

if sys.platform == "win32":  # pragma: no cover - the suites run elsewhere
    import getpass
else:
    import pwd


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
class Restored:
    """How many were to be sent again, this time, and how many of them are too large for it."""

    chosen: int
    refused: int


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
    ) -> Summary:
        """Write a plan, whole or not at all; ``told`` are the filters as they were given.

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
                stamp=Stamp(run=plan.order.run, by=operator(), why=why),
                watch=self.following(plan.order),
                pause=self.pause,
                pace=pace,
                mend=mend,
                told=told,
                stopping=stopping,
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

    def dealt_with(self, plan: Plan, message: ParkedMessage) -> bool:
        """Tell whether a plan has or will have sent a message's copy; not if it was left where it was.

        Raises:
            JournalError: the plan is being applied, or was changed.
        """
        with self._journal(plan) as journal:
            return plan.names(message) and (
                journal.step_of(message.place, message.sequence_number) is not Step.LEFT
            )

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
        """Send events again whose message is gone; each once, however often the same are given.

        Args:
            messages: all that the journal may tell of; no two of a place with the same sequence number.
            gone: those of them that are to be sent.
            file: the journal, from which the same command goes on after a crash.
            digest: of what the events come from; the journal is for that alone.
            why: for the audit record and the copies.
            audit_file: gets a record before the first and after the last is sent.

        Raises:
            JournalError: another process restores the same.
            ServiceBusError: Service Bus failed; the same can be given again.
        """
        stamp = Stamp(run=str(uuid4()), by=operator(), why=why)
        with Journal(file, digest, _numbers(messages)) as journal:
            fresh = [one for one in gone if journal.step_of(one.place, one.sequence_number) < Step.SENT]
            entry = self._began("restore", stamp) | {"digest": digest, "chosen": len(fresh)}
            audit.record(audit_file, {"state": "begun", **entry}, log=False)
            refused = 0
            try:
                for portion in batched(fresh, 100, strict=False):
                    refused += self._restore(portion, stamp, journal)
            finally:
                sent = sum(journal.step_of(one.place, one.sequence_number) is Step.SENT for one in fresh)
                audit.record(audit_file, {"state": "ended", **entry, "done": sent, "left": refused})
        return Restored(chosen=len(fresh), refused=refused)

    def _restore(self, portion: Sequence[ParkedMessage], stamp: Stamp, journal: Journal) -> int:
        copies = [dead_letters.replayed(message, stamp) for message in portion]
        refused = set(self.store.send(self.names.acceptances, copies))
        sent = [message for at, message in enumerate(portion) if at not in refused]
        for place, numbers in _numbers(sent).items():
            journal.write(Step.SENT, place, numbers)
        for place, numbers in _numbers(portion[at] for at in refused).items():
            journal.write(Step.LEFT, place, numbers, "too large for a copy")
        return len(refused)

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
        return Journal(journal_of(plan.path), plan.hash.hexdigest(), plan.numbers)

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


def _numbers(messages: Iterable[ParkedMessage]) -> dict[Place, "array[int]"]:
    numbers: dict[Place, array[int]] = {}
    for message in sorted(messages, key=lambda message: message.sequence_number):
        numbers.setdefault(message.place, array("q")).append(message.sequence_number)
    return numbers


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
    """Return who is at work: the user of this machine, whatever the environment says, and which machine."""
    return f"{_user()}@{platform.node()}"


if sys.platform == "win32":  # pragma: no cover - the suites run elsewhere

    def _user() -> str:
        return getpass.getuser()
else:

    def _user() -> str:
        user = os.getuid()
        try:
            return pwd.getpwuid(user).pw_name
        except KeyError:  # as in a container that was given a number
            return str(user)
