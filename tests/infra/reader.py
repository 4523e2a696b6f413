"""A pure reader of Bicep: text to what ``bicep`` has."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.infra.bicep import (
    Access,
    Array,
    Call,
    Condition,
    Deployable,
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
    Value,
)

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_OPERATIONS = {"binary_expression", "ternary_expression", "unary_expression"}
_STEPS = {"member_expression", "resource_expression", "subscript_expression"}
_ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\'": "'", r"\$": "$", r"\\": "\\"}


@cache
def read(text: bytes, path: Path) -> Source:
    """Return what a file declares; what cannot be read is in ``faults``, by line."""
    root = _PARSER.parse(text).root_node
    reader = _Reader(path)
    return reader.source(root)


def _text(node: Node | None) -> str:
    return node.text.decode() if node and node.text else ""


def _faults(node: Node) -> Iterator[Node]:
    if node.is_error or node.is_missing:
        yield node
    for child in node.children:
        yield from _faults(child)


class _Reader:
    """Turns the syntax tree of one file into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: list[Value] = []
        self.deployables: list[Deployable] = []
        self.scope = "resourceGroup"

    def source(self, root: Node) -> Source:
        decorators: tuple[Call, ...] = ()
        for node in root.named_children:
            if node.type == "decorators":
                decorators = self.decorators(node)
            elif node.type != "comment":
                self.declaration(node, decorators)
                decorators = ()
        faults = tuple(self.at(node) for node in _faults(root))
        return Source(self.path, self.scope, tuple(self.values), tuple(self.deployables), faults)

    def at(self, node: Node) -> Place:
        return Place(self.path, node.start_point.row + 1)

    def decorators(self, node: Node) -> tuple[Call, ...]:
        calls = (self.expression(decorator.named_children[0]) for decorator in node.named_children)
        return tuple(call for call in calls if isinstance(call, Call))

    def declaration(self, node: Node, decorators: tuple[Call, ...]) -> None:
        if node.has_error:
            return
        match node.type:
            case "target_scope_assignment":
                self.scope = _text(node.named_children[0]).strip("'")
            case "parameter_declaration" | "variable_declaration" | "output_declaration":
                self.values.append(self.value(node, decorators))
            case "resource_declaration" | "module_declaration":
                self.deployable(node, decorators)

    def value(self, node: Node, decorators: tuple[Call, ...]) -> Value:
        name, *rest = node.named_children
        declared = "".join(_text(child) for child in rest if child.type == "type")
        values = [child for child in rest if child.type not in {"type", "comment"}]
        value = self.expression(values[-1]) if values else None
        return Value(self.at(node), _text(node.children[0]), _text(name), decorators, declared, value)

    def deployable(self, node: Node, decorators: tuple[Call, ...]) -> Deployable:
        name, target, *rest = node.named_children
        existing = any(child.type == "existing" for child in node.children)
        nested = tuple(self.deployable(child, ()) for child in self.within(rest[-1])) if rest else ()
        body = self.expression(rest[-1]) if rest else Object(self.at(node), ())
        made = Deployable(
            self.at(node),
            _text(node.children[0]),
            _text(name),
            decorators,
            _text(target).strip("'"),
            existing,
            body,
            nested,
        )
        self.deployables.append(made)
        return made

    def within(self, node: Node) -> list[Node]:
        properties = [child for child in node.named_children if child.type == "object_property"]
        return [one.named_children[0] for one in properties if _is_resource(one)]

    def expression(self, node: Node) -> Expression:
        parts = [child for child in node.named_children if child.type != "comment"]
        make = getattr(self, f"read_{node.type}", None)
        return make(node, parts) if make else Expression(self.at(node))

    def read_string(self, node: Node, parts: list[Node]) -> Expression:
        inner = [part for part in parts if part.type == "interpolation"]
        if not inner:
            return Literal(self.at(node), self.characters(node))
        # By what lies between them: an escaped dollar has no node of its own.
        starts = [node.start_byte + 1, *(part.end_byte for part in inner)]
        ends = [*(part.start_byte for part in inner), node.end_byte - 1]
        between = [self.slice(node, start, end) for start, end in zip(starts, ends, strict=True)]
        read = [self.expression(part.named_children[0]) for part in inner]
        mixed = [one for pair in zip(between, [*read, None], strict=True) for one in pair]
        return Interpolated(self.at(node), tuple(one for one in mixed if one and not _empty(one)))

    def slice(self, node: Node, start: int, end: int) -> Expression:
        written = (node.text or b"")[start - node.start_byte : end - node.start_byte].decode()
        return Literal(self.at(node), _unescaped(written))

    def characters(self, node: Node) -> str:
        written = _text(node)
        if written.startswith("'''"):
            return written[3:-3].removeprefix("\r").removeprefix("\n")
        return _unescaped(written[1:-1])

    def read_number(self, node: Node, _: list[Node]) -> Expression:
        return Literal(self.at(node), int(_text(node)))

    def read_boolean(self, node: Node, _: list[Node]) -> Expression:
        return Literal(self.at(node), _text(node) == "true")

    def read_null(self, node: Node, _: list[Node]) -> Expression:
        return Literal(self.at(node), None)

    def read_identifier(self, node: Node, _: list[Node]) -> Expression:
        return Name(self.at(node), _text(node))

    def read_array(self, node: Node, parts: list[Node]) -> Expression:
        return Array(self.at(node), tuple(map(self.expression, parts)))

    def read_object(self, node: Node, parts: list[Node]) -> Expression:
        return Object(self.at(node), tuple(self.member(one) for one in parts if _is_property(one)))

    def member(self, node: Node) -> Member:
        key, *rest = [child for child in node.named_children if child.type != "comment"]
        quoted = key.type == "string"
        read = self.expression(key) if quoted else Literal(self.at(key), _text(key))
        return Member(self.at(node), read, self.expression(rest[-1]) if rest else read, quoted)

    def read_parenthesized_expression(self, _: Node, parts: list[Node]) -> Expression:
        return self.expression(parts[0])

    def read_for_statement(self, node: Node, parts: list[Node]) -> Expression:
        first, over, body = parts
        names = first.named_children if first.type == "for_loop_parameters" else [first]
        item, index = _text(names[0]), _text(names[1]) if len(names) > 1 else None
        return Loop(self.at(node), item, index, self.expression(over), self.expression(body))

    def read_if_statement(self, node: Node, parts: list[Node]) -> Expression:
        return Condition(self.at(node), self.expression(parts[0]), self.expression(parts[1]))

    def read_call_expression(self, node: Node, parts: list[Node]) -> Expression:
        function = _text(parts[0]).removeprefix("az.").removeprefix("sys.")
        given = (child for child in parts[-1].named_children if child.type != "comment")
        return Call(self.at(node), function, tuple(map(self.expression, given)))

    def read_member(self, node: Node, _: list[Node]) -> Expression:
        return self.tail(node, lambda of: of)

    read_member_expression = read_subscript_expression = read_resource_expression = read_member

    def read_operation(self, node: Node, parts: list[Node]) -> Operation:
        sign = next(_text(child) for child in node.children if not child.is_named)
        return Operation(self.at(node), sign, tuple(map(self.expression, parts)))

    read_unary_expression = read_binary_expression = read_ternary_expression = read_operation

    def tail(self, node: Node, make: Callable[[Expression], Expression]) -> Expression:
        """Give ``.b`` of ``c ? x : a.b`` to ``a``, its last operand: the grammar gives it to the whole."""
        parts = [child for child in node.named_children if child.type != "comment"]
        if node.type in _OPERATIONS:
            read = self.read_operation(node, parts[:-1])
            return replace(read, operands=(*read.operands, self.tail(parts[-1], make)))
        if node.type in _STEPS:
            return self.tail(parts[0], lambda of: make(self.step(node, of, parts[-1])))
        return make(self.expression(node))

    def step(self, node: Node, of: Expression, last: Node) -> Expression:
        if node.type == "subscript_expression":
            return Index(self.at(node), of, self.expression(last))
        return Access(self.at(node), of, _text(last), nested=node.type == "resource_expression")


def _empty(one: Expression) -> bool:
    return isinstance(one, Literal) and not one.value


def _is_resource(node: Node) -> bool:
    return bool(node.named_children) and node.named_children[0].type == "resource_declaration"


def _is_property(node: Node) -> bool:
    return node.type == "object_property" and not _is_resource(node)


def _unescaped(written: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), written)
