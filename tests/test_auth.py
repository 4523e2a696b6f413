"""The partner's token, by real MSAL against a token endpoint over real TLS."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agreements.auth import RefreshTokenExchange, Tokens
from agreements.deadline import Deadline
from agreements.errors import TokenError
from local.partner_center import serve
from local.parts import in_thread
from tests.fakes import shown
from tests.far_end import Say, far_end


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    with in_thread(serve) as environment:
        yield environment


@pytest.fixture
def exchange(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> RefreshTokenExchange:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
    return RefreshTokenExchange(
        authority=environment["PARTNER_AUTHORITY_URL"],
        tenant_id=environment["PARTNER_TENANT_ID"],
        client_id=environment["PARTNER_CLIENT_ID"],
        client_secret=SecretStr(environment["PARTNER_CLIENT_SECRET"]),
        refresh_token=SecretStr(environment["PARTNER_REFRESH_TOKEN"]),
        timeout=5,
    )


class Endpoint:
    """An exchange with a list: what it answers next, and how often it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, deadline: Deadline) -> dict[str, Any]:
        self.asked += 1
        return self.answers.pop(0)


def token(tokens: Tokens, refused: str | None = None) -> str:
    return tokens.token(Deadline.after(5), refused=refused)


def test_a_refresh_token_becomes_an_access_token(exchange: RefreshTokenExchange) -> None:
    """The exchange is one that MSAL and the token endpoint agree upon."""
    answer = exchange(Deadline.after(5))
    assert answer["access_token"].count(".") == 2
    assert answer["expires_in"] == 3599


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_secret": SecretStr("planted-secret")}, "AADSTS7000215"),
        ({"refresh_token": SecretStr("planted-token")}, "AADSTS70008"),
    ],
    ids=["wrong secret", "dead refresh token"],
)
def test_a_refusal_is_named_by_its_code(
    exchange: RefreshTokenExchange, change: dict[str, Any], code: str
) -> None:
    """What Entra refuses is named by its number, and no secret shows."""
    with pytest.raises(TokenError) as caught:
        token(Tokens(replace(exchange, **change)))
    assert caught.value.code == code
    assert "planted" not in f"{caught.value!r} {exchange!r}"


@pytest.mark.parametrize(
    "change",
    [{"authority": "https://localhost:1"}, {"tenant_id": "00000000-0000-0000-0000-000000000000"}],
    ids=["not there", "not a tenant"],
)
def test_an_endpoint_without_an_answer_is_a_token_error(
    exchange: RefreshTokenExchange, change: dict[str, Any]
) -> None:
    """No connection, and an authority that MSAL cannot use, are the same error as a refusal."""
    with pytest.raises(TokenError, match="gave no answer"):
        token(Tokens(replace(exchange, **change)))


def test_a_failing_endpoint_is_a_token_error(
    exchange: RefreshTokenExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 5xx of the token endpoint, for which MSAL has an error of its own, is no bug of ours."""
    with far_end(tmp_path) as end:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(end.bundle))
        where = dict.fromkeys(("authorization_endpoint", "token_endpoint", "issuer"), f"{end.url}/t")
        end.script = [Say(body=json.dumps(where).encode()), Say(status=503, body=b"planted")]
        with pytest.raises(TokenError, match="gave no answer: MsalServiceError") as caught:
            token(Tokens(replace(exchange, authority=end.url)))
    assert "planted" not in shown(caught.value)


def test_a_token_is_kept_while_it_is_good() -> None:
    """Many threads that need a token at once cause one exchange."""
    endpoint = Endpoint({"access_token": "one", "expires_in": 3599})
    tokens = Tokens(endpoint)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: token(tokens), range(32))) == {"one"}
    assert endpoint.asked == 1


def test_a_token_near_its_end_is_renewed() -> None:
    """No call starts with a token that dies on the way: the last five minutes do not count."""
    tokens = Tokens(
        Endpoint({"access_token": "one", "expires_in": 300}, {"access_token": "two", "expires_in": 3599})
    )
    assert [token(tokens), token(tokens), token(tokens)] == ["one", "two", "two"]


def test_a_refused_token_is_never_given_again() -> None:
    """After a 401 there is a new token, for this thread and for all others that held the old one."""
    tokens = Tokens(
        Endpoint({"access_token": "one", "expires_in": 3599}, {"access_token": "two", "expires_in": 3599})
    )
    one = token(tokens)
    assert [token(tokens, one), token(tokens, one), token(tokens)] == ["two", "two", "two"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": "invalid_grant", "error_codes": [700082]}, "AADSTS700082"),
        ({"error": "temporarily_unavailable"}, "temporarily_unavailable"),
    ],
)
def test_a_refusal_is_raised_with_its_code(answer: dict[str, Any], code: str) -> None:
    """A refusal is named by Entra's number, or by the OAuth error where there is none."""
    with pytest.raises(TokenError) as caught:
        token(Tokens(Endpoint(answer)))
    assert caught.value.code == code


def test_a_refusal_is_not_asked_for_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries right after a refusal share it; once some seconds have passed, the next one asks again."""
    endpoint = Endpoint({"error": "invalid_grant"}, {"access_token": "one", "expires_in": 3599})
    tokens = Tokens(endpoint)
    for _ in range(3):
        with pytest.raises(TokenError):
            token(tokens)
    assert endpoint.asked == 1
    later = time.monotonic() + 11
    monkeypatch.setattr("agreements.flight.monotonic", lambda: later)
    assert token(tokens) == "one"


def test_no_wait_of_the_exchange_outlasts_the_deadline(exchange: RefreshTokenExchange) -> None:
    """Without time left the endpoint is not asked, however long it may take otherwise."""
    with pytest.raises(TokenError, match="gave no answer: ValueError"):
        exchange(Deadline.after(0))


def test_another_threads_exchange_is_not_waited_for_longer_than_the_deadline() -> None:
    """A thread whose deadline passes while another exchanges gives up."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(deadline: Deadline) -> dict[str, Any]:
        asked.set()
        assert go_on.wait(10)
        return {"access_token": "one", "expires_in": 3599}

    tokens = Tokens(slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(token, tokens)
        assert asked.wait(10)
        with pytest.raises(TokenError, match="no time was left"):
            tokens.token(Deadline.after(0.05))
        go_on.set()
        assert first.result(10) == "one"
