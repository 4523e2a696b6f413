"""The triggers as the host indexes them."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import azure.functions as func
import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]


@pytest.fixture(scope="module")
def app() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SAMPLE.items():
            patch.setenv(name, value)
        sys.modules.pop("function_app", None)
        yield importlib.import_module("function_app")


@pytest.fixture(scope="module")
def functions(app: ModuleType) -> dict[str, func.Function]:
    # Once for the whole module: asking a second time is an error of the library.
    return {function.get_function_name(): function for function in app.app.get_functions()}


@pytest.mark.parametrize(
    ("name", "queue"),
    [("confirm_acceptance", "%ACCEPTANCES_QUEUE%"), ("retry_acceptance", "%RETRIES_QUEUE%")],
)
def test_each_queue_has_its_trigger(functions: dict[str, func.Function], name: str, queue: str) -> None:
    """Binary, one message at a time, the queue by its setting: what host and scale controller read."""
    [binding] = json.loads(functions[name].get_function_json())["bindings"]
    assert binding["type"] == "serviceBusTrigger"
    assert binding["queueName"] == queue
    assert binding["connection"] == "ServiceBus"
    assert binding["dataType"] == "BINARY"
    assert binding.get("cardinality") in (None, "ONE")
    assert binding.get("autoCompleteMessages") in (None, True)


def test_the_renewal_has_its_timer(functions: dict[str, func.Function]) -> None:
    """Once a day, at an odd minute, and not at every start; the host remembers a day that was missed."""
    [binding] = json.loads(functions["renew_refresh_token"].get_function_json())["bindings"]
    assert binding["type"] == "timerTrigger"
    assert binding["schedule"] == "0 17 3 * * *"
    assert binding.get("runOnStartup") in (None, False)
    assert binding.get("useMonitor") in (None, True)


def test_there_are_no_other_triggers(functions: dict[str, func.Function]) -> None:
    """Three triggers, no more."""
    assert set(functions) == {"confirm_acceptance", "retry_acceptance", "renew_refresh_token"}


def test_the_timer_renews(
    app: ModuleType, functions: dict[str, func.Function], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer renews once each time, and returns nothing."""
    renewed: list[bool] = []
    monkeypatch.setattr(app, "renewal", lambda: renewed.append(True))
    assert functions["renew_refresh_token"].get_user_function()(object()) is None
    assert renewed == [True]


@pytest.mark.parametrize(
    ("name", "taker"), [("confirm_acceptance", "acceptances"), ("retry_acceptance", "retries")]
)
def test_each_trigger_hands_its_message_over(
    app: ModuleType,
    functions: dict[str, func.Function],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    taker: str,
) -> None:
    """A trigger gives the very message and its trace to the consumer of its queue, and returns nothing."""
    taken: list[tuple[object, ...]] = []
    consumers = type(app.consumers)(
        acceptances=lambda *given: taken.append(("acceptances", *given)),
        retries=lambda *given: taken.append(("retries", *given)),
    )
    monkeypatch.setattr(app, "consumers", consumers)
    message, trace = object(), object()
    assert functions[name].get_user_function()(message, SimpleNamespace(trace_context=trace)) is None
    assert taken == [(taker, message, trace)]


def test_missing_settings_stop_the_app_at_import() -> None:
    """With settings missing the import fails, so that no function starts; all are named, none shown."""
    environ = {"PATH": "", "PARTNER_TENANT_ID": "planted", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", "import function_app"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    for name in ("ServiceBus", "PARTNER_TENANT_ID", "PARTNER_CLIENT_ID", "KEY_VAULT_URL"):
        assert name in ended.stderr
    assert "planted" not in ended.stderr


def test_what_was_done_is_told_of_every_event() -> None:
    """The host samples its telemetry, but neither our lines nor invocations and failures."""
    host = json.loads((ROOT / "host.json").read_text())
    sampling = host["logging"]["applicationInsights"]["samplingSettings"]
    assert set(sampling["excludedTypes"].split(";")) == {"Request", "Exception", "Trace"}
