"""The host as a whole: index the app, listen for it, let it finish."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient

from local.functions_host.errors import HostError
from local.functions_host.host_json import HostJson
from local.functions_host.listener import Listener
from local.functions_host.triggers import QueueTrigger
from local.functions_host.worker import IndexedFunction, index

_OPEN_SECONDS = 15.0
_DRAIN_SECONDS = 10.0
# How long the SDK blocks a connection's writes while it waits for something to read: the longest that a
# settlement may have to wait for a receive that finds nothing.
_SOCKET_TIMEOUT = 0.02

_log = logging.getLogger(__name__)


@asynccontextmanager
async def serve(app: Path, environ: Mapping[str, str]) -> AsyncIterator[Mapping[str, str]]:
    """Run a function app while the block runs: its Service Bus queue triggers, fed from their queues.

    The worker library keeps one app per process, so this may be entered once. Leaving waits ten seconds for
    the calls that run; threads that take longer go on until the process ends.

    Args:
        app: The folder of function_app.py and host.json.
        environ: The app's settings, as ``os.environ`` shows them to the app itself.

    Raises:
        HostError: The app cannot be loaded, asks for what is not there, or no broker answers.
    """
    settings = HostJson.read(app / "host.json")
    triggers = _triggers(await index(app), environ)
    listeners = [_listener(trigger, settings) for trigger in triggers]
    await _open(listeners)
    async with asyncio.TaskGroup() as group:
        receiving = [group.create_task(listener.receive()) for listener in listeners]
        try:
            yield {}
        finally:
            for task in receiving:
                task.cancel()
    await _drain(listeners)


def _triggers(functions: Sequence[IndexedFunction], environ: Mapping[str, str]) -> list[QueueTrigger]:
    found = []
    for function in functions:
        if trigger := QueueTrigger.of(function, environ):
            found.append(trigger)
        else:
            _log.info("%s: not run here, no Service Bus queue triggers it", function.name)
    return found


def _listener(trigger: QueueTrigger, settings: HostJson) -> Listener:
    client = ServiceBusClient.from_connection_string(trigger.connection_string, retry_total=0)
    receiver = client.get_queue_receiver(
        trigger.queue,
        auto_lock_renewer=AutoLockRenewer(max_lock_renewal_duration=settings.max_lock_renewal),
        socket_timeout=_SOCKET_TIMEOUT,
    )
    return Listener(trigger, receiver, calls=settings.max_concurrent_calls, timeout=settings.function_timeout)


async def _open(listeners: Sequence[Listener]) -> None:
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            await asyncio.gather(*(listener.open() for listener in listeners))
    except TimeoutError:
        raise HostError(f"no broker answered within {_OPEN_SECONDS:.0f} s") from None


async def _drain(listeners: Sequence[Listener]) -> None:
    in_time = await asyncio.gather(*(listener.close(_DRAIN_SECONDS) for listener in listeners))
    if not all(in_time):
        _log.warning("calls still run after %.0f s and are given up", _DRAIN_SECONDS)
