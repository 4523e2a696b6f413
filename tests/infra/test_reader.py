from pathlib import Path

import pytest

from tests.infra.bicep import (
    Access,
    Call,
    Expression,
    Index,
    Interpolated,
    Literal,
    Loop,
    Name,
    Object,
    Operation,
)
from tests.infra.folding import Scope, fold
from tests.infra.reader import read

PATH = Path("infra/some.bicep")


def shown(one: Expression | None) -> str:
    """Return an expression with a bracket around every operation."""
    match one:
        case Literal(value=value):
            return repr(value)
        case Interpolated(parts=parts):
            return "+".join(map(shown, parts))
        case Name(name=name):
            return name
        case Access(of=of, name=name, nested=nested):
            return f"{shown(of)}{'::' if nested else '.'}{name}"
        case Index(of=of, index=index):
            return f"{shown(of)}[{shown(index)}]"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(shown, arguments))})"
        case Operation(operator=operator, operands=operands):
            return f"({operator} {' '.join(map(shown, operands))})"
    return "something else"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("c ? a : m.outputs.x", "(? c a m.outputs.x)"),
        ("c ? a : m.outputs.x[0].y", "(? c a m.outputs.x[0].y)"),
        ("(c ? a : b).x", "(? c a b).x"),
        ("c ? a : d ? b : e.f", "(? c a (? d b e.f))"),
        ("a == b ? c.d : e::f.g", "(? (== a b) c.d e::f.g)"),
        ("a * b * c.d", "(* (* a b) c.d)"),
        ("a * (b + c).d", "(* a (+ b c).d)"),
        ("a && !b.c", "(&& a (! b.c))"),
        ("az.resourceId('a', -5)", "resourceId('a', -5)"),
        ("'${a.b}-${c}'", "a.b+'-'+c"),
        (r"'it\'s\n${'$'}\${}'", "\"it's\\n\"+'$'+'${}'"),
        ("'''\nas it \\n is'''", r"'as it \\n is'"),
    ],
)
def test_expressions_are_read_as_bicep_means_them(written: str, meant: str) -> None:
    """What follows the last operand belongs to it, brackets hold, and strings are unescaped."""
    source = read(f"var it = {written}\n".encode(), PATH)
    assert source.faults == ()
    assert shown(source.of("var")["it"].value) == meant


def test_declarations_are_read() -> None:
    """Kinds, types, decorators, loops and nested resources are told apart, each with its line."""
    source = read(
        b"""targetScope = 'subscription'
@description('x')
param several array = []

resource vault 'A.B/vaults@2024-01-01' existing = {
  name: 'v'
  resource secret 'secrets' = {
    name: 's'
  }
}
module many 'some/module.bicep' = [for (one, i) in several: if (one.on) {
  name: 'm${i}'
}]
output count int = length(several)
""",
        PATH,
    )
    assert source.scope == "subscription"
    parameter, output = source.of("param")["several"], source.of("output")["count"]
    assert (parameter.type, parameter.at.line, output.type) == ("array", 3, "int")
    assert parameter.decorator("description")
    assert [(one.kind, one.name, one.existing) for one in source.deployables] == [
        ("resource", "secret", False),
        ("resource", "vault", True),
        ("module", "many", False),
    ]
    assert isinstance(source.deployables[2].body, Loop)
    assert shown(source.deployables[2].object.get("name")) == "'m'+i"


@pytest.mark.parametrize("text", ["param name\n", "var a = {\n", "var a = 'x\n", "resource\n"])
def test_what_cannot_be_read_has_its_line(text: str) -> None:
    """A fault of syntax is kept, with the line, and does not stop the reader."""
    [*_, last] = read(text.encode(), PATH).faults
    assert str(last).startswith("infra/some.bicep:")


def test_what_is_known_is_folded(tmp_path: Path) -> None:
    """Variables, files, unions and loops come to what a deployment would make of them; the rest stays."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "names.json").write_text('{"queues": ["a", "b"]}')
    source = read(
        b"""param region string
var file = loadJsonContent('names.json')
var tags = union({ 'x': 1 }, { y: region })
var made = [for (queue, i) in file.queues: '${queue}${i}']
var circle = circle2
var circle2 = circle
var all = { tags: tags, made: made, circle: circle }
""",
        PATH,
    )
    everything = fold(Name(source.values[0].at, "all"), Scope(tmp_path, source, {}))
    assert isinstance(everything, Object)
    assert shown(everything.get("tags", "y")) == "region"
    made = everything.get("made")
    assert [shown(one) for one in getattr(made, "items", ())] == ["'a0'", "'b1'"]
    assert shown(everything.get("circle")) == "circle"
