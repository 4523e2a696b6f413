"""The published shapes of resource types, and what of a body does not fit one.

A shape is ``any``, ``bool``, ``int``, ``null`` or ``string``; ``{"string": limits}`` or ``{"int": limits}``;
``{"enum": values}``; ``{"array": shape}``; or ``{"object": properties}``,
with ``rest`` for properties of any name, and ``by`` and ``cases`` where one property tells which others there
are. A property's name ends in ``!`` when it is required, in ``~`` when it is read-only.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.bicep import Array, Condition, Expression, Literal, Loop, Object, Operation
from tests.infra.kinds import kind
from tests.infra.project import Project

FOLDER = Path(__file__).parent / "schema"

type Shape = Any


@cache
def published() -> Mapping[str, Shape]:
    """Return all shapes by type and version."""
    files = ("types.json", "by_hand.json")
    return {name: shape for file in files for name, shape in json.loads((FOLDER / file).read_text()).items()}


def misfits(value: Expression, shape: Shape, name: str, project: Project) -> Iterator[str]:
    """Yield what in a folded value does not fit a shape; ``name`` is what the value is called."""
    match value:
        case Literal(value=None):
            return
        case Operation(operator="?", operands=(_, *branches)):
            for branch in branches:
                yield from misfits(branch, shape, name, project)
        case Loop(body=body) | Condition(body=body):
            inner = shape["array"] if isinstance(value, Loop) and _is(shape, "array") else shape
            yield from misfits(body, inner, name, project)
        case Object() if _is(shape, "object"):
            yield from _object(value, shape, name, project)
        case Array(items=items) if _is(shape, "array"):
            for item in items:
                yield from misfits(item, shape["array"], name, project)
        case _:
            yield from _scalar(value, shape, name, project)


def _is(shape: Shape, kind_: str) -> bool:
    return isinstance(shape, dict) and kind_ in shape


def _plain(shape: Shape) -> str:
    """Return Bicep's own word for a shape; empty for any."""
    if isinstance(shape, str):
        return "" if shape == "any" else shape
    return "string" if "enum" in shape else next(key for key in shape if key not in {"by", "cases"})


def _scalar(value: Expression, shape: Shape, name: str, project: Project) -> Iterator[str]:
    found, wanted = kind(value, project), _plain(shape)
    if found and wanted and found != wanted:
        yield f"{value.at}: {name} is a {found} and must be a {wanted}"
    elif isinstance(value, Literal) and isinstance(shape, dict):
        yield from _limits(value, shape, name)


def _limits(value: Literal, shape: Mapping[str, Any], name: str) -> Iterator[str]:
    given = value.value
    if "enum" in shape and given not in shape["enum"]:
        yield f"{value.at}: {name} is {given!r} and must be one of {', '.join(shape['enum'])}"
    limits = shape.get("string") or shape.get("int") or {}
    size = len(given) if isinstance(given, str) else given or 0
    least = limits.get("minLength", limits.get("minValue", size))
    most = limits.get("maxLength", limits.get("maxValue", size))
    pattern = limits.get("pattern")
    if not least <= size <= most or (pattern and not re.search(pattern, str(given))):
        yield f"{value.at}: {name} is {given!r}, beyond its limits: {json.dumps(limits)}"


def _object(value: Object, shape: Mapping[str, Any], name: str, project: Project) -> Iterator[str]:
    properties = variant(value, shape)
    if "cases" in shape and properties is None:
        yield f"{value.at}: {name} needs {shape['by']}, one of {', '.join(shape['cases'])}"
        return
    known = {key.rstrip("!~"): (key, inner) for key, inner in (properties or {}).items()}
    for member in value.members:
        if member.name in known:
            key, inner = known[member.name]
            if key.endswith("~"):
                yield f"{member.at}: {name}.{member.name} is read-only"
            yield from misfits(member.value, inner, f"{name}.{member.name}", project)
        elif "rest" in shape:
            yield from misfits(member.value, shape["rest"], f"{name}.{member.name}", project)
        else:
            yield f"{member.at}: {name} has no property {member.name}"
    given = {member.name for member in value.members}
    for key in (key.rstrip("!") for key in properties or {} if key.endswith("!")):
        if key not in given:
            yield f"{value.at}: {name}.{key} is missing"


def variant(value: Object, shape: Mapping[str, Any]) -> Mapping[str, Shape] | None:
    """Return the properties that an object may have; none when it does not tell its kind."""
    if "cases" not in shape:
        return shape["object"]  # type: ignore[no-any-return]  # published data
    chosen = value.get(shape["by"])
    case = shape["cases"].get(chosen.value) if isinstance(chosen, Literal) else None
    if case is None:
        return None
    own = variant(value, case)
    return None if own is None else {**shape["object"], **own}
