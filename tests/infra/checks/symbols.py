"""Every name that is used is declared, every name that is declared is used, and calls fit."""

from collections import Counter
from collections.abc import Iterator

from tests.infra.bicep import (
    Access,
    Array,
    Call,
    Condition,
    Deployable,
    Expression,
    Index,
    Literal,
    Loop,
    Name,
    Object,
    Operation,
    Source,
    children,
    expressions,
    walk,
)
from tests.infra.folding import Scope, fold, loaded
from tests.infra.functions import DECORATORS, FUNCTIONS, MEMBERS, Function
from tests.infra.kinds import kind
from tests.infra.project import MAIN, Project

_TYPES = {"array", "bool", "int", "object", "string"}
_AMBIENT = {"az", "sys"}


def parsed(project: Project) -> Iterator[str]:
    """Every file can be read whole, and says nothing that only newer readers understand."""
    if MAIN not in project.sources:
        yield f"{MAIN}:1: there is no such file"
    for source in project.sources.values():
        yield from (f"{fault}: this cannot be read" for fault in source.faults)
        unread = (one for one in expressions(source) if type(one) is Expression)
        yield from (f"{one.at}: this syntax is not understood by every reader" for one in unread)


def declared(project: Project) -> Iterator[str]:
    """Every symbol is declared once, with a type that exists, and what is outwardly visible is described."""
    for source in project.sources.values():
        named = [*source.values, *source.deployables]
        counts = Counter(one.name for one in named if one.kind != "output")
        counts_out = Counter(one.name for one in source.values if one.kind == "output")
        for one in named:
            if (counts_out if one.kind == "output" else counts)[one.name] > 1:
                yield f"{one.at}: {one.name} is declared twice"
        for value in source.values:
            if value.kind in {"param", "output"} and value.type not in _TYPES:
                yield f"{value.at}: {value.name} has no type of the plain ones: {value.type}"
            if value.kind in {"param", "output"} and not value.decorator("description"):
                yield f"{value.at}: {value.name} is not described"


def keys(project: Project) -> Iterator[str]:
    """No object has a key twice."""
    for source in project.sources.values():
        for one in expressions(source):
            names = Counter(member.name for member in one.members) if isinstance(one, Object) else Counter()
            yield from (
                f"{one.at}: {name} is there twice" for name, count in names.items() if count > 1 and name
            )


def tests(project: Project) -> Iterator[str]:
    """What decides is true or false."""
    for source in project.sources.values():
        for one in expressions(source):
            match one:
                case Condition(test=test) | Operation(operator="?", operands=(test, *_)):
                    deciding = [test]
                case Operation(operator="!" | "&&" | "||", operands=operands):
                    deciding = [*operands]
                case _:
                    continue
            for test in deciding:
                if (found := kind(test, project)) not in {"", "bool"}:
                    yield f"{test.at}: a {found} decides nothing"


def resolved(project: Project) -> Iterator[str]:
    """Every symbol that is used is declared in its file."""
    for source in project.sources.values():
        known = {one.name for one in [*source.values, *source.deployables] if one.kind != "output"}
        for root in _roots(source):
            yield from _unknown(root, known | _AMBIENT)


def _roots(source: Source) -> Iterator[Expression]:
    for one in [*source.values, *source.deployables]:
        yield from one.decorators
    yield from (value.value for value in source.values if value.value)
    yield from (deployable.body for deployable in source.deployables)


def _unknown(expression: Expression, known: set[str]) -> Iterator[str]:
    if isinstance(expression, Name) and expression.name not in known:
        yield f"{expression.at}: {expression.name} is not declared"
    if isinstance(expression, Loop):
        yield from _unknown(expression.over, known)
        yield from _unknown(
            expression.body, known | {expression.item} | {expression.index or expression.item}
        )
        return
    for child in children(expression):
        yield from _unknown(child, known)


