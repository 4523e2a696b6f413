"""What the product itself says of its settings, queues, log lines and triggers: infra/ must agree with it."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from agreements.deliveries import RetryKind
from agreements.errors import Reason
from agreements.settings import FunctionAppSettings, QueueSettings

ROOT = Path(__file__).parents[2]

QUEUES: Mapping[str, str] = {
    name: str(field.default) for name, field in QueueSettings.model_fields.items() if name != "outcomes"
}
CONSUMED = {QUEUES["acceptances"], QUEUES["retries"]}


@cache
def settings() -> dict[str, object]:
    """Return every setting's default by the name of its variable; ``None`` where it has none."""
    concerns = [field.annotation for field in FunctionAppSettings.model_fields.values()]
    fields = [field for concern in concerns if concern for field in concern.model_fields.values()]
    return {str(field.alias): None if field.is_required() else field.default for field in fields}


@cache
def triggered() -> dict[str, str]:
    """Return the functions that a queue triggers, by name, with the setting that names the queue."""
    return dict(_triggers(ast.parse((ROOT / "function_app.py").read_text())))


def _triggers(module: ast.Module) -> Iterator[tuple[str, str]]:
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for decorator in function.decorator_list:
            for given in decorator.keywords if isinstance(decorator, ast.Call) else ():
                if given.arg == "queue_name" and isinstance(given.value, ast.Constant):
                    yield function.name, str(given.value.value).strip("%")


@cache
def logged() -> dict[str, set[str]]:
    """Return the fields of the log lines, each with the values it can have where these are few."""
    names = {name for path in (ROOT / "agreements").glob("*.py") for name in _written(path)}
    return {name: _VALUES.get(name, set()) for name in names}


_VALUES: dict[str, set[str]] = {
    "outcome": {"Confirmed", "Duplicate", "Rejected", "Retry"},
    "reason": {str(reason) for reason in Reason},
    "renewal": {"failed", "renewed", "skipped"},
    "retryKind": {str(kind) for kind in RetryKind},
}


def _written(path: Path) -> Iterator[str]:
    """Yield the keys of each record that a module hands to telemetry."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="telemetry")), args=[ast.Dict(keys=keys), *_]):
                yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))
