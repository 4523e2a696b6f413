"""The configuration of Microsoft's emulator is made from the entities that are provisioned."""

import json
from pathlib import Path

import pytest
import yaml

from local.service_bus import InvalidEntitiesError, Namespace, __main__
from local.service_bus.emulator import config

ROOT = Path(__file__).parents[2]
PROVISIONED = json.loads((ROOT / "infra" / "service-bus.json").read_text())


def entities(made: object) -> dict[str, object]:
    """Return the only namespace of a configuration."""
    assert isinstance(made, dict)
    [namespace] = made["UserConfig"]["Namespaces"]
    assert isinstance(namespace, dict)
    return namespace


def test_the_provisioned_entities_are_printed_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is the configuration of the provisioned entities; standard error has each change."""
    assert __main__.main(["--emulator-config"]) == 0
    printed = capsys.readouterr()
    made = entities(json.loads(printed.out))
    queues = made["Queues"]
    assert isinstance(queues, list)
    assert [queue["Name"] for queue in queues] == [queue["name"] for queue in PROVISIONED["queues"]]
    for told, given in zip((queue["Properties"] for queue in queues), PROVISIONED["queues"], strict=True):
        detects = given["properties"]["requiresDuplicateDetection"]
        assert told["RequiresDuplicateDetection"] == detects
        assert told.get("DuplicateDetectionHistoryTimeWindow") == ("PT5M" if detects else None)
        assert told["LockDuration"] == given["properties"]["lockDuration"]
        assert told["MaxDeliveryCount"] == 10
        assert told["DefaultMessageTimeToLive"] == "PT1H"
        assert told["DeadLetteringOnMessageExpiration"] is True
    changes = printed.err.splitlines()
    assert "agreement-acceptances: MaxDeliveryCount 50 becomes 10" in changes
    assert "agreement-retries: DuplicateDetectionHistoryTimeWindow P7D becomes PT5M" in changes
    assert "agreement-duplicates: DefaultMessageTimeToLive without limit becomes PT1H" in changes
    assert "agreement-outcomes: DefaultMessageTimeToLive P14D becomes PT1H" in changes
    assert "agreement-outcomes/Subscriptions/receipts: DefaultMessageTimeToLive P7D becomes PT1H" in changes


def test_what_the_emulator_can_do_stays_as_it_is() -> None:
    """Values within the limits are taken over, defaults are Azure's, subscriptions go with their topic."""
    short = {"lockDuration": "PT1M30S", "defaultMessageTimeToLive": "PT10M", "maxDeliveryCount": 3}
    namespace = Namespace.from_dict(
        {
            "queues": [{"name": "q", "properties": short}],
            "topics": [
                {
                    "name": "t",
                    "properties": {"defaultMessageTimeToLive": "PT1H"},
                    "subscriptions": [{"name": "s", "properties": {"defaultMessageTimeToLive": "PT5M"}}],
                }
            ],
        }
    )
    changes: list[str] = []
    made = entities(config(namespace, changes.append))
    delivery = {"DeadLetteringOnMessageExpiration": False, "RequiresSession": False}
    assert changes == []
    assert made == {
        "Name": "sbemulatorns",
        "Queues": [
            {
                "Name": "q",
                "Properties": {
                    "DefaultMessageTimeToLive": "PT10M",
                    "RequiresDuplicateDetection": False,
                    "LockDuration": "PT1M30S",
                    "MaxDeliveryCount": 3,
                    **delivery,
                },
            }
        ],
        "Topics": [
            {
                "Name": "t",
                "Properties": {"DefaultMessageTimeToLive": "PT1H", "RequiresDuplicateDetection": False},
                "Subscriptions": [
                    {
                        "Name": "s",
                        "Properties": {
                            "DefaultMessageTimeToLive": "PT5M",
                            "LockDuration": "PT1M",
                            "MaxDeliveryCount": 10,
                            **delivery,
                        },
                    }
                ],
            }
        ],
    }


def test_what_is_too_little_is_raised_and_what_is_lost_is_told() -> None:
    """A lock shorter than the emulator's shortest is raised, and a status that it cannot have is named."""
    properties = {"lockDuration": "PT0.5S", "defaultMessageTimeToLive": "P1DT2H", "status": "SendDisabled"}
    changes: list[str] = []
    config(Namespace.from_dict({"queues": [{"name": "q", "properties": properties}]}), changes.append)
    assert sorted(changes) == [
        "q: DefaultMessageTimeToLive P1DT2H becomes PT1H",
        "q: LockDuration PT0.5S becomes PT5S",
        "q: status SendDisabled is left out: the emulator's entities are always active",
    ]


@pytest.mark.parametrize("kind", ["queues", "topics"])
def test_more_than_the_emulator_takes_is_refused(kind: str) -> None:
    """Fifty-one entities are an error rather than a configuration that lacks one."""
    namespace = Namespace.from_dict({kind: [{"name": f"e{number}"} for number in range(51)]})
    with pytest.raises(InvalidEntitiesError, match="51 queues and topics: the emulator takes 50"):
        config(namespace, print)


def test_too_many_subscriptions_are_refused() -> None:
    """The emulator's limit on the subscriptions of a topic is one too."""
    subscriptions = [{"name": f"s{number}"} for number in range(51)]
    namespace = Namespace.from_dict({"topics": [{"name": "t", "subscriptions": subscriptions}]})
    with pytest.raises(InvalidEntitiesError, match="51 subscriptions of t"):
        config(namespace, print)


def test_the_emulator_gets_the_file_that_the_readme_has_people_make() -> None:
    """What the README's command writes is what the containers mount."""
    compose = ROOT / "local" / "compose.yaml"
    [mount] = yaml.safe_load(compose.read_text())["services"]["service-bus"]["volumes"]
    path = (compose.parent / mount["source"]).resolve().relative_to(ROOT)
    assert f"python -m local.service_bus --emulator-config >{path}" in (ROOT / "README.md").read_text()
