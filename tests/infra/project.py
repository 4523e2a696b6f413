"""A project as a deployment sees it: sources read, modules followed, and the resources that come of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tests.infra.bicep import Array, Condition, Deployable, Expression, Loop, Object, Source
from tests.infra.folding import Scope, fold, turns
from tests.infra.reader import read

MAIN = Path("infra/main.bicep")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource to be deployed, its body folded.

    Attributes:
        conditions: the tests it depends on, folded, its modules' too.
        parent: the resource that it is nested in, if it is.
    """

    source: Source
    declared: Deployable
    body: Object
    conditions: tuple[Expression, ...] = ()
    parent: Deployable | None = None

    @property
    def type(self) -> str:
        """The full type, without its version."""
        own = self.declared.target.partition("@")[0]
        return f"{self.parent.target.partition('@')[0]}/{own}" if self.parent and own.count("/") == 0 else own

    @property
    def target(self) -> str:
        """The full type and its version."""
        version = self.declared.target.partition("@")[2] or (self.parent.target if self.parent else "")
        return f"{self.type}@{version.partition('@')[2] or version}"


class Project:
    """What lies in a folder: ``infra/`` and whatever belongs to it."""

    def __init__(self, root: Path) -> None:
        """Read the sources; nothing is refused here, since the checks are there to find it."""
        self.root = root
        paths = sorted((root / "infra").rglob("*.bicep"))
        read_all = (read(path.read_bytes(), path.relative_to(root)) for path in paths)
        self.sources: Mapping[Path, Source] = {source.path: source for source in read_all}

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """Every resource, modules followed from the main one; existing ones too."""
        return tuple(self._deployed(MAIN, {}, _Within())) if MAIN in self.sources else ()

    def of(self, type_: str) -> list[Resource]:
        """Return what of a type is deployed, not what merely exists."""
        return [one for one in self.resources if one.type == type_ and not one.declared.existing]

    def module(self, source: Source, module: Deployable) -> Source | None:
        """Return the source of a module; none when there is none."""
        path = (self.root / source.path.parent / module.target).resolve()
        inside = path.is_relative_to(self.root.resolve())
        return self.sources.get(path.relative_to(self.root.resolve())) if inside else None

    def _deployed(
        self, path: Path, arguments: Mapping[str, Expression], within: "_Within"
    ) -> Iterator[Resource]:
        source = self.sources[path]
        nested = {inner: outer for outer in source.deployables for inner in outer.nested}
        for declared in source.deployables:
            for body, tests in _bodies(declared.body, Scope(self.root, source, arguments)):
                conditions = (*within.conditions, *tests)
                target = self.module(source, declared) if declared.kind == "module" else None
                if declared.kind == "resource":
                    yield Resource(source, declared, body, conditions, nested.get(declared))
                elif target and target.path not in within.paths:
                    deeper = _Within((*within.paths, path), conditions)
                    yield from self._deployed(target.path, _arguments(body), deeper)


@dataclass(frozen=True, slots=True)
class _Within:
    """The files and conditions around a module; a fault can make a circle of modules."""

    paths: tuple[Path, ...] = ()
    conditions: tuple[Expression, ...] = ()


def _arguments(body: Object) -> dict[str, Expression]:
    given = body.get("params")
    members = given.members if isinstance(given, Object) else ()
    return {member.name: member.value for member in members if member.name}


def _bodies(body: Expression, scope: Scope) -> Iterator[tuple[Object, tuple[Expression, ...]]]:
    """Yield what a declaration deploys, once or for each turn of its loop, and on what conditions."""
    match body:
        case Loop():
            over = fold(body.over, scope)
            # An empty list deploys nothing today; what it would deploy is still looked at.
            for names in (turns(body, over) if isinstance(over, Array) else []) or [{}]:
                yield from _bodies(body.body, scope.inner(**names))
        case Condition():
            for inner, tests in _bodies(body.body, scope):
                yield inner, (fold(body.test, scope), *tests)
        case Object():
            folded = fold(body, scope)
            yield folded if isinstance(folded, Object) else replace(body, members=()), ()
