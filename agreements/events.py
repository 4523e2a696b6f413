"""The acceptance event: the contract with publishers."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique
from functools import cache
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from agreements import envelopes
from agreements.errors import EventError, Reason

SCHEMA_ID = "urn:agreements:schema:acceptance-event:1"
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_HOUR, _SIXTY = r"([01]\d|2[0-3])", r"[0-5]\d"
# The colon of an offset may be missing, as Salesforce writes it: no other reading is possible.
_ZONE = f"(?P<zone>Z|[+-]{_HOUR}(:?{_SIXTY})?)"
_INSTANT = re.compile(rf"{_DAY}(T{_HOUR}:{_SIXTY}(:{_SIXTY}([.,]\d{{1,9}})?)?{_ZONE}?)?", re.ASCII)
# The same in the dialect that JSON Schema shares with everyone; so are those below.
_DATE_PATTERN = f"^{_INSTANT.pattern}$".replace("?P<zone>", "").replace(r"\d", "[0-9]")
# Not every validator looks at "format".
_GUID_PATTERN = "^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_BLANK = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_PHONE_PATTERN = f"^[^{_CONTROL}]*$"
_TEXT_PATTERN = f"^[{_BLANK}]*[^{_CONTROL}{_BLANK}][^{_CONTROL}]*$"
_EMAIL_PATTERN = f"^[{_BLANK}]*[^@{_CONTROL}{_BLANK}]+@[^@{_CONTROL}{_BLANK}]+[{_BLANK}]*$"
_CLOCK_SKEW = timedelta(minutes=5)
# An event without a time or a zone means the customer's day, and it is tomorrow somewhere: UTC+14.
_DAY_AHEAD = timedelta(hours=14)
# The service answers to the second.
_TOLERANCE = timedelta(seconds=1)
# Control characters, and surrogates without their other half: no system can be counted on to keep them.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class DateAgreed:
    """When the customer agreed.

    Attributes:
        instant: in UTC, to the microsecond.
        exact: whether the publisher gave a time and a zone; without, "today" may still be tomorrow in UTC.
    """

    instant: datetime
    exact: bool

    def in_future(self, now: datetime) -> bool:
        """Tell whether it lies further ahead than clocks and zones explain."""
        return self.instant > now + (_CLOCK_SKEW if self.exact else _DAY_AHEAD)


def _date_agreed(value: object) -> DateAgreed:
    # Strict, and before pydantic sees it: pydantic would take 1528934400 and "1528934400" for instants.
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    try:
        given = datetime.fromisoformat(match[0])
        instant = given.replace(tzinfo=given.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError from None
    return DateAgreed(instant, exact=match["zone"] is not None)


def _text(value: str) -> str:
    if not value.strip() or _UNPRINTABLE.search(value):
        raise ValueError
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value.strip()):
        raise ValueError
    return value


def _absent_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, AfterValidator(_text), WithJsonSchema({"type": "string", "pattern": _TEXT_PATTERN})]
Email = Annotated[Text, AfterValidator(_email), WithJsonSchema({"type": "string", "pattern": _EMAIL_PATTERN})]
Phone = Annotated[
    Text | None,
    BeforeValidator(_absent_if_blank),
    WithJsonSchema({"type": ["string", "null"], "pattern": _PHONE_PATTERN}),
]
Guid = Annotated[UUID, WithJsonSchema({"type": "string", "format": "uuid", "pattern": _GUID_PATTERN})]


@cache
def _names(model: type[BaseModel]) -> dict[str, str]:
    return {str(field.alias).lower(): str(field.alias) for field in model.model_fields.values()}


class _Contract(BaseModel):
    """Field names match in any case, unknown ones are ignored, and ``null`` is as good as absent."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _: to_camel(name),
        str_strip_whitespace=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _match_names(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        names = _names(cls)
        return {names.get(name.lower(), name): value for name, value in given.items() if value is not None}


class _Person(_Contract):
    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """Show nothing of a person, wherever one is printed."""
        return ()


class Contact(_Person):
    """The person who accepted for the customer; every value is kept as written."""

    first_name: Text = Field(description="text that is not blank")
    last_name: Text = Field(description="text that is not blank")
    email: Email = Field(description="an e-mail address")
    phone_number: Phone = Field(None, description="text")


class AcceptanceEvent(_Contract):
    """A customer's acceptance of the Microsoft Customer Agreement, as a CRM system publishes it."""

    customer_tenant_id: Guid = Field(description="a GUID: the customer's Microsoft ID")
    date_agreed: Annotated[
        DateAgreed,
        BeforeValidator(_date_agreed),
        WithJsonSchema({"type": "string", "pattern": _DATE_PATTERN}),
    ] = Field(description="an ISO 8601 date (2018-06-14) or date and time (2018-06-14T09:30:00Z)")
    primary_contact: Contact = Field(description="an object", repr=False)
    type: Literal["MicrosoftCustomerAgreement"] = Field(
        "MicrosoftCustomerAgreement", description="MicrosoftCustomerAgreement"
    )
    template_id: Guid | None = Field(None, description="a GUID: the template's id")


def parse(
    body: bytes, content_type: str | None = None, properties: Mapping[str, object] | None = None
) -> AcceptanceEvent:
    """Return the event that a message carries, in any of the formats of ``envelopes``.

    Raises:
        EventError: it carries no event; it names the field, never the value.
    """
    return read(envelopes.unwrap(body, content_type, properties).data)


def read(given: envelopes.Object) -> AcceptanceEvent:
    """Return the event that a JSON object holds.

    Raises:
        EventError: it is no event; it names the field, never the value.
    """
    found = check(given)
    if isinstance(found, AcceptanceEvent):
        return found
    raise found[0]


def check(given: envelopes.Object) -> AcceptanceEvent | list[EventError]:
    """Return the event that a JSON object holds, or every fault for which it is none."""
    try:
        _refuse_twice(given, AcceptanceEvent)
        for name, value in given.items():
            if name.lower() == "primarycontact" and isinstance(value, dict):
                _refuse_twice(value, Contact, "primaryContact.")
    except EventError as error:
        return [error]
    try:
        return AcceptanceEvent.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    # Made out here, where they have no context: pydantic's own error holds the values.
    return [_refusal(one["type"], tuple(str(part) for part in one["loc"])) for one in found]


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of an event, as a publisher should write it.

    What it refuses may still be read (names in any case, a GUID in braces); its id changes with it.
    """
    schema = AcceptanceEvent.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}


def _refuse_twice(given: Mapping[str, object], model: type[BaseModel], path: str = "") -> None:
    """Refuse a field that is given under two spellings of its name."""
    spelt = [key.lower() for key, value in given.items() if value is not None]
    if len(set(spelt)) < len(spelt):
        for name, alias in _names(model).items():
            if spelt.count(name) > 1:
                raise EventError(Reason.FIELD_TWICE, f"{path}{alias}")


def _refusal(kind: str, path: tuple[str, ...]) -> EventError:
    model = AcceptanceEvent if len(path) == 1 else Contact
    expected = next(field.description for field in model.model_fields.values() if field.alias == path[-1])
    reason = Reason.FIELD_MISSING if kind == "missing" else Reason.FIELD_INVALID
    return EventError(reason, ".".join(path), f"must be {expected}")


class _Recorded(_Contract):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class RecordedContact(_Recorded, _Person):
    """The contact of a recorded agreement, as leniently as the service may give it."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    phone_number: str = ""


class Agreement(_Recorded):
    """An agreement on record; the service gives its date without a zone, in UTC."""

    type: str = ""
    date_agreed: Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]
    primary_contact: RecordedContact = Field(default_factory=RecordedContact, repr=False)
    template_id: str = ""


