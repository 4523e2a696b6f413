"""Every resource is of a published type and version, and its body, parent and scope fit that type."""

from collections.abc import Iterator

from tests.infra.bicep import Access, Deployable, Expression, Index, Literal, Name, Source, expressions
from tests.infra.project import Project, Resource
from tests.infra.shapes import misfits, published

_BICEP = {"dependsOn", "parent", "scope"}
_SCOPES = {"tenant": 1, "managementGroup": 2, "subscription": 4, "resourceGroup": 8}
# What may be deployed anywhere may be deployed to a resource, too.
_EXTENSION = 15
_READ = {"id", "name", "type", "apiVersion"}


def types(project: Project) -> Iterator[str]:
    """Every type and version is among the published ones that were kept."""
    for one in _distinct(project):
        if one.target not in published():
            yield (
                f"{one.declared.at}: {one.target} is not among the types kept in tests/infra/schema;"
                " its README.md says how to renew them, if this one exists"
            )


def properties(project: Project) -> Iterator[str]:
    """Names, nesting, kinds, enumerations, limits and required properties are the published ones."""
    for one in project.resources:
        shape = published().get(one.target)
        if shape is None:
            continue
        own = tuple(member for member in one.body.members if member.name not in _BICEP)
        if one.declared.existing:
            yield from (f"{m.at}: what exists is found by its name alone" for m in own if m.name != "name")
        else:
            body = type(one.body)(one.body.at, own)
            yield from misfits(body, shape, one.declared.name, project)


def parents(project: Project) -> Iterator[str]:
    """A child names its parent, of the type that its own type begins with; others have none."""
    for one in _distinct(project):
        parent = one.declared.object.get("parent")
        outer = one.type.rpartition("/")[0]
        if parent is None and one.parent is None and outer.count("/") > 0:
            yield f"{one.declared.at}: {one.declared.name} has no parent, a {outer}"
        if parent is not None:
            found = _resource(one.source, parent)
            if found is None or found.target.partition("@")[0] != outer:
                yield f"{parent.at}: the parent of {one.declared.name} must be a {outer}"


def scopes(project: Project) -> Iterator[str]:
    """A resource without a scope of its own may be deployed at the scope of its file."""
    for one in _distinct(project):
        shape = published().get(one.target)
        scope = one.declared.object.get("scope")
        if shape and scope is None and not shape["scopes"] & _SCOPES.get(one.source.scope, 0):
            yield f"{one.declared.at}: {one.declared.name} cannot be deployed to a {one.source.scope}"
        extended = scope is not None and _resource(one.source, scope) and not one.declared.existing
        if shape and scope and extended and shape["scopes"] < _EXTENSION:
            yield f"{scope.at}: {one.declared.name} cannot have a resource as its scope"


def names(project: Project) -> Iterator[str]:
    """No two resources of a type are the same one, and no name is a path."""
    seen: set[tuple[object, ...]] = set()
    for one in project.resources:
        name = one.body.get("name")
        if not isinstance(name, Literal) or one.declared.existing:
            continue
        if "/" in str(name.value):
            yield f"{name.at}: the name of {one.declared.name} is a path: name its parent instead"
        key = (
            one.source.path,
            one.type,
            repr(one.body.get("parent")),
            repr(one.body.get("scope")),
            name.value,
        )
        if key in seen:
            yield f"{name.at}: {name.value} is deployed twice"
        seen.add(key)


def reads(project: Project) -> Iterator[str]:
    """What is read of a resource is something that its type has."""
    for source in project.sources.values():
        for one in expressions(source):
            root, path = _path(one)
            found = _resource(source, root) if path else None
            shape = published().get(found.target) if found and found.kind == "resource" else None
            if shape is not None and not _has(shape, path):
                yield f"{one.at}: a {found.target if found else ''} has no {'.'.join(path)}"


def _distinct(project: Project) -> Iterator[Resource]:
    """Yield one resource for each declaration."""
    seen = set()
    for one in project.resources:
        if one.declared not in seen:
            seen.add(one.declared)
            yield one


def _resource(source: Source, expression: Expression) -> Deployable | None:
    match expression:
        case Index(of=of):
            return _resource(source, of)
        case Access(nested=True, name=name) | Name(name=name):
            return source.deployable(name)
    return None


def _path(expression: Expression) -> tuple[Expression, tuple[str, ...]]:
    if isinstance(expression, Access) and not expression.nested:
        root, path = _path(expression.of)
        return root, (*path, expression.name)
    return expression, ()


def _has(shape: object, path: tuple[str, ...]) -> bool:
    if not path or not isinstance(shape, dict) or "object" not in shape:
        return not path or shape == "any"
    variants = [shape, *shape.get("cases", {}).values()]
    known = {key.rstrip("!~"): inner for one in variants for key, inner in one["object"].items()}
    first, *rest = path
    if first in known:
        return _has(known[first], tuple(rest))
    return "rest" in shape or (first in _READ and not rest)
