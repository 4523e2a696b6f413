"""The commands ``consent`` and ``doctor``, as a person and a pipe see them."""

import io
import json
import logging
import webbrowser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from agreements import loopback
from agreements.cli import doctor, talk
from agreements.cli.app import app
from agreements.consent import Consent
from agreements.doctor import Check, Finding, Status
from agreements.errors import DeploymentError
from local.entra import Registration
from tests.browser import Browser
from tests.deployments import Deployment, deployed

VAULT_ONLY = ["PARTNER_CLIENT_CERTIFICATE", "PARTNER_CLIENT_SECRET"]
OK = Check(name="vault", look=lambda _: "read")
SKIPPED = Check(name="token", look=lambda _: "", needs=("queue",))


def _fail(_: object) -> str:
    raise DeploymentError("no such queue", "Deploy it.")


FAILED = Check(name="queue", look=_fail)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("certificates")) as deployment:
        yield deployment


@pytest.fixture
def deployment(shared: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    shared.apply(monkeypatch)
    return shared


@pytest.fixture
def browser(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    browser = Browser(deployment.environment["REQUESTS_CA_BUNDLE"])
    monkeypatch.setattr(webbrowser, "open", browser.open)
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """Let the libraries talk again after a command has silenced them."""
    loggers = [logging.getLogger(name) for name in ("azure", "msal", "urllib3")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the doctor look at three things: one good, one bad, one that needs the bad one."""
    monkeypatch.setattr("agreements.checkup.checks", lambda _: iter([OK, FAILED, SKIPPED]))


@pytest.mark.usefixtures("checks")
def test_doctor_prints_a_line_for_each_check() -> None:
    """In a pipe each check is one whole line; the count is talk, and the exit code tells the truth."""
    result = run("doctor")
    assert result.stdout == (
        "ok       vault: read\n"
        "failed   queue: no such queue - Deploy it.\n"
        "skipped  token: needs queue, which failed\n"
    )
    assert (result.stderr, result.exit_code) == ("1 ok, 1 failed, 1 skipped\n", 1)


def test_doctor_succeeds_when_nothing_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 when nothing failed."""
    monkeypatch.setattr("agreements.checkup.checks", lambda _: iter([OK]))
    assert run("doctor").exit_code == 0


@pytest.mark.usefixtures("checks")
def test_doctor_prints_json_lines() -> None:
    """With --json each check is an object of the same keys, which a monitor can read."""
    result = run("doctor", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(one.pop("seconds") >= 0 for one in found)
    assert found == [
        {"check": "vault", "status": "ok", "detail": "read", "advice": None, "reason": None},
        {
            "check": "queue",
            "status": "failed",
            "detail": "no such queue",
            "advice": "Deploy it.",
            "reason": None,
        },
        {
            "check": "token",
            "status": "skipped",
            "detail": "needs queue, which failed",
            "advice": None,
            "reason": None,
        },
    ]
    assert result.exit_code == 1


def test_doctor_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal long findings are folded within 80 columns, beside how the check ended."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, no_color=True, highlight=False)
    monkeypatch.setattr(doctor, "Console", lambda **_: terminal)
    finding = Finding(check="queue", status=Status.FAILED, detail="long " * 30, advice="Deploy it.")
    good = Finding(check="vault", status=Status.OK, detail="read")
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: iter([finding, good]))
    run("doctor")
    lines = [line.rstrip() for line in screen.getvalue().replace("\x1b[1m", "").splitlines()]
    text = [line.replace("\x1b[0m", "") for line in lines]
    assert text[0].startswith("failed   queue: long")
    assert text[1].startswith("         long")
    assert text[-2].strip() == "Deploy it."
    assert text[-1] == "ok       vault: read"
    assert all(len(line) <= 80 for line in text)


def test_work_shows_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits sees for what; in the end nothing of it is left running."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(talk, "Console", lambda **_: terminal)
    with talk.working() as working:
        working("checking the vault")
        working(None)
    assert "checking the vault" in screen.getvalue()


def test_doctor_checks_a_deployment(deployment: Deployment) -> None:
    """The command looks at the deployment that its settings name, as the role that is asked for."""
    result = run("doctor", "--role", "publisher")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("ok       send to agreement-acceptances: ")
    assert result.stderr == "2 ok, 0 failed, 0 skipped\n"


def test_consent_from_sign_in_to_vault(deployment: Deployment, browser: Browser) -> None:
    """The result is data; the way there, what comes next and how to clean up are talk."""
    result = run("consent", "--port", "0")
    assert result.exit_code == 0, result.output
    until = f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}"
    vault = deployment.environment["KEY_VAULT_URL"]
    assert result.stdout == (
        "service-account@partner.example consented with MFA.\n"
        f"Kept as partner-refresh-token in {vault}, good until {until}.\n"
    )
    [address] = browser.opened
    assert f"\n{address}\n" in result.stderr
    port = address.split("localhost%3A")[1].split("&")[0]
    for words in (
        f"register http://localhost:{port} once",
        f"--web-redirect-uris http://localhost:{port}",
        f"ssh -L {port}:localhost:{port} HOST",
        "A browser opens it now",
        "az ad app credential delete --id $app --cert",
        f"app={Registration().client_id}",
    ):
        assert words in result.stderr
    assert fits(result.stderr.replace(address, ""))


def fits(text: str) -> bool:
    """Return whether no line is broken on a terminal of 80 columns, so that commands can be copied."""
    return all(len(line) <= 80 for line in text.splitlines())


def test_consent_prints_json(
    deployment: Deployment, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --json one object tells who, where and until when; a secret is deleted otherwise than a file."""
    deployment.apply(
        monkeypatch,
        PARTNER_CLIENT_CERTIFICATE="",
        PARTNER_CLIENT_SECRET=Registration().client_secret,
    )
    result = run("consent", "--json", "--port", "0")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["consented"]) == (0, True)
    assert told["user"] == "service-account@partner.example"
    assert told["tenantId"] == Registration().tenant_id
    assert (told["vaultUrl"], told["secretName"]) == (
        deployment.environment["KEY_VAULT_URL"],
        "partner-refresh-token",
    )
    assert len(told["version"]) == 32
    assert datetime.fromisoformat(told["expires"]) > datetime.now(UTC) + timedelta(days=89)
    assert "unset PARTNER_CLIENT_SECRET" in result.stderr
    assert fits(result.stderr.replace(browser.opened[0], ""))


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (["--no-browser"], "Open it in a browser on this machine."),
        ([], "There is no browser here: open it in one that can reach this machine."),
    ],
    ids=["not wanted", "not there"],
)
def test_consent_without_a_browser(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, options: list[str], how: str
) -> None:
    """Where no browser is opened the address is all there is; nobody coming in time is a failure."""
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    result = run("consent", "--port", "0", "--minutes", "0.01", *options)
    assert how in result.stderr
    assert "Failed: nobody signed in within 1 s" in result.stderr
    assert (result.stdout, result.exit_code) == ("", 1)


def test_consent_refuses(deployment: Deployment, browser: Browser) -> None:
    """A sign-in without MFA is refused with its own exit code, and told so in words and in JSON."""
    with deployment.directory(mfa=False):
        result = run("consent", "--port", "0", "--json")
    assert result.exit_code == 5
    told = json.loads(result.stdout)
    assert (told["consented"], told["detail"]) == (False, "the user signed in without MFA")
    assert "Refused, nothing was stored: the user signed in without MFA.\nSign in again" in result.stderr


def test_consent_fails_with_its_reason(deployment: Deployment, browser: Browser) -> None:
    """What Entra refuses is told by its number, with what to do."""
    with deployment.faults({"aadsts": 7000222, "times": None}):
        result = run("consent", "--port", "0", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["reason"]) == (1, "ClientSecretExpired")
    assert "Failed: the token endpoint refused (AADSTS7000222).\n" in result.stderr
    assert "az ad app credential delete" in result.stderr


def test_consent_needs_settings(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every missing setting is named, and only those that this command needs."""
    deployment.apply(monkeypatch, PARTNER_TENANT_ID="", KEY_VAULT_URL="", ServiceBus="")
    result = run("consent")
    assert (result.stdout, result.exit_code) == ("", 2)
    assert "PARTNER_TENANT_ID is missing" in result.stderr
    assert "KEY_VAULT_URL must be" in result.stderr
    assert "ServiceBus" not in result.stderr


def test_consent_needs_a_vault(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh token of one machine leaves nowhere to keep another one."""
    deployment.apply(
        monkeypatch, PARTNER_REFRESH_TOKEN="given", KEY_VAULT_URL="", REFRESH_TOKEN_SECRET_NAME=""
    )
    result = run("consent")
    assert result.exit_code == 2
    assert "unset it, and set\nKEY_VAULT_URL and REFRESH_TOKEN_SECRET_NAME" in result.stderr


def test_consent_says_how_to_make_a_credential(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a credential that works here, the commands that make one for a day are printed whole."""
    deployment.apply(monkeypatch, PARTNER_CLIENT_CERTIFICATE="")
    result = run("consent")
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert result.exit_code == 2
    for words in (
        f"app={Registration().client_id}\n",
        "az ad app credential reset --id $app",
        f"--append --display-name agreements-consent --end-date {tomorrow}",
        "--create-cert --query fileWithCertAndPrivateKey",
        "the managed identity, which no other machine can use",
    ):
        assert words in result.stderr
    assert fits(result.stderr)


def test_consent_meets_a_taken_port(deployment: Deployment) -> None:
    """A port that another program holds is told before anybody signs in."""
    with loopback.listening(0) as taken:
        result = run("consent", "--port", str(taken.port))
    assert result.exit_code == 1
    assert f"Failed: port {taken.port} of this machine cannot be listened on" in result.stderr
    assert "--port" in result.stderr


def test_consent_can_be_given_up(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it in one line, with the exit code that shells give it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Consent, "__call__", interrupted)
    result = run("consent", "--port", "0")
    assert (result.stdout, result.exit_code) == ("", 130)
    assert "Given up. agreements doctor tells which refresh token is in use.\n" in result.stderr
    assert 'rm "$PARTNER_CLIENT_CERTIFICATE"' in result.stderr


def test_no_secret_is_printed(
    deployment: Deployment,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No token, code or secret is printed or logged at any level, however loud the libraries are set."""
    monkeypatch.setattr(talk, "silence", lambda: None)
    for name in (None, "azure", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    secret = Registration().client_secret
    deployment.apply(monkeypatch, PARTNER_CLIENT_CERTIFICATE="", PARTNER_CLIENT_SECRET=secret)
    output = run("consent", "--port", "0").output + run("doctor").output
    with deployment.directory(mfa=False):
        output += run("consent", "--port", "0", "--json").output
    with deployment.faults({"aadsts": 50173, "times": None}):
        output += run("doctor", "--json").output
    assert "AADSTS50173" in output
    assert "oauth2/v2.0/token" in caplog.text
    everything = output + caplog.text
    planted = (
        secret,
        Registration().refresh_token,
        "eyJ",
        "code_verifier",
        "SharedAccessKey=",
        "state=planted",
    )
    assert not [word for word in planted if word in everything]
