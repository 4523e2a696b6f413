"""The entities of one Service Bus, by their addresses."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from local.service_bus import description
from local.service_bus.description import InvalidEntitiesError
from local.service_bus.entities import Clock, Entity
from local.service_bus.errors import Condition, Refusal
from local.service_bus.queues import Queue, Topic


class Namespace:
    """Queues and topics by their addresses.

    Args:
        queues: With their dead-letter queues.
        topics: With their subscriptions.
    """

    def __init__(self, queues: Sequence[Queue], topics: Sequence[Topic] = ()) -> None:
        self.queues = tuple(queues)
        self.topics = tuple(topics)
        self._entities: dict[str, Entity] = {}
        self._targets = frozenset[Entity]((*queues, *topics))
        for topic in topics:
            self._add(topic)
        for each in (*queues, *_subscriptions(topics)):
            self._add(each)
            if each.dead_letters is not None:
                self._add(each.dead_letters)

    @classmethod
    def from_file(cls, path: Path, *, clock: Clock = time.time) -> "Namespace":
        """Read a JSON file.

        Raises:
            InvalidEntitiesError: The file cannot be read, or what it says is wrong; the message is one line.
        """
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidEntitiesError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise InvalidEntitiesError(f"{path}: not JSON: {error}") from error
        try:
            return cls.from_dict(described, clock=clock)
        except InvalidEntitiesError as error:
            raise InvalidEntitiesError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, described: object, *, clock: Clock = time.time) -> "Namespace":
        """Build the entities of ``{"queues": [...], "topics": [...]}``; `description.read` has the rules.

        Raises:
            InvalidEntitiesError: What is described is wrong, or a name is there twice.
        """
        return cls(*description.read(described, clock))

    def __iter__(self) -> Iterator[Entity]:
        """Yield every entity, sub-queues included."""
        return iter(self._entities.values())

    def find(self, address: str) -> Entity:
        """Return the entity at an address: a path or a URI, in any case.

        Raises:
            Refusal: There is none.
        """
        path = path_of(address)
        entity = self._entities.get(path.lower())
        if entity is None:
            raise Refusal(Condition.NOT_FOUND, f"the messaging entity {path} could not be found")
        return entity

    def target(self, address: str) -> Entity:
        """Return the queue or topic to send to at an address.

        Raises:
            Refusal: There is nothing, or only a subscription or a dead-letter queue.
        """
        entity = self.find(address)
        if entity not in self._targets:
            raise Refusal(Condition.NOT_ALLOWED, f"{entity.name} takes no messages from senders")
        return entity

    def source(self, address: str) -> Queue:
        """Return the queue, subscription or dead-letter queue to receive from at an address.

        Raises:
            Refusal: There is nothing, or a topic.
        """
        entity = self.find(address)
        if not isinstance(entity, Queue):
            raise Refusal(
                Condition.NOT_ALLOWED, f"{entity.name} is a topic: receive from a subscription of it"
            )
        return entity

    def _add(self, entity: Entity) -> None:
        key = entity.name.lower()
        if key in self._entities:
            raise InvalidEntitiesError(f"{entity.name} is there twice")
        self._entities[key] = entity


def path_of(address: str) -> str:
    """Return an address without scheme, host and slashes around it; any text will do."""
    _, scheme, rest = address.partition("://")
    return (rest.partition("/")[2] if scheme else address).strip("/")


def _subscriptions(topics: Sequence[Topic]) -> Iterator[Queue]:
    for topic in topics:
        yield from topic.subscriptions
