import json
from decimal import Decimal
from uuid import UUID

import pytest

from agreements.values import AmqpType, Value

VALUES = [
    Value(AmqpType.NULL, None),
    Value(AmqpType.BOOLEAN, True),
    Value(AmqpType.INT, -7),
    Value(AmqpType.LONG, 2**40),
    Value(AmqpType.ULONG, 2**63),
    Value(AmqpType.FLOAT, 1.5),
    Value(AmqpType.DOUBLE, 0.1),
    Value(AmqpType.DECIMAL128, Decimal("1.10")),
    Value(AmqpType.TIMESTAMP, 1772443800123),
    Value(AmqpType.UUID, UUID(int=7)),
    Value(AmqpType.BINARY, b"\xff\x00"),
    Value(AmqpType.STRING, "Zoë"),
    Value(AmqpType.SYMBOL, "s"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.type)
def test_a_value_survives_json(value: Value) -> None:
    """What an export holds of a property is read back as the same value of the same type."""
    assert Value.from_record(json.loads(json.dumps(value.record()))) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(AmqpType.BOOLEAN, True), "true"),
        (Value(AmqpType.INT, 7), "7"),
        (Value(AmqpType.TIMESTAMP, 1772443800000), "2026-03-02T09:30:00+00:00"),
        (Value(AmqpType.BINARY, b"\xff"), "/w=="),
        (Value(AmqpType.STRING, "x"), "x"),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_a_value_reads_as_text(value: Value, text: str) -> None:
    """A filter and a person see a value as this text."""
    assert value.text == text


@pytest.mark.parametrize("milliseconds", [10**17, -(10**17)])
def test_a_timestamp_beyond_the_calendar_is_a_number(milliseconds: int) -> None:
    """What a publisher should not have sent hides no other message."""
    assert Value(AmqpType.TIMESTAMP, milliseconds).text == str(milliseconds)
