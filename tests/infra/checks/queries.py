"""Queries read what the log line has: every name in them is a field, a column, or a word of the language."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.infra.bicep import Array, Expression, Interpolated, Literal, Object
from tests.infra.product import logged
from tests.infra.project import Project
from tests.infra.shapes import FOLDER

_RULE = "Microsoft.Insights/scheduledQueryRules"
# Of the tables we read, the columns we may read.
_TABLES = {
    "AppExceptions": {"OuterType", "ProblemId", "SeverityLevel"},
    "AppRequests": {"DurationMs", "Name", "OperationName", "ResultCode", "Success"},
    "AppTraces": {"Message", "SeverityLevel"},
    "_LogOperation": {"Category", "Detail", "Operation"},
}
_COLUMNS = {"OperationId", "Properties", "TimeGenerated", "Type", "_ResourceId"} | set().union(
    *_TABLES.values()
)
# Kusto's own, as far as we need it.
_WORDS = set((FOLDER / "kusto.txt").read_text().split())
_FIELD = re.compile(r"\bLine\.(\w+)")
_HAS = re.compile(r"Message has '(\w+)'")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_GIVEN = re.compile(r"\b(?:let\s+)?(\w+)\s*=(?![=~])")
_COMPARED = re.compile(r"\b(\w+)\s*(?:==|!=|=~)\s*[\"']([^\"']*)[\"']")
_AMONG = re.compile(r"\b(\w+)\s+(?:!?in~?|has_any)\s*\(([^)]*)\)")
_QUOTED = re.compile(r"[\"']([^\"']*)[\"']")
# What ends or escapes a string of JSON, may not stand in one, or is a place that workbook.bicep fills.
_UNFIT = re.compile(r"[\"\\\x00-\x1f]|#\w+#")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")


def fields(project: Project) -> Iterator[str]:
    """Every field that a query takes from the line is one that the code writes, under the same name."""
    for path in _files(project):
        for number, line in enumerate((project.root / path).read_text().splitlines(), 1):
            for name in _FIELD.findall(line):
                if name not in logged():
                    yield f"{path}:{number}: no line has the field {name}"
            for name in _HAS.findall(line):
                if name not in logged():
                    yield f"{path}:{number}: no line has {name}"
            for column, name in re.findall(r"\b(\w+) = to\w+\(Line\.(\w+)\)", line):
                if column != name:
                    yield f"{path}:{number}: the field {name} is called {column}"


def names(project: Project) -> Iterator[str]:
    """Every name in a query is known: nothing else tells a misspelt column before the alert stays silent."""
    for at, text in _queries(project):
        bare = _STRING.sub("''", re.sub(r"(?m)^\s*//.*$|\{\w+:grain\}", "", text))
        known = _WORDS | _COLUMNS | _TABLES.keys() | logged().keys() | {*_GIVEN.findall(bare)} | {"Line"}
        yield from (f"{at}: nothing is called {name}" for name in sorted({*_NAME.findall(bare)} - known))


def balanced(project: Project) -> Iterator[str]:
    """Every bracket of a query is closed: Azure takes a broken query at its word, and never fires."""
    for at, text in _queries(project):
        rest = re.sub(r"[^()\[\]{}]", "", _STRING.sub("", re.sub(r"(?m)^\s*//.*$", "", text)))
        while rest != (rest := re.sub(r"\(\)|\[\]|\{\}", "", rest)):
            pass
        if rest:
            yield f"{at}: a bracket of the query is not closed"


def values(project: Project) -> Iterator[str]:
    """A query compares a field only with values that it can have."""
    for at, text in _queries(project):
        compared = _COMPARED.findall(text)
        among = [(name, one) for name, them in _AMONG.findall(text) for one in _QUOTED.findall(them)]
        for name, value in [*compared, *among]:
            known = logged().get(name)
            if known and value not in known and not value.startswith("{"):
                yield f"{at}: {name} is never {value}"


def embedded(project: Project) -> Iterator[str]:
    """A query stays what it is inside the workbook, whose JSON takes it in as it stands in its file."""
    for path in _files(project):
        for number, line in enumerate((project.root / path).read_text().split("\n"), 1):
            if found := _UNFIT.search(line):
                yield f"{path}:{number}: {found[0]!r} would break the workbook's JSON"


def workbook(project: Project) -> Iterator[str]:
    """The workbook is JSON, and shows outcomes, reasons, latency, retries and the token's days."""
    texts = [text for at, text in _queries(project) if "workbook.json" in at]
    for name in ("outcome", "reason", "secondsSinceEnqueued", "retryKind", "daysLeft"):
        if not any(re.search(rf"\|.*\b{name}\b", text.rpartition(";")[2]) for text in texts):
            yield f"infra/workbook.json:1: nothing shows {name}"


def _queries(project: Project) -> Iterator[tuple[str, str]]:
    """Yield every query whole, with its place: of alerts, and of the workbook."""
    for one in project.of(_RULE):
        criteria = one.body.get("properties", "criteria", "allOf")
        for criterion in criteria.items if isinstance(criteria, Array) else ():
            query = criterion.get("query") if isinstance(criterion, Object) else None
            if query:
                yield str(query.at), _text(query)
    path = project.root / "infra" / "workbook.json"
    try:
        data = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        yield "infra/workbook.json:1", f"this_is_not_JSON_{getattr(error, 'lineno', 1)}"
        return
    for shown in _within(data):
        yield "infra/workbook.json:1", re.sub(r"#(\w+)#", lambda found: _loaded(project, found[1]), shown)


def _text(value: Expression) -> str:
    parts = value.parts if isinstance(value, Interpolated) else (value,)
    return "".join(str(part.value) if isinstance(part, Literal) else "0" for part in parts)


def _within(data: object) -> Iterator[str]:
    match data:
        case {"query": str(query)}:
            yield query
        case dict():
            for one in data.values():
                yield from _within(one)
        case list():
            for one in data:
                yield from _within(one)


def _files(project: Project) -> list[Path]:
    return sorted(path.relative_to(project.root) for path in (project.root / "infra").rglob("*.kql"))


def _loaded(project: Project, name: str) -> str:
    path = project.root / "infra" / "queries" / f"{name}.kql"
    return path.read_text() if path.is_file() else ""
