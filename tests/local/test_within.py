"""A command against the running stack, found by its ready file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "local" / "samples"


def run(ready: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as ``make cli`` does."""
    return subprocess.run(
        [sys.executable, "-m", "local.within", "--ready-file", str(ready), "agreements", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A ready file with a setting whose effect shows: Python then lists what it imports."""
    file = tmp_path / "ready.json"
    file.write_text(json.dumps({"environment": {"PYTHONPROFILEIMPORTTIME": "1"}}))
    return file


@pytest.mark.parametrize(
    ("sample", "code"), [("01-new-customer.json", 0), ("08-unreadable.json", 1)], ids=["good", "bad"]
)
def test_a_command_is_itself(ready: Path, sample: str, code: int) -> None:
    """Its output is the command's alone, and so is its exit code."""
    ran = run(ready, "validate", "--json", str(SAMPLES / sample))
    assert json.loads(ran.stdout)["valid"] is (code == 0)
    assert ran.returncode == code


def test_a_command_has_the_stacks_settings(ready: Path) -> None:
    """What the ready file says is in the environment of the command."""
    ran = run(ready, "--help")
    assert "import time:" in ran.stderr
    assert "validate" in ran.stdout


def test_without_a_stack_there_is_advice(tmp_path: Path) -> None:
    """When no stack is running, a person is told so in a line and what to do."""
    ran = run(tmp_path / "ready.json", "schema")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "make run" in ran.stderr
