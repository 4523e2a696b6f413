"""The trace that the host gives an invocation: the publisher's goes on, or a new one begins."""

import re
import secrets
from collections.abc import Mapping

_TRACE_PARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})")


def trace_parent(properties: Mapping[str, object]) -> str:
    """Return the ``traceparent`` of a new span, below the one that a message's properties name, if any."""
    given = properties.get("Diagnostic-Id") or properties.get("traceparent")
    found = _TRACE_PARENT.fullmatch(str(given))
    trace, flags = (found["trace"], found["flags"]) if found else (secrets.token_hex(16), "01")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"
