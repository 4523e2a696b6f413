"""The samples in docs/: a message of every format, and one for every fault that a publisher can make."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from agreements import events
from agreements.errors import Actor, EventError, Reason
from agreements.outcomes import Rejected
from tests.fakes import FakeOutbox, FakePartnerCenter, agreement, delivery
from tests.test_handler import handler

FOLDER = Path(__file__).parent.parent / "docs" / "samples"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A message: its body is the file; ``reason`` and ``field`` tell why it is refused, if it is."""

    file: str
    about: str
    contentType: str | None = None  # noqa: N815 - the name in samples.json
    properties: Mapping[str, object] = field(default_factory=dict)
    reason: str | None = None
    field: str | None = None

    @property
    def body(self) -> bytes:
        """The bytes of the message's body."""
        return (FOLDER / self.file).read_bytes()


SAMPLES = [Sample(**sample) for sample in json.loads((FOLDER / "samples.json").read_text())]
ACCEPTED = [sample for sample in SAMPLES if sample.reason is None]
REFUSED = [sample for sample in SAMPLES if sample.reason is not None]
PLAIN = (FOLDER / "accepted" / "plain.json").read_bytes()


@pytest.mark.parametrize("sample", ACCEPTED, ids=lambda sample: sample.file)
def test_an_accepted_sample_is_the_event(sample: Sample) -> None:
    """In whatever format, the same event comes out."""
    assert events.parse(sample.body, sample.contentType, sample.properties) == events.parse(PLAIN)


@pytest.mark.parametrize("sample", REFUSED, ids=lambda sample: sample.file)
def test_a_refused_sample_is_rejected_by_its_reason(sample: Sample) -> None:
    """Each comes to the end that is written beside it, by the field that is named, and nobody is asked."""
    service, outbox = FakePartnerCenter(agreement()), FakeOutbox()
    message = {"body": sample.body, "content_type": sample.contentType, "properties": dict(sample.properties)}
    handler(service, outbox)(delivery(**message))
    [(_, attempt, outcome, _)] = outbox.sent
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, service.asked) == (sample.reason, [])
    error = attempt.answer
    assert (error.field if isinstance(error, EventError) else None) == sample.field


def test_every_fault_of_a_publisher_has_a_sample() -> None:
    """Whoever is told a reason finds a message that has it."""
    assert {sample.reason for sample in REFUSED} == {of for of in Reason if of.actor is Actor.PUBLISHER}


def test_every_file_is_a_sample() -> None:
    """No file lies there untested."""
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*")}
    assert sorted(files) == sorted(sample.file for sample in SAMPLES)


def test_the_plain_sample_is_valid_by_the_schema() -> None:
    """The sample that people copy is written as the schema has it."""
    Draft202012Validator(events.json_schema()).validate(json.loads(PLAIN))