@unique
class Standing(StrEnum):
    """How an event stands against the customer's agreements on record."""

    SAME = "same"
    LATER = "later"
    OTHER = "other"
    NOTHING = "nothing"


def standing(event: AcceptanceEvent, recorded: Iterable[Agreement]) -> Standing:
    """Compare an event with the agreements on record of its type.

    ``SAME`` is an agreement with an equal contact and a date within one second; ``LATER`` one of somebody
    else that was agreed after the event, which must not be replaced by it. An equal contact under another
    date is ``OTHER``, later or not: the service refuses it as a duplicate, so it cannot replace anything.
    """
    # Only this type was asked for: a record that does not name its type is of it.
    rivals = [agreement for agreement in recorded if agreement.type in (event.type, "")]
    after = [rival.date_agreed - event.date_agreed.instant for rival in rivals]
    equal = [same_contact(event, rival) for rival in rivals]
    if any(same and abs(late) <= _TOLERANCE for same, late in zip(equal, after, strict=True)):
        return Standing.SAME
    if not any(equal) and any(late > _TOLERANCE for late in after):
        return Standing.LATER
    return Standing.OTHER if rivals else Standing.NOTHING


def same_contact(event: AcceptanceEvent, agreement: Agreement) -> bool:
    """Tell whether the two name the same person, spaces around, case and Unicode composition aside."""
    ours, theirs = _values(event.primary_contact), _values(agreement.primary_contact)
    return ours == theirs or list(map(_comparable, ours)) == list(map(_comparable, theirs))


def _values(contact: Contact | RecordedContact) -> tuple[str, ...]:
    return contact.first_name, contact.last_name, contact.email, contact.phone_number or ""


def _comparable(value: str) -> str:
    return unicodedata.normalize("NFC", _caseless(value.strip()))


def _caseless(text: str) -> str:
    # Folded in decomposed form: a composed letter may have no capital of its own (Unicode 3.13, D145).
    return unicodedata.normalize("NFD", text).casefold()
