import json
import re
from math import inf
from pathlib import Path

import pytest

from local import service_bus
from local.service_bus.description import InvalidEntitiesError
from local.service_bus.errors import Condition, Refusal
from local.service_bus.namespace import Namespace
from local.service_bus.rules import Status

ENTITIES = Path(__file__).parents[2] / "infra" / "service-bus.json"


def test_the_projects_entities_are_served() -> None:
    """The file that Bicep deploys from is one that the broker takes, rules and all."""
    described = json.loads(ENTITIES.read_text(encoding="utf-8"))
    namespace = Namespace.from_file(ENTITIES)
    for queue in described["queues"]:
        settings = namespace.source(queue["name"]).settings
        properties = queue["properties"]
        assert settings.max_delivery_count == properties["maxDeliveryCount"]
        assert (settings.duplicate_window is not None) == properties["requiresDuplicateDetection"]
        assert namespace.source(queue["name"] + "/$DeadLetterQueue").dead_letters is None
    for topic in described["topics"]:
        assert namespace.target(topic["name"]).name == topic["name"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT30S", 30), ("PT5M", 300), ("PT0.5S", 0.5), ("PT1M30S", 90), ("P0DT0H1M0S", 60)],
)
def test_durations_are_iso_8601(text: str, seconds: float) -> None:
    """Durations are read as Azure Resource Manager writes them."""
    namespace = Namespace.from_dict({"queues": [{"name": "q", "properties": {"lockDuration": text}}]})
    assert namespace.source("q").settings.lock_duration == seconds


def test_defaults_are_azures() -> None:
    """What is not said is as Azure has it; the longest duration of .NET means forever, or nearly."""
    ttl = "P10675199DT2H48M5.4775807S"
    unique = {"requiresDuplicateDetection": True, "defaultMessageTimeToLive": ttl}
    namespace = Namespace.from_dict({"queues": [{"name": "q"}, {"name": "u", "properties": unique}]})
    plain, detecting = namespace.source("q").settings, namespace.source("u").settings
    assert (plain.lock_duration, plain.max_delivery_count, plain.time_to_live) == (60, 10, inf)
    assert plain.duplicate_window is None
    assert (plain.max_size, plain.status) == (2**30, Status.ACTIVE)
    assert detecting.duplicate_window == 600
    assert detecting.time_to_live > 9e11


def test_addresses_lead_to_entities() -> None:
    """Queues, sub-queues, topics and subscriptions are found by path or URI in any case; nothing else is."""
    namespace = Namespace.from_dict({"topics": [{"name": "News", "subscriptions": [{"name": "All"}]}]})
    assert namespace.source("amqps://localhost:1/news/subscriptions/all").name == "News/Subscriptions/All"
    assert namespace.source("news/Subscriptions/all/$deadletterqueue").dead_letters is None
    assert namespace.target("NEWS/").name == "News"
    for find, address, condition in [
        (namespace.source, "news", Condition.NOT_ALLOWED),
        (namespace.target, "news/subscriptions/all", Condition.NOT_ALLOWED),
        (namespace.find, "news/subscriptions/none", Condition.NOT_FOUND),
        (namespace.find, "", Condition.NOT_FOUND),
    ]:
        with pytest.raises(Refusal) as refusal:
            find(address)
        assert refusal.value.condition is condition


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        ([], "the entities should be an object"),
        ({"queue": []}, "queue is not supported"),
        ({"queues": {}}, "queues should be a list"),
        ({"queues": [{}]}, "needs a name"),
        ({"queues": [{"name": "q"}, {"name": "Q"}]}, "Q is there twice"),
        ({"queues": [{"name": "q", "subscriptions": []}]}, "subscriptions is not supported"),
        (
            {"topics": [{"name": "t", "subscriptions": [{"name": "s", "rules": []}]}]},
            "rules is not supported",
        ),
        ({"queues": [{"name": "q", "properties": {"forwardTo": "x"}}]}, "q: forwardTo is not supported"),
        (
            {"queues": [{"name": "q", "properties": {"requiresSession": True}}]},
            "requiresSession is not supported",
        ),
        ({"queues": [{"name": "q", "properties": {"maxDeliveryCount": 0}}]}, "a whole number from 1"),
        ({"queues": [{"name": "q", "properties": {"maxSizeInMegabytes": 0}}]}, "a whole number from 1"),
        ({"queues": [{"name": "q", "properties": {"status": "Paused"}}]}, "Active or Disabled or "),
        ({"queues": [{"name": "q", "properties": {"lockDuration": "PT6M"}}]}, "at most 0:05:00"),
        ({"queues": [{"name": "q", "properties": {"lockDuration": "PT"}}]}, "a duration such as PT1M"),
        ({"queues": [{"name": "q", "properties": {"requiresDuplicateDetection": 1}}]}, "true or false"),
        (
            {"queues": [{"name": "q", "properties": {"defaultMessageTimeToLive": "PT0S"}}]},
            "longer than nothing",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(description: object, complaint: str) -> None:
    """A wrong or unsupported property is an error that names it, never ignored."""
    with pytest.raises(InvalidEntitiesError, match=complaint):
        Namespace.from_dict(description)


@pytest.mark.parametrize(("content", "complaint"), [(None, "No such file"), ("{", "not JSON")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, complaint: str) -> None:
    """The error of a missing or broken file begins with its path and has one line."""
    path = tmp_path / "entities.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidEntitiesError, match=complaint) as error:
        Namespace.from_file(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_the_page_on_the_broker_names_every_file() -> None:
    """Whoever reads how the files fit finds each of them there, and none that is gone."""
    folder = Path(service_bus.__file__).parent
    named = set(re.findall(r"`(\w+\.py)`", (folder / "README.md").read_text(encoding="utf-8")))
    assert named == {file.name for file in folder.glob("*.py")}
