"""A Service Bus for one machine: an AMQP 1.0 broker that the real SDKs accept, in plain asyncio.

It takes the connection string of Microsoft's emulator and keeps everything in memory. ``README.md`` beside
this file tells how the parts fit and what is refused::

    with in_thread(lambda: serve(Namespace.from_file(path))) as environment:
        client = ServiceBusClient.from_connection_string(environment["ServiceBus"])
"""

from local.service_bus.description import InvalidEntitiesError
from local.service_bus.namespace import Namespace
from local.service_bus.server import serve

__all__ = ["InvalidEntitiesError", "Namespace", "serve"]
