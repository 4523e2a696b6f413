"""One run of the stack: publish events, follow them, account for all of them."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from azure.servicebus import ServiceBusMessage

from local import bus, control
from local.bus import Bus
from local.journey import Account, Journey, account, table
from local.sign_in import Credential
from local.stack import ROOT, Stack

SAMPLES = ROOT / "local" / "samples"
_POLL_SECONDS = 0.2
# A sample is published when the one before has had its first answer, so that its way can be read.
_FIRST_ANSWER_SECONDS = 10.0
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Event:
    """An event to publish: its name for people, and the body."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may ask of a run; ``faults`` and ``partner_center`` are rules for Partner Center."""

    events: Sequence[Event]
    one_by_one: bool
    faults: object
    exit_when_idle: bool
    as_json: bool
    ready_file: Path | None
    seed: int | None
    credential: Credential
    partner_center: Sequence[str]


class Run:
    """A run from start to end; steps are told on standard error, the account goes to standard output."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._heard = asyncio.Event()
        self._journey = Journey(tell)
        self._account: Account | None = None
        self._last_told = 0
        self._peeking = asyncio.Lock()

    async def __call__(self) -> int:
        """Run until all events have ended, or until Ctrl-C; return the exit code.

        Raises:
            StackError: a part does not start, or does not stay up.
        """
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await self._with_stack()
        except asyncio.CancelledError:
            tell("stopped")
        if self._account is None:
            return _INTERRUPTED
        return 0 if self._account.complete else 1

    async def _with_stack(self) -> None:
        stack = Stack(
            ready_file=self._options.ready_file,
            folder=ROOT / ".local",
            seed=self._options.seed,
            credential=self._options.credential,
            partner_center=self._options.partner_center,
            heard=self._hear,
            say=tell,
        )
        tell("starting Service Bus, Partner Center and the Functions host")
        async with stack:
            url = stack.environment["PARTNER_CENTER_URL"]
            tell(f"see Partner Center at {url}/ (a browser asks about its certificate: this machine's own)")
            working = asyncio.create_task(self._work(stack.environment))
            keeping = asyncio.create_task(stack.keep_alive())
            try:
                done, _ = await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await _cancelled(working, keeping)

    async def _work(self, environment: Mapping[str, str]) -> None:
        async with Bus(environment["ServiceBus"]) as opened:
            listening = asyncio.create_task(self._listen(opened, environment["OUTCOMES_TOPIC"]))
            try:
                await self._publish(opened, environment)
                await self._follow(opened, environment)
            finally:
                await _cancelled(listening)

    def _hear(self, line: str) -> None:
        self._journey.heard(line)
        self._heard.set()

    async def _publish(self, opened: Bus, environment: Mapping[str, str]) -> None:
        if self._options.faults:  # none must not undo those of whoever steers the stack from outside
            await asyncio.to_thread(control.set_faults, environment, self._options.faults)
        events = self._options.events
        groups = [[event] for event in events] if self._options.one_by_one else [events]
        for group in groups:
            self._heard.clear()
            messages = [self._message(event) for event in group]
            await opened.publish(environment["ACCEPTANCES_QUEUE"], messages)
            if self._options.one_by_one:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._heard.wait(), _FIRST_ANSWER_SECONDS)

    def _message(self, event: Event) -> ServiceBusMessage:
        correlation_id = str(uuid4())
        self._journey.published(event.name, correlation_id)
        return bus.message(event.body, message_id=event.name, correlation_id=correlation_id)

    async def _follow(self, opened: Bus, environment: Mapping[str, str]) -> None:
        queues = environment["ACCEPTANCES_QUEUE"], environment["RETRIES_QUEUE"]
        shown = -1
        while True:
            idle = all([await opened.is_empty(queue) for queue in queues])
            # What is over was told before.
            await self._show_told(opened, environment["OUTCOMES_TOPIC"])
            if idle and shown != self._journey.steps:
                shown = self._journey.steps
                self._account = await _settle(opened, self._journey, environment)
                _show(self._account, as_json=self._options.as_json)
                if self._options.exit_when_idle:
                    return
                tell(f"read what publishers were told with make look AT={environment['OUTCOMES_TOPIC']}")
                tell("the stack stays up: send more with make send EVENT=file.json, end it with Ctrl-C")
            await asyncio.sleep(_POLL_SECONDS)

    async def _listen(self, opened: Bus, topic: str) -> None:
        while True:
            await self._show_told(opened, topic)
            await asyncio.sleep(_POLL_SECONDS)

    async def _show_told(self, opened: Bus, topic: str) -> None:
        async with self._peeking:
            for told in await opened.told(topic, after=self._last_told):
                self._last_told = told.sequence_number
                self._journey.outcome(told.correlation_id, told.event)


def tell(line: str) -> None:
    """Tell the person who watches."""
    sys.stderr.write(line + "\n")


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _settle(opened: Bus, journey: Journey, environment: Mapping[str, str]) -> Account:
    names = ("ACCEPTANCES_QUEUE", "RETRIES_QUEUE", "DUPLICATES_QUEUE", "REJECTIONS_QUEUE")
    places = [(environment[name], dead) for name in names for dead in (False, True)]
    pages = await asyncio.gather(*(opened.waiting(queue, dead=dead) for queue, dead in places))
    waiting = [message for page in pages for message in page]
    recorded = await asyncio.to_thread(control.ledger, environment)
    return account(journey.ways, waiting, recorded, journey.told, environment)


def _show(found: Account, *, as_json: bool) -> None:
    text = json.dumps(found.summary) if as_json else table(found)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
