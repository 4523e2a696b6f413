# /// script
# requires-python = ">=3.13"
# dependencies = ["azure-mgmt-monitor==7.0.0", "dnfile>=0.15", "msmcp-azure==3.0.0"]
# ///
"""Renew types.json: what Azure publishes about every resource type and version that infra/ names.

Run it with ``.venv/bin/uv run --no-project tests/infra/schema/renew.py``; README.md says what is from where.
"""

import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from inspect import signature
from pathlib import Path
from typing import Any

import dnfile
from azure.mgmt.monitor import models

HERE = Path(__file__).parent
INFRA = HERE.parents[2] / "infra"
RESOURCE = re.compile(r"^\s*resource\s+\w+\s+'([\w./]+@[\w-]+)'", re.MULTILINE)
# The header of a .NET single-file bundle is found by this.
BUNDLE = bytes.fromhex("8b1202b96a612038727b930214d7a03213f5b9e6efae3318ee3b2dce24b36aae")
TYPES = "Microsoft.Azure.Mcp.AzTypes.Internal.Compact.dll"
PLAIN = {"AnyType": "any", "BooleanType": "bool", "NullType": "null"}
REQUIRED, READ_ONLY = 1, 2
# Nobody writes what is read-only: of that, only short shapes are worth keeping for those who read it.
LONGEST_READ_ONLY = 600

# The published types lack these; the management client has them, for one version each.
MONITOR = {
    "Microsoft.Insights/metricAlerts@2018-03-01": "MetricAlertResource",
    "Microsoft.Insights/scheduledQueryRules@2023-12-01": "ScheduledQueryRuleResource",
    "Microsoft.Insights/actionGroups@2023-01-01": "ActionGroupResource",
}
MONITOR_PLAIN = {"str": "string", "duration": "string", "iso-8601": "string", "float": "int"}

# Required, though the client's models do not say so.
NEEDED = {"name", "groupShortName"}

type Shape = str | dict[str, Any]


def main() -> None:
    """Write types.json anew, for what infra/ names and what is named on the command line."""
    named = {found for path in INFRA.rglob("*.bicep") for found in RESOURCE.findall(path.read_text())}
    published = Published()
    by_hand = json.loads((HERE / "by_hand.json").read_text())
    kept = {}
    for name in sorted((named | set(sys.argv[1:])) - set(by_hand)):
        shape = monitor(MONITOR[name]) if name in MONITOR else published.resource(name)
        kept[name] = {"scopes": published.scopes.get(name, 8)} | shape
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(shape)}" for name, shape in kept.items())
    (HERE / "types.json").write_text(f"{{\n{lines}\n}}\n")


class Published:
    """The types that the Bicep compiler itself is given, as packed into Microsoft's Azure MCP server."""

    def __init__(self) -> None:
        [binary] = [
            file for file in metadata.files("msmcp-azure") or [] if file.match("msmcp_azure/bin/azmcp")
        ]
        bundle = Path(str(binary.locate())).read_bytes()
        library = dnfile.dnPE(data=dict(_bundled(bundle))[TYPES])
        self.packed = {str(resource.name): resource.data for resource in library.net.resources}
        self.index = self.unpacked("index.json")["resources"]
        self.scopes: dict[str, int] = {}

    def unpacked(self, name: str) -> Any:
        return json.loads(zlib.decompress(self.packed[f"{name}.deflated"], -zlib.MAX_WBITS))

    def resource(self, name: str) -> dict[str, Any]:
        if name not in self.index:
            known = sorted(key for key in self.index if key.startswith(name.partition("@")[0] + "@"))
            raise SystemExit(f"{name} was never published; known are {known}")
        file, _, number = self.index[name]["$ref"].partition("#/")
        self.types = self.unpacked(file)
        described = self.types[int(number)]
        self.scopes[name] = described["writableScopes"]
        body = self.shape(described["body"], ())
        return body if isinstance(body, dict) else {}

    def shape(self, reference: Mapping[str, str], seen: tuple[int, ...]) -> Shape:
        number = int(reference["$ref"].removeprefix("#/"))
        described = self.types[number]
        kind = described["$type"]
        if number in seen:
            return "any"
        if kind in PLAIN:
            return PLAIN[kind]
        make = {
            "StringType": self.text,
            "IntegerType": self.number,
            "StringLiteralType": self.value,
            "UnionType": self.choice,
            "ArrayType": self.array,
            "ObjectType": self.object,
            "DiscriminatedObjectType": self.variants,
        }[kind]
        return make(described, (*seen, number))

    def text(self, described: Any, _: tuple[int, ...]) -> Shape:
        limits = {k: described[k] for k in ("minLength", "maxLength", "pattern") if k in described}
        return {"string": limits} if limits else "string"

    def number(self, described: Any, _: tuple[int, ...]) -> Shape:
        limits = {k: described[k] for k in ("minValue", "maxValue") if k in described}
        return {"int": limits} if limits else "int"

    def value(self, described: Any, _: tuple[int, ...]) -> Shape:
        return {"enum": [described["value"]]}

    def choice(self, described: Any, seen: tuple[int, ...]) -> Shape:
        elements = [self.shape(element, seen) for element in described["elements"]]
        values = [value for shape in elements if isinstance(shape, dict) for value in shape.get("enum", [])]
        if not values:
            return "any"
        return {"enum": values}

    def array(self, described: Any, seen: tuple[int, ...]) -> Shape:
        return {"array": self.shape(described["itemType"], seen)}

    def object(self, described: Any, seen: tuple[int, ...]) -> Shape:
        shape: dict[str, Any] = {"object": dict(self.properties(described["properties"], seen))}
        if rest := described.get("additionalProperties"):
            shape["rest"] = self.shape(rest, seen)
        return shape

    def variants(self, described: Any, seen: tuple[int, ...]) -> Shape:
        return {
            "by": described["discriminator"],
            "object": dict(self.properties(described["baseProperties"], seen)),
            "cases": {case: self.shape(body, seen) for case, body in described["elements"].items()},
        }

    def properties(self, described: Any, seen: tuple[int, ...]) -> Iterator[tuple[str, Shape]]:
        for name, property_ in described.items():
            if property_["flags"] & READ_ONLY:
                shape = self.shape(property_["type"], seen)
                yield f"{name}~", shape if len(json.dumps(shape)) < LONGEST_READ_ONLY else "any"
            else:
                yield name + "!" * (property_["flags"] & REQUIRED), self.shape(property_["type"], seen)


