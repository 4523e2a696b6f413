"""What Bicep's own linter would say, as far as it can be told from the syntax."""

import re
from collections.abc import Iterator

from tests.infra.bicep import Call, Interpolated, Literal, Member, Name, Object, expressions, walk
from tests.infra.project import Project

_IDENTIFIER = re.compile(r"^[A-Za-z_]\w*$")
# Hosts that differ between Azure's clouds: environment() knows them.
_HOSTS = re.compile(
    r"management\.azure\.com|management\.core\.windows\.net|login\.microsoftonline\.com|\.vault\.azure\.net"
    r"|\.(?:blob|table|queue|file|dfs)\.core\.windows\.net|database\.windows\.net|graph\.windows\.net"
)


def hosts(project: Project) -> Iterator[str]:
    """No host of one cloud is written down."""
    for source in project.sources.values():
        for one in expressions(source):
            if isinstance(one, Literal) and isinstance(one.value, str) and _HOSTS.search(one.value):
                yield f"{one.at}: {one.value} is of one cloud only: environment() has it"


def strings(project: Project) -> Iterator[str]:
    """Strings are neither glued together nor wrapped around a single value, keys not quoted in vain."""
    for source in project.sources.values():
        everything = list(expressions(source))
        keys = {id(one.key) for one in everything if isinstance(one, Member)}
        for one in everything:
            match one:
                case Interpolated(parts=(part,)) if not isinstance(part, Literal) and id(one) not in keys:
                    yield f"{one.at}: a string around a single value"
                case Call(function="concat", arguments=arguments):
                    if any(isinstance(part, Literal | Interpolated) for part in arguments):
                        yield f"{one.at}: strings are joined by interpolation"
                case Call(function="json", arguments=(Literal(value="null"),)):
                    yield f"{one.at}: null needs no json"
                case Member(quoted=True, name=str(name)) if _IDENTIFIER.match(name):
                    yield f"{one.at}: {name} needs no quotes"


def locations(project: Project) -> Iterator[str]:
    """No region is written down, and every module that asks for one is given that of its caller."""
    for source in project.sources.values():
        for one in source.deployables:
            given = one.object.get("location")
            if isinstance(given, Literal) and given.value != "global":
                yield f"{given.at}: {one.name} is in {given.value}, whatever is asked for"
            if given and any(isinstance(part, Call) for part in walk(given)):
                yield f"{given.at}: the location of {one.name} is a parameter's to say"
            target = project.module(source, one) if one.kind == "module" else None
            if target and "location" in target.of("param"):
                params = one.object.get("params")
                if not isinstance(params, Object) or not isinstance(params.get("location"), Name):
                    yield f"{one.at}: {one.name} is not told where it is"
