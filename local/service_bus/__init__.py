"""A Service Bus for one machine: an AMQP 1.0 broker that the real SDKs accept, in plain asyncio.

It speaks the connection string of Microsoft's emulator (plain TCP, any token), keeps everything in memory,
and takes its entities from ``infra/service-bus.json``::

    with in_thread(lambda: serve(Namespace.from_file(path))) as environment:
        client = ServiceBusClient.from_connection_string(environment["ServiceBus"])

How the files fit, lowest first::

    errors         what the broker refuses, by the conditions that the SDKs know
    encoding       values to bytes              } AMQP's types
    decoding       bytes to values              }
    slicing        parts of bytes as they came  }
    performatives  what clients say             } AMQP's frames
    frames         what the broker says         }
    message        one message: its sections stay the bytes that came, the broker's are put around them
    rules          status and settings of an entity     }
    entities       numbering, duplicates, schedules     } the engine: pure, with a clock that is given
    queues         locks, settlement, expiry, topics    }
    namespace      the entities, from JSON, by address
    emulator       the same as a configuration of Microsoft's emulator
    deliveries     a stored message as clients see it
    settlement     what a client says became of a delivery
    dispatch       hands messages to receivers in turn, wakes up when something is due
    broker         a namespace at work on an event loop
    links          credit; deliveries in and out
    management     $cbs and <entity>/$management
    attaching      which link a client gets
    sessions       windows; frames to links
    connection     headers, SASL, frames, heartbeats; the one place where a failure ends a connection
    server         the socket

A message's way in: `Connection` cuts frames, `Session` finds the link, `ReceivingLink` puts the delivery
together, `Message.parse` takes it apart and `Queue.send` stores it. Out: the queue reports a change, its
`Dispatcher` locks a message for each `DeliveryLink` that has credit, and `Session.transfer` cuts it into
frames as the session's window allows.

What it does not offer, it refuses with the error of a Service Bus: sessions, filters and rules, transactions,
forwarding, changing properties while settling. It checks no tokens and keeps nothing after its end.
"""

from local.service_bus.description import InvalidEntitiesError
from local.service_bus.namespace import Namespace
from local.service_bus.server import serve

__all__ = ["InvalidEntitiesError", "Namespace", "serve"]
