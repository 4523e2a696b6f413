"""No token, secret or assertion leaves the app by a log, an error or a picture of an object."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from azure.functions.servicebus import ServiceBusMessage

from agreements import settings, wiring
from agreements.auth import SCOPE, Exchange, Tokens
from agreements.deadline import Deadline
from agreements.errors import TokenError
from agreements.settings import FunctionAppSettings
from local.entra import Registration
from local.partner_center import serve
from local.parts import in_thread
from local.sign_in import CREDENTIALS, Credential
from tests.fakes import UNTRACED, shown

# Every token that Entra and the managed identity issue here is one, assertions included.
A_JWT = re.compile(r"eyJ[\w-]{10,}\.[\w-]+")
A_REFRESH_TOKEN = re.compile(r"\b1\.[\w-]{40,}")
BODY = {
    "customerTenantId": "14876998-c0dc-46e6-9d0c-65a57a6c32ec",
    "dateAgreed": "2018-06-14",
    "primaryContact": {"firstName": "Tania", "lastName": "Carr", "email": "t@x.example"},
}


@pytest.fixture(params=CREDENTIALS)
def environment(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mapping[str, str]]:
    """The environment of an app that proves itself in one of the ways there are."""
    credential: Credential = request.param
    with in_thread(lambda: serve(credential=credential, certificates=tmp_path)) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield {"ServiceBus": "Endpoint=sb://localhost;SharedAccessKeyName=x;SharedAccessKey=x", **environment}


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that any library would log if it were let."""
    caplog.set_level(logging.DEBUG)
    return caplog


def assert_nothing_in(text: str, environment: Mapping[str, str]) -> None:
    """Assert that a text shows nothing that opens anything."""
    planted = [Registration().client_secret, Registration().refresh_token]
    planted += [environment[name] for name in ("IDENTITY_HEADER",) if name in environment]
    if "PARTNER_CLIENT_CERTIFICATE" in environment:
        lines = Path(environment["PARTNER_CLIENT_CERTIFICATE"]).read_text().splitlines()
        planted += [line for line in lines if "CERTIFICATE" not in line and len(line) > 32]
    assert not [secret for secret in planted if secret in text]
    assert not A_JWT.search(text)
    assert not A_REFRESH_TOKEN.search(text)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that was logged, with what an exception beside it would show."""
    assert caplog.records
    return caplog.text + "".join(f"{record.args} {vars(record)}" for record in caplog.records)


def message() -> ServiceBusMessage:
    return ServiceBusMessage(
        body=json.dumps(BODY).encode(),
        message_id="an-id",
        content_type="application/json",
        delivery_count=1,
        sequence_number=1,
        enqueued_time_utc=datetime.now(UTC),
        application_properties={},
        user_properties={},
    )


def test_nothing_is_logged_while_all_is_well(
    environment: Mapping[str, str], everything: pytest.LogCaptureFixture
) -> None:
    """A confirmed event and a renewal, with every library at its most talkative: no secret in any line."""
    given = settings.read(FunctionAppSettings, environment)
    wiring.consumers(given).acceptances(message(), UNTRACED)
    wiring.renewal(given)()
    text = logged(everything)
    assert '"outcome":"Confirmed"' in text
    assert '"renewal":"renewed"' in text or '"renewal":"skipped"' in text
    assert_nothing_in(text + repr(given) + str(given), environment)


@pytest.mark.parametrize(
    "rule",
    [
        {"aadsts": 700082},
        {"aadsts": 7000215},
        {"method": "POST", "drop": "before"},
        {"method": "POST", "status": 500, "body": "planted"},
        {"method": "POST", "status": 200, "body": f"not JSON, eyJhbGciOiJSUzI1NiJ9.eyJzY3AiOiJ {SCOPE}"},
    ],
    ids=["expired", "wrong-secret", "cut", "failing", "unreadable"],
)
def test_nothing_is_logged_or_raised_when_it_fails(
    environment: Mapping[str, str], everything: pytest.LogCaptureFixture, rule: dict[str, object]
) -> None:
    """Whatever goes wrong at the token endpoint: no secret in any line, error, traceback or picture."""
    given = settings.read(FunctionAppSettings, environment)
    requests.put(
        f"{environment['PARTNER_AUTHORITY_URL']}/_control/faults",
        json=[{**rule, "times": None}],
        verify=environment["REQUESTS_CA_BUNDLE"],
        timeout=5,
    ).raise_for_status()
    exchange = Exchange(
        wiring.application(given.token).exchange, wiring.refresh_tokens(given.refresh_token, given.token)
    )
    tokens = Tokens(exchange)
    with pytest.raises(TokenError) as caught:
        tokens.token(Deadline.after(10))
    wiring.renewal(given)()
    pictures = f"{wiring.application(given.token)!r} {exchange!r} {tokens!r}"
    assert_nothing_in(logged(everything) + shown(caught.value) + pictures, environment)
