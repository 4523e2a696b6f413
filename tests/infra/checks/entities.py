"""The queues and topics are those of the code and of service-bus.json, and none can lose an event."""

import json
from collections.abc import Iterator

from tests.infra.bicep import Expression, Literal, Object, walk
from tests.infra.product import QUEUES
from tests.infra.project import Project, Resource

_QUEUE, _TOPIC = "Microsoft.ServiceBus/namespaces/queues", "Microsoft.ServiceBus/namespaces/topics"
_SUBSCRIPTION = f"{_TOPIC}/subscriptions"
# Inside a time-to-live an event vanishes, by forwarding a dead letter loses its origin.
_LOSING = {"autoDeleteOnIdle", "defaultMessageTimeToLive", "forwardDeadLetteredMessagesTo", "forwardTo"}
_WEEK = {"requiresDuplicateDetection": True, "duplicateDetectionHistoryTimeWindow": "P7D"}
# Refused by Standard, or not for what the code does: it opens no sessions.
_REFUSED = {"enablePartitioning", "maxMessageSizeInKilobytes", "requiresSession"}
_KEPT = {"deadLetteringOnMessageExpiration": True, "lockDuration": "PT1M"}
# What is told of an event is not the event: where nobody reads it, it must not fill the topic.
_ENDS = {"defaultMessageTimeToLive"}


def listed(project: Project) -> Iterator[str]:
    """What is provisioned is what service-bus.json lists, property by property."""
    path = project.root / "infra" / "service-bus.json"
    entities = json.loads(path.read_text())
    subscriptions = [one for topic in entities["topics"] for one in topic["subscriptions"]]
    for type_, wanted in (
        (_QUEUE, entities["queues"]),
        (_TOPIC, entities["topics"]),
        (_SUBSCRIPTION, subscriptions),
    ):
        given = {
            _plain(one.body.get("name")): _plain(one.body.get("properties")) for one in project.of(type_)
        }
        if given != {one["name"]: one["properties"] for one in wanted}:
            at = next((str(one.declared.at) for one in project.of(type_)), "infra/main.bicep:1")
            yield f"{at}: these are not the {type_.rpartition('/')[2]} of service-bus.json"


def named(project: Project) -> Iterator[str]:
    """Every queue that the code names by default is provisioned, and no other; so is the topic."""
    given = {str(_plain(one.body.get("name"))) for one in project.of(_QUEUE)}
    for name in sorted(set(QUEUES.values()) - given):
        yield f"infra/service-bus.json:1: there is no queue {name}"
    for name in sorted(given - set(QUEUES.values())):
        yield f"infra/service-bus.json:1: nothing uses the queue {name}"
    topic = json.loads((project.root / "infra" / "app-settings.json").read_text()).get("OUTCOMES_TOPIC")
    if topic not in {_plain(one.body.get("name")) for one in project.of(_TOPIC)}:
        yield f"infra/app-settings.json:1: there is no topic {topic}"


def lasting(project: Project) -> Iterator[str]:
    """No event vanishes by time, and the copies' ids are looked at for a week."""
    for one in [*project.of(_QUEUE), *project.of(_TOPIC)]:
        properties = one.body.get("properties")
        name, at = _plain(one.body.get("name")), (properties or one.body).at
        given = _plain(properties)
        if not isinstance(given, dict):
            yield f"{at}: the properties of {name} cannot be told"
            continue
        for key in sorted((_LOSING - (_ENDS if one.type == _TOPIC else set())) & given.keys()):
            yield f"{at}: {key} loses events of {name}"
        for key in sorted(_REFUSED & given.keys()):
            yield f"{at}: {name} cannot have {key}"
        for key, value in _wanted(one, name).items():
            if given.get(key) != value:
                yield f"{at}: {key} of {name} is {given.get(key)} and must be {value}"


def ending(project: Project) -> Iterator[str]:
    """What is told ends by time, on the topic and on each subscription, and fills no dead-letter queue."""
    for one in [*project.of(_TOPIC), *project.of(_SUBSCRIPTION)]:
        properties = one.body.get("properties")
        name, given = _plain(one.body.get("name")), _plain(properties)
        at = (properties or one.body).at
        if not isinstance(given, dict) or not given.keys() >= _ENDS:
            yield f"{at}: what is told to {name} never expires"
        elif given.get("deadLetteringOnMessageExpiration"):
            yield f"{at}: what expires fills the dead-letter queue of {name}"


def tier(project: Project) -> Iterator[str]:
    """The namespace is Standard or Premium: Basic has no topics, and does not detect duplicates."""
    for one in project.of("Microsoft.ServiceBus/namespaces"):
        for key in ("name", "tier"):
            given = one.body.get("sku", key)
            tiers = {part.value for part in (walk(given) if given else ()) if isinstance(part, Literal)}
            if not tiers or not tiers - {True, False} <= {"Standard", "Premium"}:
                yield f"{(given or one.body).at}: the namespace is neither Standard nor Premium by {key}"
        by = [repr(_plain_parts(one.body.get("sku", key))) for key in ("name", "tier")]
        if by[0] != by[1]:
            yield f"{one.declared.at}: name and tier of the namespace are not the same"


def _wanted(one: Resource, name: object) -> dict[str, object]:
    # Publishers reuse ids, or send none: where they send, nothing may be dropped for its id.
    detection = {"requiresDuplicateDetection": False} if name == QUEUES["acceptances"] else _WEEK
    return detection | (_KEPT if one.type == _QUEUE else {})


def _plain_parts(value: Expression | None) -> list[object]:
    return [part.value for part in (walk(value) if value else ()) if isinstance(part, Literal)]


def _plain(value: Expression | None) -> object:
    match value:
        case Literal(value=plain):
            return plain
        case Object(members=members):
            return {member.name: _plain(member.value) for member in members}
    return value