def used(project: Project) -> Iterator[str]:
    """No parameter, variable or existing resource is there for nothing, nor a file."""
    for source in project.sources.values():
        names = {one.name for one in expressions(source) if isinstance(one, Name)}
        for value in source.values:
            if value.kind != "output" and value.name not in names:
                yield f"{value.at}: {value.name} is not used"
        for one in source.deployables:
            if one.existing and one.name not in names and not one.nested:
                yield f"{one.at}: {one.name} is not used"
    called = {
        target.path
        for source in project.sources.values()
        for _, target in _modules(project, source)
        if target
    }
    yield from (f"{path}:1: no module uses this file" for path in project.sources.keys() - called - {MAIN})


def _modules(project: Project, source: Source) -> Iterator[tuple[Deployable, Source | None]]:
    for one in source.deployables:
        if one.kind == "module":
            yield one, project.module(source, one)


def modules(project: Project) -> Iterator[str]:
    """Every module exists, has a name, gets every parameter it needs and none that it does not know."""
    for source in project.sources.values():
        for module, target in _modules(project, source):
            if target is None:
                yield f"{module.at}: there is no file {module.target}"
                continue
            if not module.object.get("name"):
                yield f"{module.at}: {module.name} has no name"
            if source.scope != target.scope and not _within_group(source, module):
                yield f"{module.at}: {module.name} does not say to which resource group it goes"
            for member in module.object.members:
                if member.name not in {"name", "scope", "params", "dependsOn"}:
                    yield f"{member.at}: a module has no {member.name}"
            yield from _parameters(project, module, target, set(source.of("var")))


def _within_group(source: Source, module: Deployable) -> bool:
    match module.object.get("scope"):
        case Call(function="resourceGroup", arguments=arguments):
            return bool(arguments)
        case Name(name=name):
            group = source.deployable(name)
            return group is not None and group.target.startswith("Microsoft.Resources/resourceGroups@")
    return False


def order(project: Project) -> Iterator[str]:
    """A module that looks a resource up by its name comes after the module that deploys it."""
    for source in project.sources.values():
        targets = {module.name: target for module, target in _modules(project, source) if target}
        for module, target in _modules(project, source):
            before = _before(source, module.name, set())
            for wanted in target.deployables if target else ():
                type_ = wanted.target.partition("@")[0]
                deploying = {name for name, other in targets.items() if _deploys(other, type_)}
                if wanted.existing and deploying and not deploying & before:
                    yield f"{module.at}: {module.name} does not wait for {' or '.join(sorted(deploying))}"


def _before(source: Source, name: str, seen: set[str]) -> set[str]:
    """Return all that a module or resource waits for, by what it mentions or by dependsOn.

    Nobody waits through what may not be deployed.
    """
    declared = source.deployable(name)
    for one in walk(declared.body) if declared else ():
        mentioned = source.deployable(one.name) if isinstance(one, Name) else None
        if mentioned and mentioned.name not in seen:
            seen.add(mentioned.name)
            if not isinstance(mentioned.body, Condition):
                _before(source, mentioned.name, seen)
    return seen


def _deploys(source: Source, type_: str) -> bool:
    return any(not one.existing and one.target.partition("@")[0] == type_ for one in source.deployables)


def _parameters(project: Project, module: Deployable, target: Source, variables: set[str]) -> Iterator[str]:
    params = module.object.get("params")
    given = {str(one.name): one for one in params.members} if isinstance(params, Object) else {}
    for name, parameter in target.of("param").items():
        if name not in given and parameter.value is None:
            yield f"{module.at}: {module.name} is not given {name}, which {target.path} needs"
    for key, member in given.items():
        wanted = target.of("param")[key].type if key in target.of("param") else None
        if wanted is None:
            yield f"{member.at}: {target.path} has no parameter {key}"
        elif (found := kind(member.value, project)) not in {"", wanted}:
            yield f"{member.at}: {key} is a {found}, and {target.path} takes a {wanted}"
        elif (
            isinstance(member.value, Name)
            and member.value.name != key
            and {key, member.value.name} <= variables
        ):
            yield f"{member.at}: {key} is given {member.value.name}, though there is a {key}"


