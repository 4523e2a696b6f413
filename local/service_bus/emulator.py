"""The configuration of Microsoft's Service Bus emulator, made from the entities of this broker."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from math import inf

from local.service_bus.description import InvalidEntitiesError
from local.service_bus.entities import Entity
from local.service_bus.namespace import Namespace
from local.service_bus.queues import Queue, Topic
from local.service_bus.rules import Settings, Status

# The limits of the emulator's Config.json (Azure, test-locally-with-service-bus-emulator).
_LIFE = (timedelta(minutes=5).total_seconds(), timedelta(hours=1).total_seconds())
_LOCK = (timedelta(seconds=5).total_seconds(), timedelta(minutes=5).total_seconds())
_WINDOW = (timedelta(seconds=20).total_seconds(), timedelta(minutes=5).total_seconds())
_MOST_DELIVERIES = 10
_MOST_ENTITIES = 50

type Warn = Callable[[str], object]
type Config = dict[str, object]


def config(namespace: Namespace, warn: Warn) -> Config:
    """Return what belongs into the emulator's ``Config.json``.

    Every property is written out, for the emulator's defaults differ from Azure's.

    Args:
        namespace: The entities.
        warn: Is told, in a line each, what the emulator cannot do as Azure does.

    Raises:
        InvalidEntitiesError: There are more entities than the emulator takes; leaving one out helps nobody.
    """
    _check_number("queues and topics", len(namespace.queues) + len(namespace.topics))
    for topic in namespace.topics:
        _check_number(f"subscriptions of {topic.name}", len(topic.subscriptions))
    entities = {
        "Name": "sbemulatorns",
        "Queues": [_entity(queue, _queue(queue, warn)) for queue in namespace.queues],
        "Topics": [_topic(topic, warn) for topic in namespace.topics],
    }
    return {"UserConfig": {"Namespaces": [entities], "Logging": {"Type": "Console"}}}


def _check_number(what: str, number: int) -> None:
    if number > _MOST_ENTITIES:
        raise InvalidEntitiesError(f"{number} {what}: the emulator takes {_MOST_ENTITIES}")


def _entity(entity: Entity, properties: Config) -> Config:
    return {"Name": entity.name.rsplit("/", 1)[-1], "Properties": properties}


def _topic(topic: Topic, warn: Warn) -> Config:
    subscriptions = [_entity(each, _subscription(each, warn)) for each in topic.subscriptions]
    properties = _Clamp(topic, warn)
    return {**_entity(topic, {**properties.kept(), **properties.taken()}), "Subscriptions": subscriptions}


def _queue(queue: Queue, warn: Warn) -> Config:
    properties = _Clamp(queue, warn)
    return {**properties.kept(), **properties.taken(), **properties.delivered()}


def _subscription(queue: Queue, warn: Warn) -> Config:
    properties = _Clamp(queue, warn)
    return {**properties.kept(), **properties.delivered()}


class _Clamp:
    """The properties of one entity within the emulator's limits."""

    def __init__(self, entity: Entity, warn: Warn) -> None:
        self._name = entity.name
        self._settings = entity.settings
        self._warn = warn
        for loss in _losses(entity.settings):
            warn(f"{entity.name}: {loss}")

    def kept(self) -> Config:
        """Return how long messages are kept."""
        life = self._duration("DefaultMessageTimeToLive", self._settings.time_to_live, _LIFE)
        return {"DefaultMessageTimeToLive": life}

    def taken(self) -> Config:
        """Return which messages are taken."""
        window = self._settings.duplicate_window
        if window is None:
            return {"RequiresDuplicateDetection": False}
        shown = self._duration("DuplicateDetectionHistoryTimeWindow", window, _WINDOW)
        return {"DuplicateDetectionHistoryTimeWindow": shown, "RequiresDuplicateDetection": True}

    def delivered(self) -> Config:
        """Return how messages are delivered."""
        return {
            "DeadLetteringOnMessageExpiration": self._settings.dead_letter_on_expiration,
            "LockDuration": self._duration("LockDuration", self._settings.lock_duration, _LOCK),
            "MaxDeliveryCount": int(self._within("MaxDeliveryCount", self._settings.max_delivery_count)),
            "RequiresSession": False,
        }

    def _within(self, key: str, count: float) -> float:
        if count > _MOST_DELIVERIES:
            self._warn(f"{self._name}: {key} {count:g} becomes {_MOST_DELIVERIES}")
        return min(count, _MOST_DELIVERIES)

    def _duration(self, key: str, seconds: float, limits: tuple[float, float]) -> str:
        shortest, longest = limits
        within = min(max(seconds, shortest), longest)
        if within != seconds:
            self._warn(f"{self._name}: {key} {_iso(seconds)} becomes {_iso(within)}")
        return _iso(within)


def _losses(settings: Settings) -> Iterator[str]:
    if settings.status is not Status.ACTIVE:
        yield f"status {settings.status.value} is left out: the emulator's entities are always active"


def _iso(seconds: float) -> str:
    """Return a duration as ISO 8601 has it, or that there is no limit."""
    if seconds == inf:
        return "without limit"
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts: Mapping[str, float] = {"H": hours, "M": minutes, "S": rest}
    clock = "".join(f"{value:g}{unit}" for unit, value in parts.items() if value)
    date = f"{days:g}D" if days else ""
    return f"P{date}T{clock}" if clock else f"P{date}"
