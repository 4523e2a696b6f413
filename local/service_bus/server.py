"""The broker as a running part: a socket and its connections."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from local.faults import Faults
from local.parts import LOOPBACK
from local.service_bus.broker import Broker
from local.service_bus.connection import Connection
from local.service_bus.entities import Clock
from local.service_bus.errors import Condition, Refusal
from local.service_bus.faults import BrokerFaults
from local.service_bus.namespace import Namespace
from local.service_bus.tokens import KEY, POLICY, Authority
from local.service_bus.watch import Patience


@asynccontextmanager
async def serve(
    namespace: Namespace,
    *,
    port: int = 0,
    clock: Clock = time.time,
    patience: Patience = Patience(),  # noqa: B008 - it is frozen
    faults: BrokerFaults | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Mapping[str, str]]:
    """Serve a namespace to the Service Bus SDKs while the block runs: over plain TCP, or over TLS.

    Args:
        namespace: The entities; what is in them outlives the block.
        port: Where to listen on this machine; 0 takes a free port.
        clock: Tells when tokens expire, in seconds since 1970 UTC.
        patience: How long clients may keep silent.
        faults: What goes wrong on request.
        context: What to show to clients over TLS, as Azure does; without it they are served in plain, as
            Microsoft's emulator does.

    Yields:
        The environment that leads here: ``ServiceBus``, a connection string; of the emulator's form in plain.

    Raises:
        OSError: The port is taken.
    """
    loop = asyncio.get_running_loop()
    broker = Broker(namespace, Authority(clock), patience, Faults() if faults is None else faults)
    connections: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(broker, connections), LOOPBACK, port, ssl=context)
    try:
        taken = server.sockets[0].getsockname()[1]
        yield {"ServiceBus": _connection_string(taken, emulator=context is None)}
    finally:
        server.close()
        for connection in list(connections):
            connection.close(Refusal(Condition.CONNECTION_FORCED, "the broker ends"))
        server.abort_clients()
        await server.wait_closed()
        broker.close()


def _connection_string(port: int, *, emulator: bool) -> str:
    string = f"Endpoint=sb://localhost:{port};SharedAccessKeyName={POLICY};SharedAccessKey={KEY};"
    return f"{string}UseDevelopmentEmulator=true;" if emulator else string
