"""Partner Center's JSON: what we send, and what we make of what it answers. No I/O."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast
from uuid import UUID

from agreements.errors import Answer
from agreements.events import AcceptanceEvent, Agreement

_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# A correlation vector: base64 and counters (github.com/microsoft/CorrelationVector, versions 1 and 2).
_VECTOR = re.compile(r"[A-Za-z0-9+/_-]{16,22}(\.\d{1,10}){1,20}!?", re.ASCII)


def agreement_body(event: AcceptanceEvent, template_id: str) -> dict[str, object]:
    """Return the agreement to record, in the fields and the order of the API page's example."""
    contact = event.primary_contact
    phone = {"phoneNumber": contact.phone_number} if contact.phone_number else {}
    return {
        "primaryContact": {
            "firstName": contact.first_name,
            "lastName": contact.last_name,
            "email": contact.email,
            **phone,
        },
        "templateId": template_id,
        "dateAgreed": _utc(event.date_agreed.instant),
        "type": event.type,
    }


def _utc(instant: datetime) -> str:
    precision = "microseconds" if instant.microsecond % 1000 else "milliseconds"
    return instant.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def read_agreement(body: bytes) -> Agreement:
    """Return the agreement that a body holds; ValueError if it holds none."""
    return Agreement.model_validate(json.loads(body))


def read_agreements(body: bytes) -> list[Agreement]:
    """Return the agreements that a body lists; ValueError if one of them cannot be read."""
    return [Agreement.model_validate(item) for item in _items(body)]


def read_is_signed(body: bytes) -> bool:
    """Return whether a body says that the customer accepted directly; ValueError if it does not say."""
    found = json.loads(body)
    signed = found.get("isSigned") if isinstance(found, dict) else None
    if not isinstance(signed, bool):
        raise ValueError("no isSigned")  # noqa: TRY004 - as for all that a body should say
    return signed


def read_template_ids(body: bytes, agreement_type: str) -> list[str]:
    """Return the ids of a type's templates that a body lists, best rank first; ValueError without any."""
    templates = [
        (int(str(item.get("versionRank") or 0)), str(UUID(item.get("templateId"))))
        for item in _items(body)
        if item.get("agreementType") == agreement_type
    ]
    if not templates:
        raise ValueError("no template of that type")
    return [template_id for _, template_id in sorted(templates, reverse=True)]


def _items(body: bytes) -> list[dict[str, str]]:
    # The documentation shows an envelope, the REST reference declares a bare array.
    found = json.loads(body)
    items = found.get("items") if isinstance(found, dict) else found
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("not a list of objects")
    return cast("list[dict[str, str]]", items)


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Answer:
    """Return what an answer other than 2xx says; a body that is not JSON, or none, says nothing more."""
    said = _refusal(body)
    code, name, retryable = said.get("code"), said.get("errorName"), said.get("isRetryable")
    return Answer(
        status=status,
        code=_token(code),
        error_name=_token(name),
        retryable=retryable if isinstance(retryable, bool) else None,
        retry_after=_seconds(headers.get("Retry-After"), now),
        request_id=_guid(headers.get("MS-RequestId")),
        correlation_id=_guid(headers.get("MS-CorrelationId")),
        cv=_vector(headers.get("MS-CV")),
    )


def _token(value: object) -> str | None:
    # Anything longer or stranger is no code; it could be a person's data, and would not fit a property.
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return text if _TOKEN.fullmatch(text) else None


def _guid(value: str | None) -> str | None:
    try:
        return str(UUID(value))
    except (TypeError, ValueError):
        return None


def _vector(value: str | None) -> str | None:
    return value if value is not None and _VECTOR.fullmatch(value) else None


def _refusal(body: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    # Other services of Microsoft's, and its gateways, put all of it one level down.
    error = said.get("error")
    return error if isinstance(error, dict) else said


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Return a Retry-After, seconds or an HTTP date, in seconds from now; ``None`` if it is neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
