"""The client against a far end that says whatever a service, a proxy or a broken line may say."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from agreements import events
from agreements.deadline import Deadline
from agreements.errors import (
    AnswerError,
    EventError,
    GateClosedError,
    NoAnswerError,
    PartnerCenterError,
    Reason,
    TemplateError,
    TokenError,
)
from agreements.events import AcceptanceEvent, Agreement
from agreements.gate import Gate
from agreements.partner_center import PartnerCenter
from agreements.transport import Timeouts
from tests.fakes import FakeClock
from tests.far_end import Cut, FarEnd, Say, far_end

CUSTOMER = "14876998-c0dc-46e6-9d0c-65a57a6c32ec"
TEMPLATE = "117a77b0-9360-443b-8795-c6dedc750cf9"
REQUEST_ID = UUID("94e4e214-6b06-4fb7-96d1-94d559f9b47f")
CORRELATION_ID = UUID("ab993325-1605-4cf4-bac4-fb584142a31b")
DOCUMENTED = {
    "primaryContact": {
        "firstName": "Tania",
        "lastName": "Carr",
        "email": "someone@example.com",
        "phoneNumber": "1234567890",
    },
    "templateId": TEMPLATE,
    "dateAgreed": "2018-06-14T00:00:00.000Z",
    "type": "MicrosoftCustomerAgreement",
}
CREATED = Say(
    status=201, body=json.dumps({"userId": "3d6f2c09-eb40-48ca-a4b3-d24c9c007531", **DOCUMENTED}).encode()
)
METADATA = Say(
    headers={"Connection": "close"},
    body=json.dumps(
        {
            "totalCount": 1,
            "items": [
                {
                    "templateId": TEMPLATE,
                    "agreementType": "MicrosoftCustomerAgreement",
                    "agreementLink": "https://aka.ms/customeragreement",
                    "versionRank": 0,
                }
            ],
        }
    ).encode(),
)
DUPLICATE = Say(
    status=400,
    body=json.dumps(
        {
            "code": 600061,
            "message": "A partner confirmed agreement already exists for the customer.",
            "description": "A partner confirmed agreement already exists for the customer.",
            "errorName": "PartnerConfirmedAgreementAlreadyExists",
            "isRetryable": False,
            "parameters": {},
            "errorMessageExtended": "InternalErrorCode=600061",
        }
    ).encode(),
)


class GivenTokens:
    """Tokens with a list: a new one whenever the last was refused; with an error there is none."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.error: TokenError | None = None

    def token(self, deadline: Deadline, *, refused: str | None = None) -> str:
        if self.error is not None:
            raise self.error
        if not self.given or self.given[-1] == refused:
            self.given.append(f"token-{len(self.given) + 1}")
        return self.given[-1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarEnd]:
    with far_end(tmp_path_factory.mktemp("certificates")) as end:
        yield end


@pytest.fixture
def end(server: FarEnd, monkeypatch: pytest.MonkeyPatch) -> FarEnd:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.bundle))
    server.script.clear()
    server.asked.clear()
    return server


@pytest.fixture
def tokens() -> GivenTokens:
    return GivenTokens()


class HeardGate(Gate):
    """A gate that counts what it is told of answers, and at which nobody really waits."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, clock.wait)
        self.told = 0

    def answered(self) -> None:
        self.told += 1
        super().answered()


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the gate, which nobody really waits for."""
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> HeardGate:
    return HeardGate(clock)


@pytest.fixture
def fresh(end: FarEnd, tokens: GivenTokens, gate: Gate) -> PartnerCenter:
    """A client that has not asked for anything yet."""
    return PartnerCenter(end.url, tokens, Timeouts(connect=5, read=5), gate)


@pytest.fixture
def client(fresh: PartnerCenter, end: FarEnd) -> PartnerCenter:
    """A client that knows the templates already."""
    return knowing(fresh, end)


def knowing(client: PartnerCenter, end: FarEnd) -> PartnerCenter:
    end.script.append(METADATA)
    assert client.template_ids(Deadline.after(10)) == [TEMPLATE]
    end.script.clear()
    end.asked.clear()
    return client


def documented_event(**changes: object) -> AcceptanceEvent:
    body = {
        "customerTenantId": CUSTOMER,
        "dateAgreed": "2018-06-14",
        "primaryContact": DOCUMENTED["primaryContact"],
        "templateId": TEMPLATE,
    }
    return events.parse(json.dumps(body | changes).encode())


