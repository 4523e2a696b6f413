"""The hooks of azd, run by a real shell and a real curl; azd and the far ends of its calls are stand-ins."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.far_end import FarEnd, Say, far_end

INFRA = Path(__file__).parent.parent / "infra"
MADE = Say(status=201, body=b"{}")
FOUND = Say(body=b'{"@odata.context":"$metadata#applications(appId)/$entity","appId":"a-client-id"}')
REGISTERED = Say(body=b'{"namespace":"Microsoft.App","registrationState":"Registered"}')
REFUSED = Say(status=403, body=b'{"error":{"code":"Denied","message":"Insufficient privileges"}}')
DEPLOYED = {
    "APP_IDENTITY_PRINCIPAL_ID": "an-identity",
    "AZURE_TENANT_ID": "a-tenant",
    "PARTNER_CLIENT_ID": "a-client-id",
}

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the hooks ask by curl")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine on which somebody has signed in to azd; ``azd`` keeps what it was told."""

    end: FarEnd
    directory: Path

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"AZURE_ENV_NAME": "prod", "AZURE_SUBSCRIPTION_ID": "a-subscription"}
        path = f"{self.directory}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["/bin/sh", INFRA / script, *arguments],
            env={"PATH": path, "CURL_HOME": str(self.directory), **known, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def told(self) -> list[str]:
        log = self.directory / "told"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def asked(self) -> list[str]:
        return [asked.line.removesuffix(" HTTP/1.1") for asked in self.end.asked]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with far_end(tmp_path / "tls") as end:
        (tmp_path / ".curlrc").write_text(
            # The far end's certificate is for localhost, whatever it stands for.
            f'insecure\nnoproxy = "*"\nconnect-to = "::{end.url.removeprefix("https://")}"\n'
        )
        _program(
            tmp_path / "azd",
            f'[ "$1" = auth ] && echo \'{{"token": "a-token"}}\' || echo "$*" >>{tmp_path}/told',
        )
        _program(tmp_path / "sleep", "")
        yield Machine(end, tmp_path)


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_app_registration_is_made_and_kept(machine: Machine) -> None:
    """The first azd up makes the app registration and keeps its client id for everything that follows."""
    machine.end.script = [REGISTERED, MADE, FOUND, MADE]
    done = machine.run("hooks/preprovision.sh")
    assert (done.returncode, machine.told) == (0, ["env set PARTNER_CLIENT_ID a-client-id"])
    assert [line.split("?")[0] for line in machine.asked] == [
        "GET /subscriptions/a-subscription/providers/Microsoft.App",
        "PATCH /v1.0/applications(uniqueName='agreements-prod-a-subscription')",
        "GET /v1.0/applications(uniqueName='agreements-prod-a-subscription')",
        "PATCH /v1.0/servicePrincipals(appId='a-client-id')",
    ]
    headers = dict(machine.end.asked[1].headers)
    assert headers["Prefer"] == "create-if-missing"
    assert headers["Authorization"] == "Bearer a-token"
    assert json.loads(machine.end.asked[1].body)["signInAudience"] == "AzureADMyOrg"


def test_an_app_registration_that_is_named_is_left_alone(machine: Machine) -> None:
    """Where a client id is set, no registration is made or changed."""
    machine.end.script = [REGISTERED]
    assert machine.run("hooks/preprovision.sh", PARTNER_CLIENT_ID="another").returncode == 0
    assert len(machine.asked) == 1
    assert machine.told == []


def test_a_budget_keeps_the_month_it_began(machine: Machine) -> None:
    """A budget without its first month gets this one, once; a pipeline, which keeps nothing, is told so."""
    machine.end.script = [REGISTERED]
    known = {"PARTNER_CLIENT_ID": "a-client-id", "BUDGET_AMOUNT": "100"}
    assert machine.run("hooks/preprovision.sh", **known).returncode == 0
    [told] = machine.told
    assert re.fullmatch(r"env set BUDGET_START_DATE \d{4}-\d{2}-01", told)
    assert machine.run("hooks/preprovision.sh", **known, BUDGET_START_DATE="2026-01-01").returncode == 0
    assert machine.told == [told]
    assert machine.run("hooks/preprovision.sh", **known, CI="true").returncode == 1


def test_the_provider_is_registered_and_waited_for(machine: Machine) -> None:
    """A subscription that never had the provider gets it, and provisioning begins when it is there."""
    missing = Say(body=b'{"registrationState":"NotRegistered"}')
    under_way = Say(body=b'{"registrationState":"Registering"}')
    machine.end.script = [missing, Say(body=b"{}"), under_way, REGISTERED]
    assert machine.run("hooks/preprovision.sh", PARTNER_CLIENT_ID="another").returncode == 0
    assert [line.split()[0] for line in machine.asked] == ["GET", "POST", "GET", "GET"]


def test_what_was_just_made_is_asked_for_again(machine: Machine) -> None:
    """Entra does not know everywhere at once what it has just made: a 404 is tried again."""
    machine.end.script = [MADE, FOUND, Say(status=404, body=b"{}"), MADE]
    done = machine.run("scripts/app-registration.sh", "register", "a-name")
    assert (done.returncode, done.stdout) == (0, "a-client-id\n")


def test_who_may_not_register_is_told_who_can_go_on_and_how(machine: Machine) -> None:
    """Without the right, the hook says what was refused, what somebody else has to run, and how to go on."""
    machine.end.script = [REGISTERED, REFUSED]
    done = machine.run("hooks/preprovision.sh")
    assert (done.returncode, machine.told) == (1, [])
    assert "Insufficient privileges" in done.stderr
    assert "app-registration.sh register agreements-prod-a-subscription" in done.stderr
    assert "azd env set PARTNER_CLIENT_ID <client id>" in done.stderr
    assert "a-token" not in done.stderr


def test_a_pipeline_makes_no_app_registration(machine: Machine) -> None:
    """A pipeline that was not told the client id stops and says so; it never makes a registration."""
    machine.end.script = [REGISTERED]
    done = machine.run("hooks/preprovision.sh", CI="true")
    assert (done.returncode, len(machine.asked)) == (1, 1)
    assert "PARTNER_CLIENT_ID is not set" in done.stderr


def test_the_identity_becomes_the_credential(machine: Machine) -> None:
    """After provisioning, the managed identity is trusted by the registration, in the identity's tenant."""
    machine.end.script = [MADE]
    assert machine.run("hooks/postprovision.sh", **DEPLOYED).returncode == 0
    assert machine.asked == [
        "PATCH /v1.0/applications(appId='a-client-id')/federatedIdentityCredentials(name='agreements-prod')"
    ]
    sent = json.loads(machine.end.asked[0].body)
    assert (sent["issuer"], sent["subject"], sent["audiences"]) == (
        "https://login.microsoftonline.com/a-tenant/v2.0",
        "an-identity",
        ["api://AzureADTokenExchange"],
    )
    assert machine.told == ["env set SETTLED_IDENTITY an-identity"]


def test_a_settled_identity_is_left_alone(machine: Machine) -> None:
    """Provisioning again asks nothing and waits for nothing, unless the identity was made anew."""
    machine.end.script = [MADE]
    assert machine.run("hooks/postprovision.sh", **DEPLOYED, SETTLED_IDENTITY="an-identity").returncode == 0
    assert (machine.asked, machine.told) == ([], [])
    assert machine.run("hooks/postprovision.sh", **DEPLOYED, SETTLED_IDENTITY="an-older-one").returncode == 0
    assert machine.told == ["env set SETTLED_IDENTITY an-identity"]


def test_who_may_not_federate_is_told_who_can(machine: Machine) -> None:
    """Without the right, nothing is deployed that cannot sign in, and the command to run is there whole."""
    machine.end.script = [REFUSED]
    done = machine.run("hooks/postprovision.sh", **DEPLOYED)
    assert (done.returncode, machine.told) == (1, [])
    assert "a-client-id agreements-prod an-identity a-tenant" in done.stderr
