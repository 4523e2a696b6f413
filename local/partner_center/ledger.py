"""What Partner Center keeps and what it refuses, as rules without HTTP or a clock."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from local.partner_center import refusals
from local.partner_center.options import KeyPart, Options

CLOUD = "MicrosoftCloudAgreement"
CUSTOMER = "MicrosoftCustomerAgreement"
ANY = "*"


@dataclass(frozen=True, slots=True)
class Template:
    """One agreement that customers can accept."""

    id: str
    type: str
    link: str


TEMPLATES = (
    Template(
        "998b88de-aa99-4388-a42c-1b3517d49490", CLOUD, "https://docs.microsoft.com/partner-center/agreements"
    ),
    Template("117a77b0-9360-443b-8795-c6dedc750cf9", CUSTOMER, "https://aka.ms/customeragreement"),
)


_TEMPLATE = {template.id: template for template in TEMPLATES}


def templates(agreement_type: str) -> list[Template]:
    """Select the templates of one type, or of any."""
    return [template for template in TEMPLATES if agreement_type in (template.type, ANY)]


def _instant(written: str) -> datetime:
    instant = datetime.fromisoformat(written)
    try:
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


def _checked_date(written: str) -> str:
    _instant(written)
    return written


type _Name = Annotated[str, Field(pattern=r"\S")]
type _Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
type _Date = Annotated[str, AfterValidator(_checked_date)]


class _Resource(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        loc_by_alias=False,
        alias_generator=AliasGenerator(
            validation_alias=lambda name: name.replace("_", ""), serialization_alias=to_camel
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, value: object) -> object:
        # The .NET SDK writes names in Pascal case, and nulls for what it does not send.
        if not isinstance(value, dict):
            return value
        return {name.lower(): item for name, item in value.items() if item is not None}


class Contact(_Resource):
    """The customer's person who accepted."""

    first_name: _Name
    last_name: _Name
    email: _Email
    phone_number: str = ""


class Agreement(_Resource):
    """A confirmation as the caller wrote it; ``date_agreed`` keeps the caller's notation."""

    primary_contact: Contact
    template_id: str
    date_agreed: _Date
    type: str

    @property
    def instant(self) -> datetime:
        """When the customer accepted, in UTC; a date without a zone is UTC already."""
        return _instant(self.date_agreed)

    @property
    def template(self) -> Template:
        """The template this confirmation names."""
        return _TEMPLATE[self.template_id.lower()]

    @property
    def document(self) -> dict[str, object]:
        """The resource as JSON has it; a blank phone number is left out."""
        document = self.model_dump(by_alias=True)
        if not self.primary_contact.phone_number:
            del document["primaryContact"]["phoneNumber"]
        return document


def read(body: bytes, options: Options) -> Agreement:
    """Read the body of a confirmation: names in any case, nulls as if absent, unknown names ignored.

    A template belongs to one type. Where the body names another, the template's is recorded, as one partner
    has seen (Partner-Center-Java#86), unless the options have it refused.

    Raises:
        RefusedError: A field is missing, blank or ill-formed, or there is no such template or type.
    """
    try:
        agreement = Agreement.model_validate_json(body)
    except ValidationError as error:
        fields = {".".join(to_camel(str(name)) for name in fault["loc"]) for fault in error.errors()}
        raise refusals.fields_invalid(sorted(fields - {""}) or ["body"]) from None
    template = _TEMPLATE.get(agreement.template_id.lower())
    if template is None or agreement.type not in (CLOUD, CUSTOMER):
        raise refusals.template_invalid()
    if agreement.type != template.type and options.other_type == "refuse":
        raise refusals.template_invalid()
    return agreement.model_copy(update={"type": template.type})


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded confirmation, and the call that brought it; ``partner`` is the caller's tenant."""

    customer: UUID
    agreement: Agreement
    user_id: str
    partner: str
    request_id: str
    correlation_id: str
    recorded_at: datetime


class Ledger:
    """Every recorded confirmation, in order."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._of: defaultdict[UUID, list[Entry]] = defaultdict(list)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def last(self, count: int) -> list[Entry]:
        """Return so many of the newest, newest first."""
        return self._entries[: -count - 1 : -1]

    def record(self, entry: Entry, options: Options) -> None:
        """Record a confirmation.

        By default a customer has each type once for each contact: any difference in first name, last name,
        e-mail or phone, even of case, makes another agreement; another date alone does not. The page "Confirm
        customer acceptance of the Microsoft Customer Agreement" names the four fields and no more.

        Raises:
            RefusedError: The acceptance lies after ``recorded_at``, or the same is on record.
        """
        if entry.agreement.instant > entry.recorded_at:
            raise refusals.date_in_future(options.future_date_status)
        if any(_is_same(known, entry, options) for known in self._of[entry.customer]):
            raise refusals.already_exists(options.duplicate_status)
        self._entries.append(entry)
        self._of[entry.customer].append(entry)

    def agreements(
        self, customer: UUID, agreement_type: str, *, until: datetime | None = None
    ) -> list[Agreement]:
        """List a customer's confirmations of one type, or of any, in the order of their recording.

        Those recorded after ``until`` are left out.
        """
        return [
            entry.agreement
            for entry in self._of.get(customer, [])
            if agreement_type in (entry.agreement.type, ANY) and (until is None or entry.recorded_at <= until)
        ]


def _is_same(known: Entry, new: Entry, options: Options) -> bool:
    """Tell whether a confirmation is a duplicate of one on record, of the same customer."""
    if any(_part(known, name) != _part(new, name) for name in options.duplicate_key):
        return False
    equal = [
        one == other for one, other in zip(_contact(known, options), _contact(new, options), strict=True)
    ]
    return all(equal) if options.another_contact == "any" else any(equal)


def _part(entry: Entry, name: KeyPart) -> object:
    agreement = entry.agreement
    parts = {
        "type": agreement.type,
        "templateId": agreement.template_id.lower(),
        "dateAgreed": agreement.instant,
        "partner": entry.partner,
    }
    return parts[name]


def _contact(entry: Entry, options: Options) -> list[str]:
    contact = entry.agreement.primary_contact
    fields = [contact.first_name, contact.last_name, contact.email, contact.phone_number]
    return fields if options.contact_case == "matters" else [field.casefold() for field in fields]


def zoneless(instant: datetime) -> str:
    """Write a UTC instant as Partner Center reads it back: no zone, a fraction only if there is one."""
    whole = instant.replace(tzinfo=None, microsecond=0).isoformat()
    return f"{whole}.{instant.microsecond:06}".rstrip("0") if instant.microsecond else whole
