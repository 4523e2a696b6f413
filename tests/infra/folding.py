"""What is known of an expression before a deployment: variables, arguments and files in their place."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.infra.bicep import (
    Access,
    Array,
    Call,
    Condition,
    Expression,
    Index,
    Interpolated,
    Literal,
    Loop,
    Member,
    Name,
    Object,
    Operation,
    Place,
    Source,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where names are looked up.

    Attributes:
        root: the folder that the paths of sources are relative to.
        arguments: what the file's parameters were given, folded.
        locals: a loop's item and index.
        within: the variables whose values are being folded, since a fault can make a circle of them.
        folded: what they came to, so that each is folded once.
    """

    root: Path
    source: Source
    arguments: Mapping[str, Expression]
    locals: Mapping[str, Expression] = field(default_factory=dict)
    within: frozenset[str] = frozenset()
    folded: dict[str, Expression] = field(default_factory=dict)

    def inner(self, **names: Expression) -> "Scope":
        """Return this scope with some names more."""
        return replace(self, locals={**self.locals, **names})


def fold(expression: Expression, scope: Scope) -> Expression:
    """Return an expression with what is known put in its place; branches are both kept.

    A parameter without an argument stands for its default; without either it stays a name.
    """
    match expression:
        case Name():
            return _name(expression, scope)
        case Loop():
            return _loop(expression, scope)
        case Object():
            members = (
                Member(m.at, fold(m.key, scope), fold(m.value, scope), m.quoted) for m in expression.members
            )
            return Object(expression.at, tuple(members))
        case Array():
            return Array(expression.at, tuple(fold(item, scope) for item in expression.items))
        case Operation():
            operands = tuple(fold(one, scope) for one in expression.operands)
            return _operation(replace(expression, operands=operands))
        case Condition():
            return Condition(expression.at, fold(expression.test, scope), fold(expression.body, scope))
        case _:
            return _applied(expression, scope)


def _folded(member: Member, scope: Scope) -> Member:
    return replace(member, key=fold(member.key, scope), value=fold(member.value, scope))


def _applied(expression: Expression, scope: Scope) -> Expression:
    match expression:
        case Interpolated():
            return _joined(expression.at, [fold(part, scope) for part in expression.parts])
        case Access():
            return _member(replace(expression, of=fold(expression.of, scope)))
        case Index():
            return _item(
                replace(expression, of=fold(expression.of, scope), index=fold(expression.index, scope))
            )
        case Call():
            arguments = tuple(fold(argument, scope) for argument in expression.arguments)
            return _called(replace(expression, arguments=arguments), scope)
        case _:
            return expression


def _name(expression: Name, scope: Scope) -> Expression:
    name = expression.name
    if name in scope.locals:
        return scope.locals[name]
    if name in scope.arguments:
        return scope.arguments[name]
    declared = scope.source.of("var").get(name) or scope.source.of("param").get(name)
    if declared is None or declared.value is None or name in scope.within:
        return expression
    if name not in scope.folded:
        scope.folded[name] = fold(declared.value, replace(scope, locals={}, within=scope.within | {name}))
    return scope.folded[name]


def _loop(loop: Loop, scope: Scope) -> Expression:
    over = fold(loop.over, scope)
    if isinstance(over, Array):
        return Array(loop.at, tuple(fold(loop.body, scope.inner(**names)) for names in turns(loop, over)))
    names = {name: Name(loop.at, name) for name in (loop.item, loop.index) if name}
    return replace(loop, over=over, body=fold(loop.body, scope.inner(**names)))


def turns(loop: Loop, over: Array) -> list[dict[str, Expression]]:
    """Return the names that each turn of a loop gives its body."""
    return [
        {loop.item: item} | ({loop.index: Literal(loop.at, number)} if loop.index else {})
        for number, item in enumerate(over.items)
    ]


def _joined(at: Place, parts: list[Expression]) -> Expression:
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Interpolated) else [part])]
    if all(isinstance(part, Literal) for part in flat):
        return Literal(at, "".join(str(part.value) for part in flat if isinstance(part, Literal)))
    return Interpolated(at, tuple(flat))


