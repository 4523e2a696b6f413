"""From the bytes of a message to one JSON object."""

import json

from agreements.errors import EventError, Reason

type Object = dict[str, object]


def unwrap(body: bytes) -> Object:
    """Return the JSON object that a body holds, in UTF-8 (with or without BOM), UTF-16 or UTF-32.

    Raises:
        EventError: it is not JSON, or not one object.
    """
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # The parser's own message quotes the body.
        raise EventError(Reason.NOT_JSON) from None
    if not isinstance(value, dict):
        raise EventError(Reason.NOT_AN_OBJECT)
    return value


def _refuse(constant: str) -> None:
    # NaN and Infinity are Python's extension; JSON has no such numbers.
    raise ValueError(constant)
