import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "agreements").rglob("*.py"))
# Each library has its place: where it may be imported, and so what a change of it can touch.
PLACES = {
    "azure.core": {"bounded", "credentials", "queues", "reach", "toolbox", "vault", "wiring"},
    "azure.functions": {"wiring"},
    "azure.identity": {"toolbox", "wiring"},
    "azure.keyvault": {"vault", "wiring"},
    "azure.servicebus": {
        "amqp",
        "cli.applying",
        "cli.following",
        "cli.output",
        "cli.publish",
        "links",
        "parked",
        "publisher",
        "queues",
        "reach",
        "taking",
        "toolbox",
        "wiring",
    },
    "cryptography": {"settings"},
    "jwt": {"claims", "principal"},
    "msal": {"auth"},
    "opentelemetry": {"telemetry"},
    "pydantic": {
        "asyncapi",
        "auth",
        "claims",
        "consent",
        "credentials",
        "events",
        "outcome_book",
        "outcome_events",
        "receipts",
        "renewal",
        "settings",
        "vault",
        "wiring",
    },
    "requests": {"auth", "clock", "transport"},
    "rich": {"cli.applying", "cli.contract", "cli.doctor", "cli.output", "cli.talk"},
    "typer": {
        "cli.app",
        "cli.applying",
        "cli.consent",
        "cli.contract",
        "cli.customers",
        "cli.doctor",
        "cli.events",
        "cli.following",
        "cli.options",
        "cli.output",
        "cli.parked",
        "cli.planning",
        "cli.publish",
        "cli.receipt",
        "cli.replay",
        "cli.sources",
        "cli.transfer",
    },
    "urllib3": {"transport"},
}


def module(source: Path) -> str:
    """Return the name of a module within the package."""
    return ".".join(source.relative_to(ROOT / "agreements").with_suffix("").parts)


def imported(source: Path) -> Iterator[str]:
    """Yield what a module imports, wherever in it: absolute names only, since relative ones are ours."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(level=0, module=str(name)):
                yield name


def library(name: str) -> str | None:
    """Return the library that a name belongs to; none for ours and Python's own."""
    top, *rest = name.split(".")
    if top == "agreements" or top in sys.stdlib_module_names:
        return None
    return f"{top}.{rest[0]}" if top == "azure" and rest else top


@pytest.mark.parametrize("source", SOURCES, ids=module)
def test_libraries_stay_in_their_place(source: Path) -> None:
    """A module imports only the libraries that the table gives it."""
    used = {found for name in imported(source) if (found := library(name))}
    assert used <= {name for name, places in PLACES.items() if module(source) in places}


@pytest.mark.parametrize("name", PLACES)
def test_the_table_names_no_place_in_vain(name: str) -> None:
    """Every place in the table is in use, so that the table says what is so."""
    users = {module(source) for source in SOURCES if name in map(library, imported(source))}
    assert users == PLACES[name]


def test_the_handler_loads_no_client() -> None:
    """The policy can be tested and reused without the libraries of the network."""
    code = "import sys, agreements.handler; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert "pydantic" in loaded
    assert not loaded & {"azure", "msal", "requests", "urllib3", "typer", "rich"}