def confirm(client: PartnerCenter, event: AcceptanceEvent | None = None, *, seconds: float = 10) -> Agreement:
    return client.confirm(
        event or documented_event(),
        request_id=REQUEST_ID,
        correlation_id=CORRELATION_ID,
        deadline=Deadline.after(seconds),
    )


def recorded(client: PartnerCenter) -> list[Agreement]:
    return client.agreements(documented_event(), correlation_id=CORRELATION_ID, deadline=Deadline.after(10))


def refusal(call: Callable[[PartnerCenter], object], client: PartnerCenter) -> AnswerError:
    with pytest.raises(AnswerError) as caught:
        call(client)
    return caught.value


def no_answer(call: Callable[[PartnerCenter], object], client: PartnerCenter) -> NoAnswerError:
    with pytest.raises(NoAnswerError) as caught:
        call(client)
    return caught.value


def test_the_request_is_the_documented_example(client: PartnerCenter, end: FarEnd) -> None:
    """For the API page's input, the wire carries the API page's request: line, fields, order and headers."""
    end.script.append(CREATED)
    confirm(client)
    [asked] = end.asked
    assert asked.line == f"POST /v1/customers/{CUSTOMER}/agreements HTTP/1.1"
    assert list(json.loads(asked.body).items()) == list(DOCUMENTED.items())
    headers = dict(asked.headers)
    assert len(headers) == len(asked.headers)
    transport = {"Host", "User-Agent", "Accept-Encoding", "Connection", "Content-Length", "Accept"}
    assert {name: value for name, value in headers.items() if name not in transport} == {
        "Authorization": "Bearer token-1",
        "Content-Type": "application/json",
        "MS-RequestId": str(REQUEST_ID),
        "MS-CorrelationId": str(CORRELATION_ID),
    }
    assert headers["Accept"] == "application/json"


def test_the_answer_is_the_documented_example(client: PartnerCenter, end: FarEnd) -> None:
    """The API page's response is understood, and its zone kept."""
    end.script.append(CREATED)
    agreement = confirm(client)
    assert agreement.primary_contact.first_name == "Tania"
    assert agreement.date_agreed == datetime(2018, 6, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-10-01T23:30:00.123456+05:30", "2026-10-01T18:00:00.123456Z"),
        ("2026-10-01T10:00:00.5Z", "2026-10-01T10:00:00.500Z"),
        ("2026-10-01", "2026-10-01T00:00:00.000Z"),
    ],
)
def test_the_instant_is_sent_unaltered(client: PartnerCenter, end: FarEnd, given: str, sent: str) -> None:
    """A date is sent as the same instant in UTC, to the microsecond."""
    end.script.append(CREATED)
    confirm(client, documented_event(dateAgreed=given))
    assert json.loads(end.asked[0].body)["dateAgreed"] == sent


def test_values_are_sent_as_written(client: PartnerCenter, end: FarEnd) -> None:
    """Names of any script keep every character, spaces around included; an absent phone is left out."""
    contact = {"firstName": " Zoë ", "lastName": "O'Brien 田中 😀", "email": "z@x.example"}
    end.script.append(Say(status=201, body=json.dumps({**DOCUMENTED, "primaryContact": contact}).encode()))
    confirm(client, documented_event(primaryContact=contact))
    assert json.loads(end.asked[0].body)["primaryContact"] == contact


def test_the_template_is_looked_up_once_for_all_threads(fresh: PartnerCenter, end: FarEnd) -> None:
    """Threads that need the template at once cause one look-up, of the right type, and share its answer."""
    end.script += [METADATA, CREATED]
    event = documented_event(templateId=None)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: confirm(fresh, event), range(8)))
    looked_up = [asked for asked in end.asked if asked.line.startswith("GET")]
    assert [asked.line for asked in looked_up] == [
        "GET /v1/agreements?agreementType=MicrosoftCustomerAgreement HTTP/1.1"
    ]
    posts = [json.loads(asked.body) for asked in end.asked if asked.line.startswith("POST")]
    assert [post["templateId"] for post in posts] == [TEMPLATE] * 8


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_a_failed_look_up_says_nothing_about_the_event(
    fresh: PartnerCenter, end: FarEnd, status: int
) -> None:
    """When the look-up fails nothing was recorded, no customer is to blame, and the next event asks again."""
    end.script += [Say(status=status, body=b'{"code":1000}'), METADATA, CREATED]
    error = refusal(confirm, fresh)
    assert (error.write, error.maybe_recorded, error.about_event) == (False, False, False)
    assert confirm(fresh).type == "MicrosoftCustomerAgreement"


