"""``make mutants``: change the policy, the contract and the ids in every small way, and see the tests notice.

Runs mutmut, which changes the functions of the modules that ``[tool.mutmut]`` names, one thing at a time, and
runs their tests on each change. Prints each change that no test noticed. ``explained.toml`` keeps those that
make no difference, each with its reason; the exit code is 1 for any other, and for an explanation that is of
nothing any more.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
EXPLAINED = Path(__file__).with_name("explained.toml")
UNNOTICED = {"survived", "no tests", "suspicious", "skipped"}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one function: the line before and after; ``name`` is mutmut's, which the code changes."""

    function: str
    before: str
    after: str
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return it as a person reads it, and can copy it to the explained ones."""
        return (
            f"# {self.name}\n[[change]]\nfunction = {self.function!r}\nbefore = '''{self.before}'''\n"
            f"after = '''{self.after}'''\nreason = \"\"\n"
        )


def _mutmut(*arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def unnoticed() -> Iterator[Change]:
    """Yield the changes of the last run that no test noticed."""
    for line in _mutmut("results").splitlines():
        name, _, status = line.strip().rpartition(": ")
        if status in UNNOTICED:
            yield read_change(name, _mutmut("show", name))


def read_change(name: str, diff: str) -> Change:
    """Return what a unified diff of one change says."""
    lines = diff.splitlines()
    before = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    after = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    return Change(name.rpartition("__mutmut_")[0], " ".join(before), " ".join(after), name)


def explained() -> set[Change]:
    """Return the changes that are explained; ValueError for one without a reason."""
    listed = tomllib.loads(EXPLAINED.read_text())["change"]
    if silent := [change["before"] for change in listed if not change["reason"].strip()]:
        raise ValueError(f"explained.toml gives no reason for: {silent}")
    return {Change(change["function"], change["before"], change["after"]) for change in listed}


def main() -> int:
    """Run mutmut, unless only the last run is asked about, and compare what went unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--last", action="store_true", help="only look at the last run again")
    if not parser.parse_args().last:
        # Anew each time: what mutmut keeps of an earlier run may be of other tests.
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "mutmut", "run"], cwd=ROOT, check=True, stdout=sys.stderr)
    found, known = set(unnoticed()), explained()
    for change in sorted(found - known, key=lambda change: change.name):
        sys.stdout.write(f"{change}\n")
    for change in known - found:
        sys.stdout.write(f"explained, but noticed or gone: {change.function}: {change.after}\n")
    sys.stderr.write(
        f"{len(found)} changes went unnoticed, {len(found & known)} of them explained; "
        f"{len(known - found)} explanations of nothing\n"
    )
    return 0 if found == known else 1


if __name__ == "__main__":
    sys.exit(main())
