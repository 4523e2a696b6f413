"""What a Bicep file declares: declarations and expressions, every one with its place."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; reads as ``path:line``."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Expression:
    """Any expression; alone, one that no check needs to look into."""

    at: Place


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A string, whole number, boolean or null."""

    value: str | int | bool | None


@dataclass(frozen=True, slots=True)
class Interpolated(Expression):
    """A string with expressions in it."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Array(Expression):
    """An array."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Member(Expression):
    """One property of an object; ``quoted`` tells how its key was written."""

    key: Expression
    value: Expression
    quoted: bool

    @property
    def name(self) -> str | None:
        """The key, unless only the deployment knows it."""
        return str(self.key.value) if isinstance(self.key, Literal) else None


@dataclass(frozen=True, slots=True)
class Object(Expression):
    """An object."""

    members: tuple[Member, ...]

    def get(self, *path: str) -> Expression | None:
        """Return what lies at a path of keys; none where any of them is missing."""
        for member in self.members:
            if member.name == path[0]:
                rest = path[1:]
                if not rest:
                    return member.value
                return member.value.get(*rest) if isinstance(member.value, Object) else None
        return None


@dataclass(frozen=True, slots=True)
class Name(Expression):
    """A symbol."""

    name: str


@dataclass(frozen=True, slots=True)
class Access(Expression):
    """``of.name``, or ``of::name`` for a nested resource."""

    of: Expression
    name: str
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Index(Expression):
    """``of[index]``."""

    of: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A call of a function; a namespace before its name is dropped."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operation(Expression):
    """One, two or (``?``) three operands."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Loop(Expression):
    """``[for item in over: body]``, with an index perhaps."""

    item: str
    index: str | None
    over: Expression
    body: Expression


@dataclass(frozen=True, slots=True)
class Condition(Expression):
    """``if (test) body``, around what is deployed."""

    test: Expression
    body: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """What every declaration has; ``kind`` is Bicep's own word for it."""

    at: Place
    kind: str
    name: str
    decorators: tuple[Call, ...]

    def decorator(self, name: str) -> Call | None:
        """Return a decorator by its name."""
        return next((call for call in self.decorators if call.function == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class Value(Declaration):
    """A parameter, variable or output; a variable's type is empty, a parameter's value its default."""

    type: str
    value: Expression | None


@dataclass(frozen=True, slots=True, eq=False)
class Deployable(Declaration):
    """A resource or a module; ``target`` is the type and version, or the path."""

    target: str
    existing: bool
    body: Expression
    nested: tuple["Deployable", ...] = ()

    @property
    def object(self) -> Object:
        """The body without its loop and condition."""
        body = self.body
        while isinstance(body, Loop | Condition):
            body = body.body
        return body if isinstance(body, Object) else Object(self.at, ())


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One file, read.

    Attributes:
        path: relative to the project.
        scope: its ``targetScope``.
        faults: where it cannot be read.
    """

    path: Path
    scope: str
    values: tuple[Value, ...]
    deployables: tuple[Deployable, ...]
    faults: tuple[Place, ...] = field(default=())

    def of(self, kind: str) -> dict[str, Value]:
        """Return the parameters (``param``), variables (``var``) or outputs (``output``) by name."""
        return {value.name: value for value in self.values if value.kind == kind}

    def deployable(self, name: str) -> Deployable | None:
        """Return a resource or module by its symbol."""
        return next((one for one in self.deployables if one.name == name), None)


def children(expression: Expression) -> Iterator[Expression]:
    """Yield the expressions right within another."""
    match expression:
        case Interpolated(parts=several) | Array(items=several) | Call(arguments=several):
            yield from several
        case Object(members=several) | Operation(operands=several):
            yield from several
        case Member(key=first, value=second) | Index(of=first, index=second):
            yield from (first, second)
        case Loop(over=first, body=second) | Condition(test=first, body=second):
            yield from (first, second)
        case Access(of=first):
            yield first


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything within it."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def expressions(source: Source) -> Iterator[Expression]:
    """Yield every expression of a file, the decorators' too."""
    for value in source.values:
        yield from (found for call in value.decorators for found in walk(call))
        if value.value:
            yield from walk(value.value)
    for deployable in source.deployables:
        yield from (found for call in deployable.decorators for found in walk(call))
        yield from walk(deployable.body)
