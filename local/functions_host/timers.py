"""The timer side of one function: wait, call, and be called on demand.

The real host remembers in storage when a timer last ran, and makes up for a run that it missed; this one has
no storage, so a timer runs when its time comes while the host is up.
"""

import asyncio
import json
import logging
from datetime import UTC, datetime

from croniter import croniter

from local.functions_host import traces
from local.functions_host.invoking import call
from local.functions_host.protocol import Invocation, TypedData
from local.functions_host.triggers import TimerTrigger
from local.functions_host.worker_process import Worker

# A clock that is set, or a machine that sleeps, is noticed after so long.
_LOOK_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Timer:
    """Calls one function at its times; ``timeout`` bounds each call, in seconds."""

    def __init__(self, trigger: TimerTrigger, worker: Worker, *, timeout: float) -> None:
        self.name = trigger.function.name
        self._trigger, self._worker = trigger, worker
        self._timeout = timeout
        self._running: set[asyncio.Task[None]] = set()
        self._last: datetime | None = None

    async def keep_time(self) -> None:
        """Call the function at each of its times, one call after the other, until cancelled."""
        if self._trigger.run_on_startup:
            await self._call("start-up")
        while True:
            await _until(self._next(datetime.now(UTC)))
            await self._call("its schedule")

    def call_now(self) -> None:
        """Call the function, whatever else runs; nobody waits for it."""
        _ = self._start("request")

    async def close(self, grace: float) -> bool:
        """Wait so many seconds for what runs; tell whether everything ended in time."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        return not self._running

    async def _call(self, cause: str) -> None:
        # Waiting may be cancelled, the call itself may not.
        await asyncio.wait({self._start(cause)})

    def _start(self, cause: str) -> asyncio.Task[None]:
        run = asyncio.create_task(self._run(cause))
        self._running.add(run)
        run.add_done_callback(self._running.discard)
        return run

    async def _run(self, cause: str) -> None:
        began = datetime.now(UTC)
        invocation = Invocation(
            function=self.name,
            parameter=self._trigger.parameter,
            data=self._request(),
            metadata={},
            trace_parent=traces.trace_parent({}),
        )
        _log.info("%s: called by %s", self.name, cause)
        failure = await call(self._worker, invocation, timeout=self._timeout, which=cause)
        self._last = began
        if failure is not None:
            _log.error("%s: failed, called by %s\n%s", self.name, cause, failure)

    def _request(self) -> TypedData:
        """Return what the real host sends: the schedule, its state, and whether this run is late."""
        now = datetime.now(UTC)
        status = {
            "Last": (self._last or datetime.min.replace(tzinfo=UTC)).isoformat(),
            "Next": self._next(now).isoformat(),
            "LastUpdated": (self._last or datetime.min.replace(tzinfo=UTC)).isoformat(),
        }
        request = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
        return TypedData("json", json.dumps(request))

    def _next(self, after: datetime) -> datetime:
        schedule = croniter(self._trigger.schedule, after, second_at_beginning=True)
        return schedule.get_next(datetime)


async def _until(due: datetime) -> None:
    while (left := (due - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110 - nothing tells of a clock
        await asyncio.sleep(min(left, _LOOK_SECONDS))
