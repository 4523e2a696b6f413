"""A person's consent, from the browser to the vault, by real MSAL and the real vault client."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from agreements import loopback, settings, toolbox, wiring
from agreements.consent import Consent, Consented
from agreements.deadline import Deadline
from agreements.errors import ConsentError, DeploymentError, Reason, TokenError
from agreements.settings import ConsentSettings
from agreements.vault import LIFETIME, StoredToken
from local.entra import Registration
from tests import test_claims
from tests.browser import Browser
from tests.deployments import Deployment, deployed
from tests.fakes import shown

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("certificates")) as deployment:
        yield deployment


@pytest.fixture
def deployment(shared: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    shared.apply(monkeypatch)
    return shared


@pytest.fixture
def browser(deployment: Deployment) -> Iterator[Browser]:
    browser = Browser(deployment.environment["REQUESTS_CA_BUNDLE"])
    yield browser
    browser.close()


class FakeVault:
    """Keeps what is stored in ``stored``; with an error, nothing can be written."""

    def __init__(self, error: TokenError | None = None) -> None:
        self.error = error
        self.stored: list[tuple[SecretStr, datetime]] = []

    def check_writable(self, deadline: Deadline) -> None:
        if self.error is not None:
            raise self.error

    def store(self, value: SecretStr, *, expires: datetime, deadline: Deadline) -> StoredToken:
        self.stored.append((value, expires))
        return StoredToken(value=value, version="v2", created=NOW, expires=expires)


@pytest.fixture
def vault() -> FakeVault:
    return FakeVault()


@pytest.fixture
def consent(deployment: Deployment, vault: FakeVault) -> Consent:
    given = settings.read(ConsentSettings)
    built = toolbox.consent(given, 30)
    return replace(built, vault=vault, now=lambda: NOW)


def sign_in(consent: Consent, browser: Browser) -> Consented:
    with loopback.listening(0) as redirects:
        return consent(redirects, browser.open)


def failure[E: Exception](consent: Consent, browser: Browser, kind: type[E]) -> E:
    with pytest.raises(kind) as caught:
        sign_in(consent, browser)
    return caught.value


def test_a_consent_is_stored(consent: Consent, browser: Browser, vault: FakeVault) -> None:
    """A person signs in once; the refresh token is kept, and who consented is told, never a token."""
    consented = sign_in(consent, browser)
    assert consented == Consented(
        user="service-account@partner.example", version="v2", expires=NOW + LIFETIME
    )
    [(refresh_token, expires)] = vault.stored
    assert expires == NOW + timedelta(days=90)
    application = consent.application
    assert application.exchange(refresh_token, Deadline.after(10)).access_token.get_secret_value()


def test_the_sign_in_is_asked_for_as_it_must_be(consent: Consent, browser: Browser) -> None:
    """The address asks for PKCE, a second factor, a posted answer, and the permission and no more."""
    sign_in(consent, browser)
    [address] = browser.opened
    tenant = Registration().tenant_id
    assert address.startswith(f"{consent.application.authority}/{tenant}/oauth2/v2.0/authorize?")
    for part in (
        "code_challenge_method=S256",
        "response_mode=form_post",
        "amr_values=mfa",
        "prompt=select_account",
        "redirect_uri=http%3A%2F%2Flocalhost%3A",
        "api.partnercenter.microsoft.com%2Fuser_impersonation",
        "offline_access",
    ):
        assert part in address


def test_nobody_signs_in_for_a_vault_that_cannot_be_written(consent: Consent, browser: Browser) -> None:
    """Whether the vault can be written is found out first."""
    refused = TokenError("no", reason=Reason.VAULT_REFUSED)
    assert failure(replace(consent, vault=FakeVault(refused)), browser, TokenError) is refused
    assert not browser.opened


@pytest.mark.parametrize(
    ("conditions", "problem", "advice"),
    [
        ({"mfa": False}, "the user signed in without MFA", "Conditional Access policy or the security"),
        (
            {"tenantId": "00000000-0000-0000-0000-000000000001"},
            "the user is of another tenant than PARTNER_TENANT_ID",
            Reason.TOKEN_REFUSED.advice,
        ),
        (
            {"grantedScopes": ["https://api.partnercenter.microsoft.com/other", "offline_access"]},
            "the token lacks the permission user_impersonation",
            Reason.CONSENT_MISSING.advice,
        ),
    ],
    ids=["no MFA", "another tenant", "no permission"],
)
def test_a_useless_token_is_refused(
    deployment: Deployment,
    consent: Consent,
    browser: Browser,
    vault: FakeVault,
    conditions: dict[str, Any],
    problem: str,
    advice: str,
) -> None:
    """What Partner Center would refuse months later is refused at once, with what to do, and not stored."""
    with deployment.directory(**conditions):
        error = failure(consent, browser, ConsentError)
    assert error.problems == (problem,)
    assert advice in error.advice
    assert not vault.stored


def test_a_consent_without_a_refresh_token_is_refused(
    deployment: Deployment, consent: Consent, browser: Browser, vault: FakeVault
) -> None:
    """An access token alone is of no use tomorrow."""
    answer = {"access_token": test_claims.token(), "expires_in": 3599, "token_type": "Bearer"}
    rule = {"method": "POST", "pathContains": "/token", "status": 200, "body": answer, "times": 2}
    with deployment.faults(rule):
        error = failure(consent, browser, ConsentError)
    assert (error.problems, error.advice) == (
        ("no refresh token came along",),
        Reason.CONSENT_MISSING.advice,
    )
    assert not vault.stored


@pytest.mark.parametrize(
    ("denied", "code", "reason"),
    [
        ("access_denied", "AADSTS65004", Reason.CONSENT_MISSING),
        ("consent_required", "AADSTS65001", Reason.CONSENT_MISSING),
        ("interaction_required", "AADSTS50076", Reason.MFA_DEMANDED),
        ("server_error", None, Reason.TOKEN_ENDPOINT_FAILING),
    ],
)
def test_a_denied_sign_in_has_its_reason(
    deployment: Deployment,
    consent: Consent,
    browser: Browser,
    vault: FakeVault,
    denied: str,
    code: str | None,
    reason: Reason,
) -> None:
    """What Entra tells the browser is told in the terminal, by number and with what to do."""
    with deployment.directory(denied=denied):
        error = failure(consent, browser, TokenError)
    browser.close()
    assert (error.code, error.reason) == (code, reason)
    assert "did not succeed" in browser.pages[0]
    assert not vault.stored


def test_a_refused_redemption_has_its_reason(
    deployment: Deployment, consent: Consent, browser: Browser, vault: FakeVault
) -> None:
    """What Entra refuses only after the person signed in is told by its number."""
    with deployment.faults({"aadsts": 70008}, {"aadsts": 65001}):
        error = failure(consent, browser, TokenError)
    assert (error.code, error.reason) == ("AADSTS65001", Reason.CONSENT_MISSING)
    assert len(browser.opened) == 1
    assert not vault.stored


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"aadsts": 7000215}, Reason.CLIENT_SECRET_WRONG),
        ({"aadsts": 7000222}, Reason.CLIENT_SECRET_EXPIRED),
        ({"aadsts": 700027}, Reason.CLIENT_ASSERTION_REFUSED),
        ({"aadsts": 700016}, Reason.APP_UNKNOWN),
        ({"method": "POST", "status": 503}, Reason.TOKEN_ENDPOINT_FAILING),
        ({"method": "POST", "drop": "before"}, Reason.TOKEN_ENDPOINT_UNREACHABLE),
    ],
)
def test_nobody_signs_in_for_a_credential_that_is_refused(
    deployment: Deployment, consent: Consent, browser: Browser, rule: dict[str, object], reason: Reason
) -> None:
    """A wrong or expired secret or certificate is found out first, as is an endpoint that redeems none."""
    with deployment.faults({**rule, "times": None}):
        assert failure(consent, browser, TokenError).reason is reason
    assert not browser.opened


def test_nobody_signs_in(consent: Consent, vault: FakeVault) -> None:
    """Whoever goes away is not waited for for ever."""
    with (
        pytest.raises(DeploymentError, match="nobody signed in within") as caught,
        loopback.listening(0) as at,
    ):
        replace(consent, seconds=0.5)(at, lambda _: None)
    assert "loopback port" in caught.value.advice
    assert not vault.stored


def test_a_consent_reaches_the_real_vault(deployment: Deployment, browser: Browser) -> None:
    """The vault has a new version that ends in ninety days, and its older one stays as it was."""
    given = settings.read(ConsentSettings)
    built = toolbox.consent(given, 30)
    vault = wiring.vault(given.refresh_token, given.token)
    before = vault.read(Deadline.after(10))
    consented = sign_in(built, browser)
    after = vault.read(Deadline.after(10))
    assert (after.version, after.expires) == (consented.version, consented.expires)
    assert after.version != before.version
    assert timedelta(days=89) < after.expires - datetime.now(UTC) <= timedelta(days=90)
    assert built.tenant_id == UUID(Registration().tenant_id)


def test_no_token_shows(
    deployment: Deployment,
    consent: Consent,
    browser: Browser,
    vault: FakeVault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No code, token, secret or verifier is in a log at any level, in an error, or in what is returned."""
    for name in (None, "azure", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    told = repr(sign_in(consent, browser)) + repr(consent)
    with deployment.directory(mfa=False):
        told += shown(failure(consent, browser, ConsentError))
    [(refresh_token, _)] = vault.stored
    logged = " ".join(record.getMessage() for record in caplog.records) + caplog.text + told
    assert "oauth2/v2.0/token" in logged
    for planted in (refresh_token.get_secret_value(), "eyJ", "code_verifier=", "client_assertion=", "code="):
        assert planted not in logged
