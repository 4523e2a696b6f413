import json
import logging
import sys
from dataclasses import dataclass

import pytest
from opentelemetry import trace

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


@dataclass(frozen=True)
class HostsTrace:
    """What the worker hands over."""

    trace_parent: str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    trace_state: str = "vendor=1"


NOT_TRACED = trace.SpanContext(0, 0, is_remote=False)


def current() -> trace.SpanContext:
    return trace.get_current_span().get_span_context()


def test_a_delivery_is_part_of_the_hosts_trace() -> None:
    """Whatever is traced inside belongs to the host's trace, sampled as it is; outside, nothing does."""
    with telemetry.tracing(enabled=True)(HostsTrace()):
        assert f"{current().trace_id:x}" == "af7651916cd43dd8448eb211c80319c"
        assert f"{current().span_id:x}" == "b7ad6b7169203331"
        assert current().trace_flags.sampled
        assert current().trace_state["vendor"] == "1"
    assert current() == NOT_TRACED


def test_a_failure_leaves_the_trace() -> None:
    """The thread goes back to the pool: the next delivery in it is not to be part of this one's trace."""
    with pytest.raises(ZeroDivisionError), telemetry.tracing(enabled=True)(HostsTrace()):
        raise ZeroDivisionError
    assert current() == NOT_TRACED


@pytest.mark.parametrize("trace_parent", ["", "rubbish", None])
def test_a_delivery_without_a_trace_is_handled_all_the_same(trace_parent: str) -> None:
    """A host that gives no trace, or none that can be read, is no reason to fail."""
    with telemetry.tracing(enabled=True)(HostsTrace(trace_parent=trace_parent)):
        assert current() == NOT_TRACED


def test_traces_are_off_unless_switched_on() -> None:
    """Without the worker's switch the host's trace is left alone."""
    with telemetry.tracing(enabled=False)(HostsTrace()):
        assert current() == NOT_TRACED


def test_without_the_library_there_are_no_traces(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The switch alone does not stop the app: it says what to install, and events are handled."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with telemetry.tracing(enabled=True)(HostsTrace()):
        assert "agreements[telemetry]" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