def _member(access: Access) -> Expression:
    found = access.of.get(access.name) if isinstance(access.of, Object) else None
    return found or access


def _item(index: Index) -> Expression:
    match index:
        case Index(of=Array(items=items), index=Literal(value=int(number))) if number < len(items):
            return items[number]
        case Index(of=Object() as of, index=Literal(value=str(name))):
            return of.get(name) or index
        case _:
            return index


def _operation(operation: Operation) -> Expression:
    """Return what a test comes to, unless it is a choice: of that, both branches are kept."""
    match operation:
        case Operation(operator="!", operands=(Literal(value=bool(test)),)):
            return Literal(operation.at, not test)
        case Operation(operator="==", operands=(Literal(value=one), Literal(value=other))):
            return Literal(operation.at, one == other)
        case Operation(operator="!=", operands=(Literal(value=one), Literal(value=other))):
            return Literal(operation.at, one != other)
    return operation


def _called(call: Call, scope: Scope) -> Expression:
    make = _FUNCTIONS.get(call.function)
    return (make(call, scope) if make else None) or call


def _union(call: Call, _: Scope) -> Expression | None:
    match call.arguments:
        case (Array(), *_) as arrays if all(isinstance(one, Array) for one in arrays):
            return Array(
                call.at, tuple(item for one in arrays if isinstance(one, Array) for item in one.items)
            )
        case (Object(), *_) as objects if all(isinstance(one, Object) for one in objects):
            members = {m.name: m for one in objects if isinstance(one, Object) for m in one.members}
            return Object(call.at, tuple(members.values()))
    return None


def _contains(call: Call, _: Scope) -> Expression | None:
    match call.arguments:
        case (Array(items=items), Literal(value=value)) if all(isinstance(one, Literal) for one in items):
            return Literal(call.at, any(isinstance(one, Literal) and one.value == value for one in items))
    return None


def _items(call: Call, _: Scope) -> Expression | None:
    match call.arguments:
        case (Object(members=members),):
            return Array(call.at, tuple(_pair(m) for m in sorted(members, key=lambda m: m.name or "")))
    return None


def _pair(member: Member) -> Object:
    key, value = Literal(member.at, "key"), Literal(member.at, "value")
    return Object(
        member.at, (Member(member.at, key, member.key, False), Member(member.at, value, member.value, False))
    )


def _lower(call: Call, _: Scope) -> Expression | None:
    match call.arguments:
        case (Literal(value=str(text)),):
            return Literal(call.at, text.lower())
    return None


def _string(call: Call, _: Scope) -> Expression | None:
    match call.arguments:
        case (Literal(value=bool(truth)),):
            return Literal(call.at, "True" if truth else "False")
        case (Literal(value=int(number)),):
            return Literal(call.at, str(number))
    return None


def _text_file(call: Call, scope: Scope) -> Expression | None:
    path = loaded(call, scope)
    return Literal(Place(path, 1), (scope.root / path).read_text()) if path else None


def _json_file(call: Call, scope: Scope) -> Expression | None:
    path = loaded(call, scope)
    try:
        return value(json.loads((scope.root / path).read_text()), Place(path, 1)) if path else None
    except ValueError:
        return None


def loaded(call: Call, scope: Scope) -> Path | None:
    """Return the file that a call loads, relative to the project; none when there is no such file."""
    match call.arguments:
        case (Literal(value=str(name)), *_):
            path = (scope.root / scope.source.path.parent / name).resolve()
            return path.relative_to(scope.root.resolve()) if path.is_file() else None
    return None


def value(data: Any, at: Place) -> Expression:
    """Return plain data as an expression."""
    match data:
        case dict():
            members = (
                Member(at, Literal(at, str(key)), value(one, at), quoted=False) for key, one in data.items()
            )
            return Object(at, tuple(members))
        case list():
            return Array(at, tuple(value(one, at) for one in data))
        case _:
            return Literal(at, data)


_FUNCTIONS: dict[str, Callable[[Call, Scope], Expression | None]] = {
    "concat": _union,
    "contains": _contains,
    "items": _items,
    "loadJsonContent": _json_file,
    "loadTextContent": _text_file,
    "string": _string,
    "toLower": _lower,
    "union": _union,
}
