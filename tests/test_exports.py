import json
from datetime import UTC, datetime

import pytest

from agreements.exports import from_record, to_record
from agreements.messages import BodyKind, ParkedMessage, Place, State
from tests.fakes import NOW, parked
from tests.test_values import VALUES

FULL = ParkedMessage(
    place=Place("agreement-retries", dead=True),
    sequence_number=2**49 + 1,
    enqueued_time=datetime(2026, 3, 2, 9, 30, 0, 123000, tzinfo=UTC),
    body=b"\xff\xfe",
    body_kind=BodyKind.VALUE,
    state=State.SCHEDULED,
    delivery_count=3,
    scheduled_for=NOW,
    message_id="m",
    content_type="t",
    content_encoding="e",
    correlation_id="c",
    subject="s",
    to="to",
    reply_to="r",
    session_id="i",
    reply_to_session_id="ri",
    partition_key="p",
    properties={value.type: value for value in VALUES},
)


@pytest.mark.parametrize("message", [FULL, parked()], ids=["everything", "usual"])
def test_a_message_survives_an_export(message: ParkedMessage) -> None:
    """Body, kind of body, every field and every property come back as they were."""
    assert from_record(json.dumps(to_record(message))) == (message, message.fingerprint)


def test_a_text_body_can_be_mended_in_an_editor() -> None:
    """A body in UTF-8 stands in the file as text."""
    assert to_record(parked(body="{é}".encode()))["body"] == "{é}"


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"place": 1}', "null"])
def test_a_line_that_is_none_is_refused(line: str) -> None:
    """What is no line of an export is told apart, without showing it."""
    with pytest.raises(ValueError, match=r"^not a line of an export$"):
        from_record(line)
