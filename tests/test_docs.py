"""What the README, the sample settings and infra say stays true."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer import Typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from agreements import access, handler, outcome_events, settings, telemetry
from agreements.cli.app import app
from agreements.deliveries import Property
from agreements.errors import Actor, Reason
from agreements.settings import FunctionAppSettings
from tests.fakes import FakeOutbox, FakePartnerCenter, agreement, delivery
from tests.test_handler import handler as handler_over

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SETTINGS = [
    field
    for concern in FunctionAppSettings.model_fields.values()
    if isinstance(concern.annotation, type) and issubclass(concern.annotation, BaseModel)
    for field in concern.annotation.model_fields.values()
]
REASONS = list(Reason)
ENTITIES = json.loads((ROOT / "infra" / "service-bus.json").read_text())


COMMANDS = re.findall(r"^ *agreements (.+?)(?: \|.*)?$", OPERATIONS, re.MULTILINE)


def reasons_table() -> str:
    rows = [f"| `{reason}` | {reason.actor} | {reason.advice} |" for reason in Reason]
    return "\n".join(["| reason | who acts | advice |", "|---|---|---|", *rows])


def refusals_table() -> str:
    """Return what docs/sign-in.md tells of each reason for which there is no token, or no access with one."""
    numbers = [(of, f"AADSTS{number}") for of, numbers in access.ENTRA.items() for number in numbers]
    codes = numbers + [(of, f"{status} {code}") for (status, code), of in access.PARTNER_CENTER.items()]
    first, last = REASONS.index(Reason.REFRESH_TOKEN_MISSING), REASONS.index(Reason.ACCESS_REFUSED)
    rows = [
        f"| `{reason}` | {', '.join(code for of, code in codes if of is reason)} | {reason.advice} |"
        for reason in REASONS[first : last + 1]
    ]
    return "\n".join(["| reason | codes | what to do |", "|---|---|---|", *rows])


def test_every_refusal_is_in_the_guide() -> None:
    """The guide to signing in has every reason of a missing token with the codes by which people search."""
    guide = (ROOT / "docs" / "sign-in.md").read_text()
    told = guide.split("<!-- refusals -->\n", 1)[1].split("\n<!-- /refusals -->", 1)[0]
    assert told == refusals_table(), f"the list should read:\n{refusals_table()}"


def table_after(heading: str) -> dict[str, str]:
    """Return the first two columns of the table under a heading."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [row.strip("|").split("|") for row in section.splitlines() if row.startswith("| ")]
    return {row[0].strip().strip("`"): row[1].strip().strip("`") for row in rows[1:]}


def test_every_reason_is_in_the_readme() -> None:
    """The README's list of reasons is the one in the code, with who acts and the advice."""
    listed = README.split("<!-- reasons -->\n", 1)[1].split("\n<!-- /reasons -->", 1)[0]
    assert listed == reasons_table(), f"the list should read:\n{reasons_table()}"


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    """The README's settings are those of the models, no more and no less, with the same defaults."""
    told = table_after("Settings")
    assert set(told) == {field.alias for field in SETTINGS}
    for field in SETTINGS:
        if field.is_required():
            assert told[str(field.alias)] == "required"
        elif field.default is not None:
            assert told[str(field.alias)] == str(field.default)


def test_every_setting_is_in_the_sample() -> None:
    """The sample names every setting."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())
    assert {field.alias for field in SETTINGS} <= set(sample["Values"])


def test_the_sample_is_a_valid_configuration() -> None:
    """What the sample says is accepted as it stands."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())
    assert settings.read(FunctionAppSettings, sample["Values"]).queues.retries == "agreement-retries"


def test_every_default_queue_is_provisioned() -> None:
    """A queue that the settings name by default exists, and only those exist."""
    queues = FunctionAppSettings.model_fields["queues"].annotation
    assert isinstance(queues, type)
    assert issubclass(queues, BaseModel)
    defaults = {field.default for field in queues.model_fields.values() if field.default is not None}
    assert {queue["name"] for queue in ENTITIES["queues"]} == defaults
    assert all(queue in README for queue in defaults)


def test_the_topic_is_provisioned() -> None:
    """The topic that is told in Azure exists, with the subscription that the commands peek into."""
    given = json.loads((ROOT / "infra" / "app-settings.json").read_text())
    [topic] = ENTITIES["topics"]
    assert topic["name"] == given["OUTCOMES_TOPIC"]
    assert outcome_events.RECEIPTS in {subscription["name"] for subscription in topic["subscriptions"]}
    assert topic["properties"]["requiresDuplicateDetection"]


def test_the_handler_knows_how_long_a_lock_lasts() -> None:
    """A delivery counts as one that may have lost its lock after half of what the queues provide."""
    locks = {queue["properties"]["lockDuration"] for queue in ENTITIES["queues"]}
    assert locks == {"PT1M"}
    assert handler._LOCK_SECONDS == 60 / 2  # noqa: SLF001 - a number of the provisioned queues


