"""What all connections share: the entities, what keeps them going, and the broker's own rules."""

import asyncio

from local.service_bus.dispatch import Alarm, Dispatcher
from local.service_bus.entities import Entity, nobody
from local.service_bus.faults import BrokerFaults
from local.service_bus.namespace import Namespace
from local.service_bus.queues import Queue
from local.service_bus.tokens import Authority
from local.service_bus.watch import Patience


class Broker:
    """A namespace at work on an event loop: every queue has its dispatcher, every entity its alarm.

    Args:
        namespace: The entities.
        authority: Knows which tokens are good.
        patience: How long clients may keep silent.
        faults: What goes wrong on request.
    """

    def __init__(
        self, namespace: Namespace, authority: Authority, patience: Patience, faults: BrokerFaults
    ) -> None:
        self.namespace = namespace
        self.authority = authority
        self.patience = patience
        self.faults = faults
        loop = asyncio.get_running_loop()
        self._alarms: dict[Entity, Alarm] = {entity: Alarm(entity, loop) for entity in namespace}
        self._dispatchers = {
            entity: Dispatcher(entity, alarm, loop)
            for entity, alarm in self._alarms.items()
            if isinstance(entity, Queue)
        }

    def dispatcher(self, queue: Queue) -> Dispatcher:
        """Return who delivers the messages of a queue."""
        return self._dispatchers[queue]

    def close(self) -> None:
        """Let go of the event loop; the entities stay as they are."""
        for entity, alarm in self._alarms.items():
            entity.changed = nobody
            alarm.cancel()