def test_a_look_up_of_another_thread_is_not_waited_for_longer_than_the_deadline(
    fresh: PartnerCenter, end: FarEnd
) -> None:
    """A thread whose deadline passes while another looks up gives up, and nothing was sent."""
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> Say:
        asked.set()
        assert go_on.wait(10)
        return METADATA

    end.script += [slow, CREATED]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(confirm, fresh)
        assert asked.wait(10)
        error = no_answer(lambda c: confirm(c, seconds=0.05), fresh)
        go_on.set()
        first.result(10)
    assert (error.write, error.maybe_recorded) == (False, False)


REFUSED = Say(status=400, body=b'{"code":3000}')
REPLACED = Say(body=METADATA.body.replace(TEMPLATE.encode(), b"aaaaaaaa-9360-443b-8795-c6dedc750cf9"))


def test_a_template_that_was_replaced_is_not_held_against_the_event(
    client: PartnerCenter, end: FarEnd
) -> None:
    """A refusal of what was sent with an old template is tried again, with the new one."""
    end.script += [REFUSED, REPLACED, CREATED]
    event = documented_event(templateId=None)
    with pytest.raises(TemplateError) as caught:
        confirm(client, event)
    assert (caught.value.answer.status, caught.value.answer.code) == (400, "3000")
    assert (caught.value.write, caught.value.maybe_recorded) == (True, False)
    confirm(client, event)
    assert json.loads(end.asked[-1].body)["templateId"] == "aaaaaaaa-9360-443b-8795-c6dedc750cf9"


@pytest.mark.parametrize("looked_up", [METADATA, Say(status=503), Cut()], ids=["the same", "failing", "cut"])
def test_a_refusal_stands_when_the_template_is_current(
    client: PartnerCenter, end: FarEnd, looked_up: Say | Cut
) -> None:
    """When the template is still the same, or nobody can say, the refusal is the answer."""
    end.script += [REFUSED, looked_up]
    assert refusal(lambda c: confirm(c, documented_event(templateId=None)), client).answer.code == "3000"


@pytest.mark.parametrize(
    ("said", "template"),
    [(DUPLICATE, None), (Say(status=403), None), (REFUSED, TEMPLATE)],
    ids=["duplicate", "not about data", "the event's own template"],
)
def test_the_template_is_not_looked_up_again_for_nothing(
    client: PartnerCenter, end: FarEnd, said: Say, template: str | None
) -> None:
    """What cannot be the template's fault causes no look-up."""
    end.script.append(said)
    refusal(lambda c: confirm(c, documented_event(templateId=template)), client)
    assert len(end.asked) == 1


def test_a_template_of_another_type_is_not_sent(client: PartnerCenter, end: FarEnd) -> None:
    """The service goes by the template, whatever the type: one of another type is refused here."""
    cloud = "998b88de-aa99-4388-a42c-1b3517d49490"
    with pytest.raises(EventError) as caught:
        confirm(client, documented_event(templateId=cloud))
    assert (caught.value.reason, caught.value.field) == (Reason.FIELD_INVALID, "templateId")
    assert cloud not in str(caught.value)
    assert end.asked == []


def test_a_refused_token_is_renewed_once(client: PartnerCenter, end: FarEnd, tokens: GivenTokens) -> None:
    """A 401 is answered by one new token and the same request under the same ids."""
    end.script += [Say(status=401), CREATED]
    confirm(client)
    first, second = end.asked
    assert first.body == second.body
    differing = {
        name for (name, one), (_, other) in zip(first.headers, second.headers, strict=True) if one != other
    }
    assert differing == {"Authorization"}
    assert tokens.given == ["token-1", "token-2"]


def test_a_token_refused_twice_is_an_answer(client: PartnerCenter, end: FarEnd) -> None:
    """There is no third try: the second 401 is the answer, with its code."""
    end.script.append(Say(status=401, body=b'{"code":900421,"description":"MFA is required"}'))
    error = refusal(confirm, client)
    assert (error.answer.status, error.answer.code) == (401, "900421")
    assert len(end.asked) == 2


