"""What commands show of a stranger's data: nothing that may be personal, unless it is asked for."""

import json
import re

from agreements.deliveries import Property
from agreements.messages import ParkedMessage

HIDDEN = "•••"

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OURS = {str(name) for name in Property} - {Property.EVENT_ID, Property.DEAD_LETTER_DESCRIPTION}
# Made by a machine: a hash, or what names a message of a queue.
_MADE = re.compile(r"[0-9a-f]{24,64}|[\w.-]+/\d+/\d{4}-\d\d-\d\dT[\d:.]+Z")
# An id that somebody numbered: other words may be a name, and more digits a telephone number. Possessive
# (++), or an id of many dashes could be read in so many ways that matching it would never end.
_WORD = "(?i:acceptance|account|agreement|case|contract|crm|customer|event|id|mca|message|order|request|test)"
_NUMBERED = re.compile(rf"(?=.*\d)(?:{_WORD}|[A-Z]{{1,3}})?\d*(?:[._:/#-]++{_WORD}?\d*)*")
_MOST_DIGITS = 6


def masked_id(event_id: str, *, reveal: bool = False) -> str:
    """Return an event's id, unless it may be a name, an address or a telephone number."""
    made = _GUID.fullmatch(event_id) or _MADE.fullmatch(event_id)
    few = sum(char.isdigit() for char in event_id) <= _MOST_DIGITS
    return event_id if reveal or made or (few and _NUMBERED.fullmatch(event_id)) else HIDDEN


def masked_properties(message: ParkedMessage, *, reveal: bool) -> dict[str, str]:
    """Return the properties as text; those of others, and what may be personal, only when revealed."""
    shown = {}
    for name, value in message.properties.items():
        if name == Property.EVENT_ID:
            shown[name] = masked_id(value.text, reveal=reveal)
        elif name == Property.DEAD_LETTER_DESCRIPTION:
            shown[name] = value.text if reveal or message.text(Property.ORIGIN) else HIDDEN
        else:
            shown[name] = value.text if reveal or name in _OURS else HIDDEN
    return shown


def masked_body(body: bytes, *, reveal: bool) -> object:
    """Return a body as JSON: with every value hidden but ids and dates, unless revealed."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace") if reveal else f"{len(body)} bytes that are not JSON"
    return value if reveal else _masked(value, "")


_TELLING = {"customertenantid", "dateagreed", "type", "templateid", "specversion"}


def _masked(value: object, name: str) -> object:
    if isinstance(value, dict):
        # A name that nobody knows may itself be a person's data.
        return {key if _NAME.fullmatch(key) else HIDDEN: _masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name) for item in value]
    told = name.lower() in _TELLING and isinstance(value, str) and _HARMLESS.fullmatch(value)
    return value if value is None or told else HIDDEN


_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,40}")
_HARMLESS = re.compile(rf"{_GUID.pattern}|[\d:.TZ+-]{{1,40}}|MicrosoftCustomerAgreement", re.IGNORECASE)
