"""The host as a whole: index the app, listen for it, let it finish."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient

from local import tls
from local.functions_host import admin as admins
from local.functions_host.errors import HostError
from local.functions_host.host_json import HostJson
from local.functions_host.listener import Listener
from local.functions_host.protocol import IndexedFunction
from local.functions_host.timers import Timer
from local.functions_host.triggers import QueueTrigger, TimerTrigger
from local.functions_host.worker_process import Worker

_OPEN_SECONDS = 60.0
_DRAIN_SECONDS = 10.0
# How long the SDK blocks a connection's writes while it waits for something to read: the longest that a
# settlement may have to wait for a receive that finds nothing.
_SOCKET_TIMEOUT = 0.02

_log = logging.getLogger(__name__)


@asynccontextmanager
async def serve(app: Path, environ: Mapping[str, str], *, port: int = 0) -> AsyncIterator[Mapping[str, str]]:
    """Run a function app while the block runs: its Service Bus queue triggers, and its timers.

    The app is in a process of its own, which is replaced when it ends. Leaving waits ten seconds for the
    calls that run; what takes longer is given up, and its messages come again.

    Args:
        app: The folder of function_app.py and host.json.
        environ: The app's settings, which are its environment.
        port: The host's own, for ``POST /admin/functions/NAME``; 0 takes a free one.

    Raises:
        HostError: The app cannot be loaded, asks for what is not there, or no broker answers.
        OSError: ``EADDRINUSE`` when ``port`` is taken.
    """
    settings, worker = HostJson.read(app / "host.json"), Worker(app, environ)
    functions = await worker.start()
    try:
        async with _serving(_triggers(functions, environ), settings, worker, port) as url:
            yield {"FUNCTIONS_HOST_URL": url}
    except* HostError as errors:
        # They come from the task that keeps the worker running.
        raise errors.exceptions[0] from None
    finally:
        await worker.close()


@asynccontextmanager
async def _serving(
    triggers: Sequence[QueueTrigger | TimerTrigger], settings: HostJson, worker: Worker, port: int
) -> AsyncIterator[str]:
    """Listen for an app that runs; leaving lets its calls finish."""
    listeners = [_listener(one, settings, worker) for one in triggers if isinstance(one, QueueTrigger)]
    timeout = settings.function_timeout
    timers = [Timer(one, worker, timeout=timeout) for one in triggers if isinstance(one, TimerTrigger)]
    admin = admins.application({timer.name: timer for timer in timers})
    await _open(listeners)
    async with tls.listening(admin, None, port=port) as url, asyncio.TaskGroup() as group:
        waiting = [group.create_task(listener.receive()) for listener in listeners]
        waiting += [group.create_task(timer.keep_time()) for timer in timers]
        waiting.append(group.create_task(worker.keep_running()))
        try:
            yield url
        finally:
            for task in waiting:
                task.cancel()
    await _drain([*listeners, *timers])


def _triggers(
    functions: Sequence[IndexedFunction], environ: Mapping[str, str]
) -> list[QueueTrigger | TimerTrigger]:
    found = []
    for function in functions:
        if trigger := QueueTrigger.of(function, environ) or TimerTrigger.of(function, environ):
            found.append(trigger)
        else:
            _log.info("%s: not run here, neither a Service Bus queue nor a timer triggers it", function.name)
    return found


def _listener(trigger: QueueTrigger, settings: HostJson, worker: Worker) -> Listener:
    client = ServiceBusClient.from_connection_string(trigger.connection_string, retry_total=0)
    receiver = client.get_queue_receiver(
        trigger.queue,
        auto_lock_renewer=AutoLockRenewer(max_lock_renewal_duration=settings.max_lock_renewal),
        socket_timeout=_SOCKET_TIMEOUT,
    )
    return Listener(
        trigger,
        receiver,
        worker,
        calls=settings.max_concurrent_calls,
        timeout=settings.function_timeout,
    )


async def _open(listeners: Sequence[Listener]) -> None:
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            await asyncio.gather(*(listener.open() for listener in listeners))
    except TimeoutError:
        raise HostError(f"no broker answered within {_OPEN_SECONDS:.0f} s") from None


async def _drain(callers: Sequence[Listener | Timer]) -> None:
    in_time = await asyncio.gather(*(caller.close(_DRAIN_SECONDS) for caller in callers))
    if not all(in_time):
        _log.warning("calls still run after %.0f s and are given up", _DRAIN_SECONDS)