def test_a_refusal_keeps_what_support_asks_for(client: PartnerCenter, end: FarEnd) -> None:
    """Status, code, name, retryable, ids: all of the documented duplicate answer, and nothing of its text."""
    ids = str(REQUEST_ID), str(CORRELATION_ID), "tul4NUsfs9Cl7mOf.1"
    headers = dict(zip(("MS-RequestId", "MS-CorrelationId", "MS-CV"), ids, strict=True)) | {
        "Retry-After": "7"
    }
    end.script.append(Say(status=400, headers=headers, body=DUPLICATE.body))
    error = refusal(confirm, client)
    answer = error.answer
    assert (answer.status, answer.code, answer.retryable) == (400, "600061", False)
    assert answer.error_name == "PartnerConfirmedAgreementAlreadyExists"
    assert (answer.request_id, answer.correlation_id, answer.cv) == ids
    assert answer.retry_after == 7
    assert (error.write, error.maybe_recorded) == (True, False)
    assert str(error) == "Partner Center answered 400, code 600061"


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_failure_of_the_service_may_have_recorded(client: PartnerCenter, end: FarEnd, status: int) -> None:
    """After a POST, an error on the service's side leaves open what it had done by then."""
    end.script.append(Say(status=status, body=b"<html>Bad gateway</html>"))
    assert refusal(confirm, client).maybe_recorded


@pytest.mark.parametrize("location", ["/elsewhere", "//[", "https://localhost:none/", ""])
def test_a_redirect_is_not_followed(client: PartnerCenter, end: FarEnd, location: str) -> None:
    """A redirect would carry the token elsewhere: it is an answer like any other, wherever it leads."""
    end.script.append(Say(status=307, headers={"Location": location}))
    assert refusal(confirm, client).answer.status == 307
    assert len(end.asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        Cut(),
        Say(status=201, body=b'{"type', content_length=100),
        Say(status=201),
        Say(status=201, body=b"OK"),
        Say(status=201, body=b"[]"),
        Say(status=201, body=b"[" * 200_000),
        Say(status=200, body=b'{"type":"MicrosoftCustomerAgreement","dateAgreed":"x","primaryContact":{}}'),
        Say(status=201, body=CREATED.body.replace(b"Carr", b"Other")),
        Say(status=201, body=b" " * (2**20 + 1)),
    ],
    ids=[
        "cut",
        "cut-midway",
        "empty",
        "not-json",
        "not-an-object",
        "too-deep",
        "no-date",
        "not-ours",
        "too-long",
    ],
)
def test_an_answer_of_no_use_may_have_recorded(client: PartnerCenter, end: FarEnd, said: Say | Cut) -> None:
    """Whatever cannot be used after a POST leaves open whether it was recorded, and quotes nothing."""
    end.script.append(said)
    error = no_answer(confirm, client)
    assert (error.write, error.maybe_recorded) == (True, True)
    assert "Carr" not in str(error)


def test_a_connection_never_made_recorded_nothing(
    end: FarEnd, tokens: GivenTokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a failed connect is surely not sent."""
    with far_end(tmp_path) as gone:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(gone.bundle))
        client = knowing(PartnerCenter(gone.url, tokens, Timeouts(connect=5, read=5), Gate()), gone)
    error = no_answer(confirm, client)
    assert (error.write, error.maybe_recorded) == (True, False)


def test_a_server_that_nobody_vouches_for_gets_nothing(
    client: PartnerCenter, end: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is verified: an unknown server gets no request and no token, so that nothing was recorded."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with ThreadPoolExecutor(1) as pool:  # a thread of its own has a session of its own
        error = pool.submit(no_answer, confirm, client).result(10)
    assert (error.write, error.maybe_recorded, end.asked) == (True, False, [])


def test_a_broken_handshake_may_have_recorded(
    client: PartnerCenter, end: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS that breaks for any other reason may break after the request: nobody knows."""
    broken = urllib3.exceptions.SSLError("broken")
    failure = requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(_NO_POOL, "/", broken))
    monkeypatch.setattr(HTTPAdapter, "send", lambda *_, **__: _raise(failure))
    assert no_answer(confirm, client).maybe_recorded
    assert end.asked == []


_NO_POOL = urllib3.HTTPSConnectionPool("localhost")


def _raise(error: Exception) -> NoReturn:
    raise error


