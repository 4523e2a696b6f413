import json
import logging

import pytest

from agreements import telemetry


def test_a_delivery_is_one_json_line(caplog: pytest.LogCaptureFixture) -> None:
    """One record, one line of compact JSON under the name "agreements", whatever the values hold."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        telemetry.log({"outcome": "Confirmed", "detail": "two\nlines", "attempt": 1}, level=logging.INFO)
    [record] = caplog.records
    assert record.name == "agreements"
    assert record.getMessage() == '{"outcome":"Confirmed","detail":"two\\nlines","attempt":1}'


def test_only_what_is_unknown_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """``None`` is left out; zero, false and empty text are known values and stay."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        telemetry.log({"reason": None, "replay": 0, "recovered": False, "detail": ""}, level=logging.INFO)
    assert json.loads(caplog.messages[0]) == {"replay": 0, "recovered": False, "detail": ""}


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_the_level_is_the_callers(caplog: pytest.LogCaptureFixture, level: int) -> None:
    """The line is written at the level that was asked for."""
    with caplog.at_level(logging.DEBUG, logger="agreements"):
        telemetry.log({"outcome": "Retry"}, level=level)
    assert [record.levelno for record in caplog.records] == [level]


def test_a_percent_sign_is_not_a_format(caplog: pytest.LogCaptureFixture) -> None:
    """Values are data, never a format of the logging module."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        telemetry.log({"detail": "100 %s"}, level=logging.INFO)
    assert json.loads(caplog.messages[0]) == {"detail": "100 %s"}
