"""Security policies over infra/ by checkov, in an environment of its own; ``make scan`` runs this.

checkov passes over a file that it cannot parse and ends with exit code 0: hence the guards.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.infra.product import ROOT

CHECKOV = "checkov==3.3.30"
UV = Path(sys.executable).with_name("uv")
INFRA = ROOT / "infra"
# Policies that our templates do not follow, and why that is right.
NOT_FOLLOWED = {
    "CKV_AZURE_17": "client certificates: the app has no http endpoint of its own",
    "CKV_AZURE_35": "storage denies by default when vnetEnabled is set; checkov does not evaluate the choice",
    "CKV_AZURE_42": "purge protection is a choice, off by default: azd down --purge could not purge",
    "CKV_AZURE_43": "the storage account's name is checked at run time: checkov sees the expression",
    "CKV_AZURE_109": "the vault denies by default when vnetEnabled is set, as above",
    "CKV_AZURE_110": "purge protection, as above",
    "CKV_AZURE_206": "replication over zones is a choice: no event lies in the storage account",
    "CKV_AZURE_212": "Flex Consumption scales to zero; instances that are always ready are a choice",
    "CKV_AZURE_213": "health checks by http do not exist on Flex Consumption",
    "CKV_AZURE_222": "azd deploys through the app's public endpoint, which takes Entra tokens only",
    "CKV_AZURE_225": "spreading the plan over zones is a choice",
}
PLANTED = {
    "storage": ("supportsHttpsTrafficOnly: true", "supportsHttpsTrafficOnly: false", "CKV_AZURE_3"),
    "function-app": ("ftpsState: 'Disabled'", "ftpsState: 'AllAllowed'", "CKV_AZURE_78"),
}
# checkov's own parser, on one file after the other.
PARSE = """
import sys
from pycep import BicepParser
for path in sys.argv[1:]:
    with open(path) as source:
        BicepParser().parse(text=source.read())
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in checkov's environment, which uv builds once and keeps in its cache."""
    return subprocess.run(
        [UV, "run", "--quiet", "--no-project", "--with", CHECKOV, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def scan(folder: Path) -> Any:
    ran = run("checkov", "-d", folder, "--framework", "bicep", "--skip-download", "--output", "json")
    return json.loads(ran.stdout)


def failed(report: Any) -> set[str]:
    return {check["check_id"] for check in report["results"]["failed_checks"]}


@pytest.fixture(scope="module")
def report() -> Any:
    return scan(INFRA)


def test_only_what_is_explained_is_not_followed(report: Any) -> None:
    """Every policy is followed but those with a reason, and no reason outlives its need."""
    assert failed(report) == set(NOT_FOLLOWED)


def test_every_file_was_read(report: Any) -> None:
    """Checkov could parse every file: what it cannot parse it passes over in silence."""
    files = sorted(INFRA.rglob("*.bicep"))
    ran = run("python", "-c", PARSE, *files)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert report["summary"]["parsing_errors"] == 0


def test_planted_faults_are_found(tmp_path: Path) -> None:
    """The scan sees what it should: policies that are broken on purpose, one in each file, are reported."""
    shutil.copytree(INFRA, tmp_path / "infra")
    for file, (good, bad, _) in PLANTED.items():
        target = tmp_path / "infra" / "modules" / f"{file}.bicep"
        assert good in target.read_text()
        target.write_text(target.read_text().replace(good, bad))
    assert failed(scan(tmp_path / "infra")) >= {policy for _, _, policy in PLANTED.values()}


def test_a_file_that_checkov_cannot_parse_is_noticed(tmp_path: Path) -> None:
    """The guard works: checkov itself ends well on such a file."""
    broken = tmp_path / "broken.bicep"
    broken.write_text("param name string?\nvar several = [\n")
    assert run("python", "-c", PARSE, broken).returncode != 0
    assert scan(tmp_path)["summary"]["parsing_errors"] == 1
