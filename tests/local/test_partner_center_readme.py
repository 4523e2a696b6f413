"""The page of the rules says what is so."""

import json
import re
from pathlib import Path

import pytest

from local.faults import Rule, read
from local.partner_center.options import Options

TESTS = Path(__file__).parent
FOLDER = TESTS.parents[1] / "local" / "partner_center"
PAGE = (FOLDER / "README.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`test_" in line]
OPTIONS = {field.alias for field in Options.model_fields.values()}


def section(heading: str) -> list[list[str]]:
    """Return the rows of a section, each as its cells."""
    text = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [row.strip("| ").split(" | ") for row in text.splitlines() if row in ROWS]


def quoted(text: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("row", ROWS)
def test_every_rule_has_its_test(row: str) -> None:
    """The tests that a row names exist."""
    tests = "\n".join(path.read_text() for path in TESTS.glob("test_*.py"))
    named = quoted(row.rstrip("| ").rsplit(" | ", 1)[1])
    assert named
    assert [name for name in named if f"\ndef {name}(" not in tests] == []


def test_every_rule_has_its_place() -> None:
    """The file that a row names exists."""
    places = [row[-2] for heading in ("Fixed", "Chosen") for row in section(heading)]
    assert len(places) > 30
    assert [place for place in places if not (FOLDER / place.strip("`")).exists()] == []


def test_every_option_has_its_row() -> None:
    """The options of the page are those of the model, no more and no less."""
    told = {name for row in section("Chosen") for name in quoted(row[1])}
    assert told == OPTIONS


def test_every_fault_of_the_page_is_one() -> None:
    """What the page has people send is taken."""
    rules = [json.loads(quoted(row[1])[0]) for row in section("By a fault")]
    assert len(read(json.dumps(rules).encode(), Rule)) == len(rules) > 3