def outputs(project: Project) -> Iterator[str]:
    """Every output of a module that is read is one that it has."""
    for source in project.sources.values():
        targets = {module.name: target for module, target in _modules(project, source) if target}
        for one in expressions(source):
            match one:
                case Access(of=Access(of=Name(name=module), name="outputs"), name=name):
                    yield from _output(one, targets.get(module), name)
                case Access(of=Access(of=Index(of=Name(name=module)), name="outputs"), name=name):
                    yield from _output(one, targets.get(module), name)
                case Access(of=Name(name=module), name=name) if name not in {"outputs", "name"}:
                    if module in targets:
                        yield f"{one.at}: a module has no {name}, only outputs"


def _output(read: Access, target: Source | None, name: str) -> Iterator[str]:
    if target and name not in target.of("output"):
        yield f"{read.at}: {target.path} has no output {name}"


def calls(project: Project) -> Iterator[str]:
    """Every function and decorator exists and gets as many arguments as it takes, and every file is there."""
    for source in project.sources.values():
        decorators = {id(call) for one in [*source.values, *source.deployables] for call in one.decorators}
        scope = Scope(project.root, source, {})
        for one in expressions(source):
            if isinstance(one, Call):
                yield from _call(one, DECORATORS if id(one) in decorators else FUNCTIONS, project)
                if one.function.startswith("load") and not loaded(one, scope):
                    yield f"{one.at}: there is no such file to load"


def _call(call: Call, known: dict[str, Function], project: Project) -> Iterator[str]:
    function = known.get(call.function)
    if function is None:
        yield f"{call.at}: there is no {call.function}"
    elif not function.least <= len(call.arguments) <= function.most:
        yield f"{call.at}: {call.function} does not take {len(call.arguments)} arguments"
    elif function.takes and any(kind(one, project) not in {"", function.takes} for one in call.arguments):
        yield f"{call.at}: {call.function} takes a {function.takes}"


def members(project: Project) -> Iterator[str]:
    """What is read of an object that is known, of a file too, is in it."""
    for source in project.sources.values():
        scope = Scope(project.root, source, {})
        roots = [value.value for value in source.values if value.value]
        for root in [*roots, *(deployable.body for deployable in source.deployables)]:
            for one in walk(fold(root, scope)):
                match one:
                    case Access(of=Object()):
                        yield f"{one.at}: nothing there is called {one.name}"
                    case Access(of=Call(function=name)) if one.name not in MEMBERS.get(name, {one.name}):
                        yield f"{one.at}: {name}() has no {one.name}"


def defaults(project: Project) -> Iterator[str]:
    """A default, and an output's value, are of the declared type and among what is allowed."""
    for source in project.sources.values():
        for value in source.values:
            if not value.value or value.kind == "var":
                continue
            if (found := kind(value.value, project)) not in {"", value.type}:
                yield f"{value.at}: {value.name} is declared {value.type} and is a {found}"
            allowed = value.decorator("allowed")
            values = allowed.arguments[0] if allowed else None
            if isinstance(values, Array) and isinstance(value.value, Literal):
                choices = [one.value for one in values.items if isinstance(one, Literal)]
                if value.value.value not in choices:
                    yield f"{value.at}: the default of {value.name} is not among what is allowed"


def dependencies(project: Project) -> Iterator[str]:
    """What is waited for by name is a resource or module, and is not waited for anyway."""
    for source in project.sources.values():
        known = {one.name: one for one in source.deployables}
        for one in source.deployables:
            depends = one.object.get("dependsOn")
            for item in depends.items if isinstance(depends, Array) else ():
                found = next((part.name for part in walk(item) if isinstance(part, Name)), "")
                uses = [m.value for m in one.object.members if m.name != "dependsOn"]
                mentioned = {n.name for use in uses for n in walk(use) if isinstance(n, Name)}
                if found not in known or known[found].existing:
                    yield f"{item.at}: {found} is nothing to wait for"
                elif found in mentioned:
                    yield f"{item.at}: {one.name} waits for {found} anyway"
