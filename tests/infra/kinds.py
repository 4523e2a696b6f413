"""Of which kind an expression is, as far as can be told without a compiler."""

from tests.infra.bicep import (
    Access,
    Array,
    Call,
    Expression,
    Interpolated,
    Literal,
    Name,
    Object,
    Operation,
    Source,
)
from tests.infra.functions import FUNCTIONS
from tests.infra.project import Project

_NUMBER = {"+", "-", "*", "/", "%"}
_BOOLEAN = {"!", "==", "!=", "&&", "||", "<", ">", "<=", ">=", "=~", "!~"}


def kind(expression: Expression, project: Project) -> str:
    """Return ``string``, ``int``, ``bool``, ``array``, ``object`` or ``null``; empty where none can tell."""
    match expression:
        case Literal(value=value):
            return {bool: "bool", int: "int", str: "string"}.get(type(value), "null")
        case Interpolated():
            return "string"
        case Array():
            return "array"
        case Object():
            return "object"
        case Call(function=function):
            return FUNCTIONS[function].returns if function in FUNCTIONS else ""
        case Operation(operator=operator):
            return "bool" if operator in _BOOLEAN else "int" if operator in _NUMBER else ""
        case _:
            return _declared(expression, project)


def _declared(expression: Expression, project: Project) -> str:
    """Return the kind that a parameter or a module's output is declared with, or a variable has."""
    source = project.sources.get(expression.at.path)
    match expression:
        case Name(name=name) if source and name in source.of("param"):
            return source.of("param")[name].type
        case Name(name=name) if source and name in source.of("var"):
            value = source.of("var")[name].value
            # A fault can make a circle of variables.
            return kind(value, project) if value and not isinstance(value, Name) else ""
        case Access(of=Access(of=Name(name=module), name="outputs"), name=name) if source:
            return _output(source, module, name, project)
    return ""


def _output(source: Source, module: str, name: str, project: Project) -> str:
    declared = source.deployable(module)
    target = project.module(source, declared) if declared else None
    output = target.of("output").get(name) if target else None
    return output.type if output else ""
