"""From the bytes of a message to one JSON object: every format in which publishers carry an event."""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from agreements import dotnet
from agreements.errors import EventError, Reason

type Object = dict[str, object]

_CLOUD_EVENT = "application/cloudevents"
_CLOUD_EVENTS_BATCH = "application/cloudevents-batch"
# CloudEvents over AMQP, binary mode: the attributes are application properties with either prefix.
_PREFIXES = ("cloudEvents_", "cloudEvents:")
# What an execution context always has: one over 192 KB comes without its InputParameters.
_DATAVERSE = {"PrimaryEntityName", "MessageName", "BusinessUnitId"}
# What a property can carry and a person can search by: printable text, not longer than any real address.
_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,1024}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a message carries: the event's JSON object, and what a CloudEvent calls it, if that is usable.

    Attributes:
        event_id: CloudEvents' ``source`` and ``id``: only the pair is unique.
        cloud_event_id: the ``id`` alone, by which its publisher knows it.
    """

    data: Object = field(repr=False)
    event_id: str | None = None
    cloud_event_id: str | None = None


def unwrap(
    body: bytes, content_type: str | None = None, properties: Mapping[str, object] | None = None
) -> Envelope:
    """Return what a message carries.

    Plain JSON or CloudEvents 1.0 (structured, told by the content type or by ``specversion``; binary mode,
    with either prefix), in UTF-8 with or without BOM, UTF-16 or UTF-32; alone in an array, once in a JSON
    string, or in the wrapper that .NET puts around a string.

    Raises:
        EventError: it carries no event, or not exactly one.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type.startswith(_CLOUD_EVENTS_BATCH):
        raise EventError(Reason.SEVERAL_EVENTS)
    found = _object(_only(_value(dotnet.unwrapped(body))))
    # Structured mode may repeat its attributes as properties (AMQP binding 3.2.3): the body says what it is.
    attributes = {} if "specversion" in found else _attributes(properties or {})
    if attributes:
        return _cloud_event(found, attributes)
    if media_type.startswith(_CLOUD_EVENT) or "specversion" in found:
        return _cloud_event(_cloud_event_data(found), found)
    if found.keys() >= _DATAVERSE:
        raise EventError(Reason.DATAVERSE_CONTEXT)
    return Envelope(data=found)


def _value(body: bytes) -> object:
    """Return the JSON value that a body holds, taken out of one JSON string at most."""
    if not body.strip():
        raise EventError(Reason.EMPTY)
    # Binary XML of .NET begins with the record of an element; no JSON begins with that byte.
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"@")):
        raise EventError(Reason.XML)
    value = _parsed(body)
    return _parsed(value) if isinstance(value, str) else value


def _parsed(text: str | bytes) -> object:
    with suppress(ValueError, RecursionError):
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_doubles)
    # Raised out here, where it has no context: the parser's own error holds the body.
    raise EventError(Reason.NOT_JSON)


def _refuse(constant: str) -> NoReturn:
    # NaN and Infinity are Python's extension; JSON has no such numbers.
    raise ValueError(constant)


def _without_doubles(pairs: list[tuple[str, object]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Which of the two would be meant? No date or name may be chosen by chance.
        raise EventError(Reason.FIELD_TWICE)
    return found


def _only(value: object) -> object:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise EventError(Reason.SEVERAL_EVENTS if value else Reason.EMPTY)
    return value[0]


def _object(value: object) -> Object:
    if not isinstance(value, dict):
        raise EventError(Reason.NOT_AN_OBJECT)
    return value


def _attributes(properties: Mapping[str, object]) -> Object:
    """Return the CloudEvents attributes among application properties, none if it is no such event."""
    for prefix in _PREFIXES:
        found = {
            name.removeprefix(prefix): value for name, value in properties.items() if name.startswith(prefix)
        }
        if "specversion" in found:
            return _version_1(found)
    return {}


def _version_1(attributes: Object) -> Object:
    if not _written(attributes.get("specversion")).startswith("1."):
        raise EventError(Reason.CLOUD_EVENT_INVALID, "specversion", "must be 1.0")
    return attributes


def _cloud_event(data: Object, attributes: Object) -> Envelope:
    source, event_id = _written(attributes.get("source")), _written(attributes.get("id"))
    pair = f"{source} {event_id}"
    if not (source and event_id and _ID.fullmatch(pair)):
        return Envelope(data=data)
    return Envelope(data=data, event_id=pair, cloud_event_id=event_id)


def _written(attribute: object) -> str:
    """Return an attribute as text, also where a property carries it as a number; anything else is none."""
    return str(attribute) if isinstance(attribute, (str, int, float)) else ""


def _cloud_event_data(event: Object) -> Object:
    """Return the data of a structured event; a JSON string in it is a string, not JSON to parse again."""
    _version_1(event)
    encoded = event.get("data_base64")
    if encoded is None:
        return _object(event.get("data"))
    body = _decoded(encoded) if isinstance(encoded, str) else None
    if body is None:
        raise EventError(Reason.CLOUD_EVENT_INVALID, "data_base64", "must be base64")
    return _object(_parsed(body))


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
