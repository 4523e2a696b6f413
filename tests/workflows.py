"""The few expressions of Logic Apps and Power Automate that the documentation uses, evaluated.

A reading of our own, for want of the cloud: ``@expression`` is its value, ``@{expression}`` within a text its
text. What is not known here fails, so that no documented expression goes unread.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

_TOKEN = re.compile(r"\s*(?:'(?P<text>(?:[^']|'')*)'|(?P<name>[A-Za-z_]\w*)|(?P<sign>\?\[|[\[\](),]))")
_EMBEDDED = re.compile(r"@\{([^}]*)\}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "base64": lambda value: base64.b64encode(_text(value).encode()).decode(),
    "string": _text,
    "encodeURIComponent": lambda text: quote(text, safe="!'()*~-._"),
}


@dataclass
class Run:
    """One run of a workflow: what its trigger gave, and what each action put out so far."""

    trigger: Mapping[str, Any]
    outputs: dict[str, object] = field(default_factory=dict)

    def value(self, template: Any) -> Any:
        """Return a template with every expression in it evaluated."""
        if isinstance(template, dict):
            return {name: self.value(inner) for name, inner in template.items()}
        if not isinstance(template, str):
            return template
        if template.startswith("@") and not template.startswith("@{"):
            return self._evaluated(template[1:])
        return _EMBEDDED.sub(lambda found: _text(self._evaluated(found[1])), template)

    def _evaluated(self, expression: str) -> object:
        tokens = list(_TOKEN.finditer(expression))
        assert "".join(match[0] for match in tokens) == expression, f"unread: {expression}"
        value, rest = self._expression(tokens)
        assert not rest, f"unread after an expression: {expression}"
        return value

    def _expression(self, tokens: list[re.Match[str]]) -> tuple[object, list[re.Match[str]]]:
        first, *rest = tokens
        if first["text"] is not None:
            return first["text"].replace("''", "'"), rest
        arguments: list[object] = []
        rest = rest[1:]  # the parenthesis
        while rest[0]["sign"] != ")":
            argument, rest = self._expression(rest[1:] if rest[0]["sign"] == "," else rest)
            arguments.append(argument)
        return self._members(self._call(first["name"], arguments), rest[1:])

    def _members(self, value: Any, rest: list[re.Match[str]]) -> tuple[object, list[re.Match[str]]]:
        while rest and rest[0]["sign"] in ("?[", "["):
            name, closing = rest[1]["text"], rest[2]
            assert closing["sign"] == "]"
            value = value[name] if rest[0]["sign"] == "[" else (value or {}).get(name)
            rest = rest[3:]
        return value, rest

    def _call(self, name: str, arguments: list[object]) -> object:
        match name, arguments:
            case "triggerOutputs", []:
                # The designers' short form: 'body/x' is body's member x.
                return {
                    f"{part}/{key}": value
                    for part in self.trigger
                    for key, value in self.trigger[part].items()
                }
            case "triggerBody", []:
                return self.trigger["body"]
            case "outputs", [str(action)]:
                return self.outputs[action]
            case "parameters", [str(of)]:
                return {"servicebus": {"connectionId": "connection"}} if of == "$connections" else "signed in"
        return _FUNCTIONS[name](*arguments)