def _bundled(bundle: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a .NET single-file bundle, uncompressed ones only."""
    (at,) = struct.unpack_from("<q", bundle, bundle.index(BUNDLE) - 8)
    (count,) = struct.unpack_from("<i", bundle, at + 8)
    _, at = _name(bundle, at + 12)
    at += 5 * 8
    for _ in range(count):
        offset, size, _compressed, _kind = struct.unpack_from("<qqqB", bundle, at)
        name, at = _name(bundle, at + 25)
        yield name, bundle[offset : offset + size]


def _name(bundle: bytes, at: int) -> tuple[str, int]:
    length = shift = 0
    while True:
        length |= (bundle[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if bundle[at - 1] < 128:
            return bundle[at : at + length].decode(), at + length


def monitor(name: str) -> dict[str, Any]:
    """Return the shape of a model of the management client, its flattened properties put back."""
    model = getattr(models, name)
    shape: dict[str, Any] = {"object": {}}
    for attribute, described in model._attribute_map.items():  # noqa: SLF001  # where the client keeps it
        rules = model._validation.get(attribute, {})  # noqa: SLF001  # the same
        if described["key"] and not rules.get("constant"):
            path = described["key"].replace(r"\.", "\0").split(".")
            _put(shape, path, rules, _case(model, attribute) or _monitor(model, attribute))
    return shape | ({"by": _key(model), "cases": _cases(model)} if _cases(model) else {})


def _put(shape: dict[str, Any], path: list[str], rules: Mapping[str, Any], value: Shape) -> None:
    *parents, name = path
    for parent in parents:
        shape = shape["object"].setdefault(f"{parent}!", {"object": {}})
    if rules.get("readonly") and name != "name":
        shape["object"][f"{name}~"] = value if isinstance(value, str) else "any"
    else:
        required = rules.get("required") or name in NEEDED
        shape["object"][name.replace("\0", ".") + "!" * bool(required)] = value


def _monitor(model: Any, attribute: str) -> Shape:
    kind = model._attribute_map[attribute]["type"]  # noqa: SLF001  # the same
    if kind.startswith("["):
        return {"array": _kind(kind[1:-1])}
    if kind == "str" and (values := _known_values(model, attribute)):
        return {"enum": values}
    return _kind(kind)


def _kind(kind: str) -> Shape:
    if kind.startswith("{"):
        return {"object": {}, "rest": _kind(kind[1:-1])}
    if kind in {"bool", "int"}:
        return kind
    return MONITOR_PLAIN.get(kind) or (monitor(kind) if hasattr(models, kind) else "any")


def _known_values(model: Any, attribute: str) -> list[str]:
    """Return the values of the enumeration that a parameter of the model's constructor is annotated with."""
    parameter = signature(model.__init__).parameters.get(attribute)
    named = re.search(r"_models\.(\w+)", str(parameter.annotation)) if parameter else None
    enumeration = getattr(models, named[1], None) if named else None
    return (
        [member.value for member in enumeration]
        if enumeration and hasattr(enumeration, "__members__")
        else []
    )


def _key(model: Any) -> str:
    [attribute] = model._subtype_map  # noqa: SLF001  # the same
    return str(model._attribute_map[attribute]["key"]).replace("\\", "")  # noqa: SLF001  # the same


def _cases(model: Any) -> dict[str, Shape]:
    """Return the subtypes by the value that tells them apart; none for a subtype itself."""
    if model.__mro__[1].__name__ != "Model":
        return {}
    return {
        value: monitor(subtype)
        for subtypes in getattr(model, "_subtype_map", {}).values()
        for value, subtype in subtypes.items()
    }


def _case(model: Any, attribute: str) -> Shape | None:
    """Return the one value by which a subtype is told from its siblings."""
    subtypes = getattr(model.__mro__[1], "_subtype_map", {}).get(attribute, {})
    values = [value for value, subtype in subtypes.items() if subtype == model.__name__]
    return {"enum": values} if values else None


if __name__ == "__main__":
    main()
