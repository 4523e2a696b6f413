"""What a deployment must know before it begins: names, their lengths, how often, under which condition."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.infra.bicep import (
    Access,
    Call,
    Condition,
    Deployable,
    Expression,
    Index,
    Interpolated,
    Literal,
    Loop,
    Name,
    Source,
    walk,
)
from tests.infra.folding import Scope, fold
from tests.infra.project import MAIN, Project

# Of a resource or module, what is known before it is there; all else is an answer of Azure's.
_BEFOREHAND = {"apiVersion", "id", "name", "type"}
_HASH = 13


def known(project: Project) -> Iterator[str]:
    """Names, scopes, conditions and lists to go through hang on nothing that only Azure can answer."""
    for source in project.sources.values():
        for one in source.deployables:
            for part in _decisive(one):
                for read in _answers(part, source, frozenset()):
                    yield f"{part.at}: {one.name} hangs on {read}, which is known too late"


def apart(project: Project) -> Iterator[str]:
    """No two modules are deployed under one name, in which one would end the other."""
    for source in project.sources.values():
        modules = [one for one in source.deployables if one.kind == "module"]
        names = Counter(name.value for one in modules if isinstance(name := one.object.get("name"), Literal))
        for text, count in names.items():
            if count > 1:
                yield f"{source.path}:1: {count} modules are deployed as {text}"


def reachable(project: Project) -> Iterator[str]:
    """The app's module waits for the one of the private endpoints: without them it reaches nothing."""
    main = project.sources.get(MAIN)
    ends = {one.source.path for one in project.of("Microsoft.Network/privateEndpoints")}
    sites = {one.source.path for one in project.of("Microsoft.Web/sites")}
    for app in main.deployables if main else ():
        mentioned = {part.name for part in walk(app.body) if isinstance(part, Name)}
        for other in main.deployables if main else ():
            if _in(project, app, sites) and _in(project, other, ends) and other.name not in mentioned:
                yield f"{app.at}: {app.name} does not wait for {other.name}"


def lengths(project: Project) -> Iterator[str]:
    """A name that a module is given is as long as the module says that it may be."""
    for source in project.sources.values():
        for one in source.deployables:
            target = project.module(source, one) if one.kind == "module" else None
            for name, param in (target.of("param") if target else {}).items():
                given = one.object.get("params", name)
                length = _length(fold(given, Scope(project.root, source, {}))) if given else None
                for limit in ("minLength", "maxLength"):
                    call = param.decorator(limit)
                    bound = call.arguments[0] if call else None
                    if length is None or not isinstance(bound, Literal):
                        continue
                    excess = length - int(bound.value or 0)
                    if excess < 0 if limit == "minLength" else excess > 0:
                        yield f"{(given or one).at}: {name} has {length} characters, beyond {limit}"


def own(project: Project) -> Iterator[str]:
    """Names that are unique in all of Azure differ by subscription, environment and region."""
    main = project.sources.get(MAIN)
    for value in main.values if main else ():
        for call in walk(value.value) if value.value else ():
            if isinstance(call, Call) and call.function == "uniqueString":
                made = {part.name for part in walk(call) if isinstance(part, Name)}
                made |= {part.function for part in walk(call) if isinstance(part, Call)}
                for missing in sorted({"environmentName", "location", "subscription"} - made):
                    yield f"{call.at}: {value.name} is the same whatever the {missing}"


def _decisive(one: Deployable) -> Iterator[Expression]:
    for name in ("name", "scope"):
        if given := one.object.get(name):
            yield given
    for part in walk(one.body):
        match part:
            case Condition(test=test):
                yield test
            case Loop(over=over) if part is one.body:
                yield over


def _answers(part: Expression, source: Source, within: frozenset[str]) -> Iterator[str]:
    """Yield what of a resource or module an expression reads, through variables too."""
    deployed = {one.name for one in source.deployables}
    variables = source.of("var")
    for one in walk(part):
        match one:
            case Access(of=Name(name=name) | Index(of=Name(name=name)), name=read) if name in deployed:
                if read not in _BEFOREHAND:
                    yield f"{name}.{read}"
            case Call(function=function) if re.match(r"reference$|list[A-Z]", function):
                yield f"{function}()"
            case Name(name=name) if name not in within and (value := variables.get(name)) and value.value:
                yield from _answers(value.value, source, within | {name})


def _in(project: Project, one: Deployable, paths: set[Path]) -> bool:
    main = project.sources[MAIN]
    target = project.module(main, one) if one.kind == "module" else None
    return bool(target and target.path in paths)


def _length(value: Expression) -> int | None:
    """Return how long a string will be, where that is known."""
    match value:
        case Literal(value=str(text)):
            return len(text)
        case Call(function="uniqueString"):
            return _HASH
        case Interpolated(parts=parts):
            each = [_length(part) for part in parts]
            return None if None in each else sum(one or 0 for one in each)
    return None