def test_connections_are_kept_but_not_when_idle_for_long(
    client: PartnerCenter, end: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls share a connection; one that was idle for long may be forgotten on the way and is not used."""
    end.script.append(CREATED)
    confirm(client)
    confirm(client)
    later = time.monotonic() + 101
    monkeypatch.setattr("agreements.transport.monotonic", lambda: later)
    confirm(client)
    first, second, third = (asked.port for asked in end.asked)
    assert first == second != third


def test_an_answer_that_does_not_come_in_time(end: FarEnd, tokens: GivenTokens) -> None:
    """A read time-out leaves open whether it was recorded."""
    release = threading.Event()

    def never() -> Say:
        assert release.wait(10)
        return CREATED

    client = knowing(PartnerCenter(end.url, tokens, Timeouts(connect=5, read=0.1), Gate()), end)
    end.script.append(never)
    assert no_answer(confirm, client).maybe_recorded
    release.set()


def test_no_time_left_means_not_asked(client: PartnerCenter, end: FarEnd) -> None:
    """When the deadline has passed before the call, there is no call."""
    error = no_answer(lambda c: confirm(c, seconds=0), client)
    assert (error.write, error.maybe_recorded, end.asked) == (True, False, [])


@pytest.mark.parametrize("headers", [{"Retry-After": "120"}, {}], ids=["retry-after", "none"])
def test_throttling_closes_the_gate_for_everyone(
    client: PartnerCenter, end: FarEnd, headers: dict[str, str]
) -> None:
    """After a 429 nobody calls until Retry-After, or for a few seconds when the service names none.

    Who has less time than that is told so.
    """
    end.script += [
        Say(status=429, headers=headers, body=b'{"statusCode":429,"message":"Rate limit"}'),
        CREATED,
    ]
    error = refusal(confirm, client)
    assert (error.answer.status, error.maybe_recorded) == (429, False)
    with pytest.raises(GateClosedError) as caught:
        confirm(client, seconds=1)
    assert 1 < caught.value.retry_after <= 120
    assert caught.value.reason is Reason.THROTTLED
    assert len(end.asked) == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [(CREATED, 1), (DUPLICATE, 1), (Say(status=503), 1), (Say(status=429), 0)],
    ids=["yes", "no", "failure", "throttled"],
)
def test_every_other_answer_quickens_the_pace(
    client: PartnerCenter, end: FarEnd, gate: HeardGate, said: Say, told: int
) -> None:
    """Whatever the service answers but 429, it says that the call was not one too many."""
    gate.told = 0
    end.script.append(said)
    with suppress(AnswerError):
        confirm(client)
    assert gate.told == told


# --- no token, or one that is refused


def closed(client: PartnerCenter) -> GateClosedError:
    """Return what a delivery with no time to wait is told at the gate."""
    with pytest.raises(GateClosedError) as caught:
        confirm(client, seconds=0)
    return caught.value


DEAD = TokenError("dead", "AADSTS700082", Reason.REFRESH_TOKEN_EXPIRED)


def test_without_a_token_nothing_is_asked(client: PartnerCenter, end: FarEnd, tokens: GivenTokens) -> None:
    """No call goes out without a token, and the gate is closed for its reason."""
    tokens.error = DEAD
    with pytest.raises(TokenError) as caught:
        confirm(client)
    assert caught.value is DEAD
    assert closed(client).reason is Reason.REFRESH_TOKEN_EXPIRED
    assert end.asked == []


def test_once_there_is_a_token_the_gate_opens(
    client: PartnerCenter, end: FarEnd, tokens: GivenTokens, clock: FakeClock
) -> None:
    """The next one that tries finds a token, and then nobody waits any more."""
    tokens.error = DEAD
    with pytest.raises(TokenError):
        confirm(client)
    tokens.error = None
    end.script.append(CREATED)
    confirm(client, seconds=60)
    assert clock.slept == [10]
    confirm(client)
    assert clock.slept == [10]


def test_whoever_has_no_time_left_says_nothing_about_the_token(
    client: PartnerCenter, end: FarEnd, tokens: GivenTokens
) -> None:
    """A delivery that ran out of time while it waited for a token does not close the gate for others."""
    tokens.error = TokenError("no time was left")
    with pytest.raises(TokenError):
        confirm(client, seconds=0)
    tokens.error = None
    end.script.append(CREATED)
    confirm(client, seconds=1)


@pytest.mark.parametrize(
    ("said", "reason", "calls"),
    [
        (Say(status=401), Reason.TOKEN_REFUSED, 2),
        (Say(status=401, body=b'{"code":900421}'), Reason.MFA_MISSING, 2),
        (Say(status=401, body=b'{"code":"900420"}'), Reason.AUDIENCE_REFUSED, 2),
        (Say(status=403, body=b'{"code":900329}'), Reason.APP_KIND_REFUSED, 1),
    ],
    ids=["401", "mfa", "audience", "app-kind"],
)
def test_a_refused_token_closes_the_gate(
    client: PartnerCenter, end: FarEnd, said: Say, reason: Reason, calls: int
) -> None:
    """When a new token is refused as well, nobody asks until one of them has found that it is taken."""
    end.script.append(said)
    refusal(confirm, client)
    assert closed(client).reason is reason
    assert len(end.asked) == calls


def test_a_token_that_cannot_be_renewed_closes_the_gate(
    client: PartnerCenter, end: FarEnd, tokens: GivenTokens
) -> None:
    """A 401 after which there is no new token is no answer about the event, but a missing token."""

    def die() -> Say:
        tokens.error = DEAD
        return Say(status=401)

    end.script.append(die)
    with pytest.raises(TokenError):
        confirm(client)
    assert closed(client).reason is Reason.REFRESH_TOKEN_EXPIRED
    assert len(end.asked) == 1


@pytest.mark.parametrize(
    "said", [Say(status=403), Say(status=503), DUPLICATE, Cut()], ids=["403", "503", "duplicate", "cut"]
)
def test_any_other_answer_says_that_the_token_is_good(
    client: PartnerCenter, end: FarEnd, tokens: GivenTokens, clock: FakeClock, said: Say | Cut
) -> None:
    """Whoever tries again and gets any answer but a refused token opens the gate, whatever it was."""
    tokens.error = DEAD
    with pytest.raises(TokenError):
        confirm(client)
    tokens.error = None
    clock.now += 10
    end.script += [said, CREATED]
    with pytest.raises(PartnerCenterError):
        confirm(client)
    with ThreadPoolExecutor(1) as pool:  # another thread, since whoever tried may go on
        pool.submit(confirm, client, seconds=1).result(10)


def test_a_list_in_either_form_is_read(client: PartnerCenter, end: FarEnd) -> None:
    """Agreements come in an envelope or as a bare array, without a zone, with fields missing."""
    item = {
        "primaryContact": {"firstName": "Tania", "lastName": None},
        "templateId": TEMPLATE,
        "dateAgreed": "2019-08-26T00:00:00",
        "type": "MicrosoftCustomerAgreement",
        "agreementLink": "https://aka.ms/customeragreement",
    }
    end.script += [
        Say(body=json.dumps({"totalCount": 1, "items": [item]}).encode()),
        Say(body=json.dumps([item]).encode()),
    ]
    assert recorded(client) == recorded(client)
    assert end.asked[0].line == (
        f"GET /v1/customers/{CUSTOMER}/agreements?agreementType=MicrosoftCustomerAgreement HTTP/1.1"
    )
    headers = dict(end.asked[0].headers)
    assert headers["MS-CorrelationId"] == str(CORRELATION_ID)
    assert "Content-Type" not in headers


def test_a_list_gives_instants_in_utc(client: PartnerCenter, end: FarEnd) -> None:
    """A date without a zone is UTC."""
    item = {"type": "T", "dateAgreed": "2019-08-26T00:00:00", "primaryContact": {}}
    end.script.append(Say(body=json.dumps([item]).encode()))
    assert recorded(client)[0].date_agreed == datetime(2019, 8, 26, tzinfo=UTC)


def test_no_agreement_said_as_an_error_is_an_empty_list(client: PartnerCenter, end: FarEnd) -> None:
    """600009 means that there is none."""
    end.script.append(Say(status=404, body=b'{"code":600009}'))
    assert recorded(client) == []


@pytest.mark.parametrize("body", [b"{}", b'{"items":[1]}', b'[{"type":"T"}]', b"3"])
def test_a_list_that_cannot_be_read_is_no_empty_list(client: PartnerCenter, end: FarEnd, body: bytes) -> None:
    """What cannot be read must not pass for "nothing on record"."""
    end.script.append(Say(body=body))
    error = no_answer(recorded, client)
    assert (error.write, error.maybe_recorded) == (False, False)


def test_another_error_of_a_list_is_raised(client: PartnerCenter, end: FarEnd) -> None:
    """An error that does not mean "none" is an error."""
    end.script.append(Say(status=403, body=b"no rights"))
    assert refusal(recorded, client).answer.code is None