def test_our_copies_queues_detect_duplicates() -> None:
    """The ids of our copies protect only where the broker looks at them; publishers' ids must not count."""
    detecting = {
        queue["name"]: queue["properties"]["requiresDuplicateDetection"] for queue in ENTITIES["queues"]
    }
    assert detecting == {
        "agreement-acceptances": False,
        "agreement-retries": True,
        "agreement-duplicates": True,
        "agreement-rejections": True,
    }


def test_every_field_of_the_log_is_in_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever searches the log finds each field of a line in the README, and none that is not there."""
    lines: list[Mapping[str, object]] = []
    monkeypatch.setattr(telemetry, "log", lambda record, *, level: lines.append(record))
    handler_over(FakePartnerCenter(agreement()), FakeOutbox())(delivery())
    [line] = lines
    told = {name.strip(" `") for names in table_after("What is logged") for name in names.split(",")}
    assert told == set(line)


@pytest.mark.parametrize("name", list(Property))
def test_every_property_is_in_the_readme(name: Property) -> None:
    """Whoever meets one of our properties on a message finds it in the README."""
    assert f"`{name}`" in README


def commands(of: Typer, prefix: str = "agreements") -> list[str]:
    """Return every command of the CLI, as it is typed."""
    own = [f"{prefix} {command.name}" for command in of.registered_commands]
    groups = [(group.typer_instance, f"{prefix} {group.name}") for group in of.registered_groups]
    return own + [command for group, name in groups if group for command in commands(group, name)]


@pytest.mark.parametrize("command", commands(app))
def test_every_command_is_in_the_readme(command: str) -> None:
    """Each command of the CLI is shown where people look first."""
    assert command in README


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_runbook(reason: Reason) -> None:
    """Whoever is woken by a reason finds what to do, step by step, under its name."""
    section = OPERATIONS.split(f"\n### {reason}\n", 1)
    assert len(section) == 2, f"docs/operations.md has no runbook for {reason}"
    runbook = section[1].split("\n##", 1)[0]
    assert len(runbook.split()) > 25, f"the runbook of {reason} says next to nothing"


def test_every_command_of_the_runbooks_is_real() -> None:
    """What a runbook has people type exists, options and all."""
    shell = OPERATIONS.replace("\\\n", " ")
    typed = re.findall(r"^agreements ((?:parked |retries )?[a-z]+)(.*)$", shell, re.MULTILINE)
    assert len(typed) > 20
    known = set(commands(app))
    for command, rest in typed:
        assert f"agreements {command}" in known, command
        helped = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).stdout
        options = re.findall(r"(?<=\s)--[a-z-]+", rest.split(" | ")[0])
        assert all(option in helped for option in options), (command, options)


def test_every_target_is_real() -> None:
    """A make target that the README names exists, and every target of daily use is named."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b(?! all)", README)) - {"it"}
    assert named <= targets | {"are"}, named - targets
    assert {"run", "test", "send", "look", "cli", "lock"} <= named


def test_the_map_leads_somewhere() -> None:
    """Every file in "To change X, open Y" exists, and every module of the product is on that map."""
    section = README.split("## To change X, open Y\n", 1)[1].split("\n## ", 1)[0]
    files = set(re.findall(r"`(\w+[\w./]*\.(?:py|json|toml))`", section.split("One delivery")[0]))
    assert all((ROOT / file).exists() for file in files)
    product = (ROOT / "agreements").glob("[a-z]*.py")
    assert {f"agreements/{path.name}" for path in product} <= files


def test_the_ways_through_the_code_lead_somewhere() -> None:
    """Every module on a way through the code exists, and each way begins where something starts."""
    section = (ROOT / "docs" / "architecture.md").read_text().split("## The code\n", 1)[1]
    named = set(re.findall(r"`([\w/]+\.py)`", section))
    assert len(named) > 40
    assert all((ROOT / "agreements" / name).exists() or (ROOT / name).exists() for name in named)


def test_everyone_who_acts_is_told() -> None:
    """Who must act is one of those that the README's first table names."""
    head = README.split("## Publishing", 1)[0]
    assert all(actor.split()[0] in head for actor in Actor)


def test_every_command_within_a_sentence_is_real() -> None:
    """Also those that an alert's text only names."""
    named = re.findall(r"`agreements ([^`]+)`", OPERATIONS.replace("\n", " "))
    assert len(named) > 20
    known = {command.removeprefix("agreements ") for command in commands(app)}
    groups = {command.split()[0] for command in known}
    for words in named:
        command = re.match(r"(?:(?:parked|retries) )?[a-z]+", words)
        assert command, words
        assert command[0] in known | groups, words


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_of_the_runbooks_can_be_given(words: str) -> None:
    """Whoever copies one in the night gets no usage error: names, options and required ones are right."""
    command, given = typer.main.get_command(app), shlex.split(words)
    while isinstance(command, TyperGroup):
        command = command.commands[given.pop(0)]
    command.make_context("agreements", given)
