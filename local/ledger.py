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

from local import refusals

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


_TEMPLATE = {(template.id, template.type): template for template in TEMPLATES}


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
        return _TEMPLATE[self.template_id.lower(), self.type]

    @property
    def document(self) -> dict[str, object]:
        """The resource as JSON has it; a blank phone number is left out."""
        document = self.model_dump(by_alias=True)
        if not self.primary_contact.phone_number:
            del document["primaryContact"]["phoneNumber"]
        return document


def read(body: bytes) -> Agreement:
    """Read the body of a confirmation: names in any case, nulls as if absent, unknown names ignored.

    Raises:
        RefusedError: a field is missing, blank or ill-formed, or no such template belongs to the type.
    """
    try:
        agreement = Agreement.model_validate_json(body)
    except ValidationError as error:
        fields = {".".join(to_camel(str(name)) for name in fault["loc"]) for fault in error.errors()}
        raise refusals.fields_invalid(sorted(fields - {""}) or ["body"]) from None
    if (agreement.template_id.lower(), agreement.type) not in _TEMPLATE:
        raise refusals.template_invalid()
    return agreement


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded confirmation, and the call that brought it."""

    customer: UUID
    agreement: Agreement
    user_id: str
    request_id: str
    correlation_id: str
    recorded_at: datetime


class Ledger:
    """Every recorded confirmation, in order."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._of: defaultdict[UUID, list[Agreement]] = defaultdict(list)
        self._keys: set[tuple[UUID, str, Contact]] = set()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def record(self, entry: Entry) -> None:
        """Record a confirmation.

        A customer has each type once for each contact: any difference in first name, last name, e-mail or
        phone, even of case, makes another agreement; another date alone does not. The page "Confirm customer
        acceptance of the Microsoft Customer Agreement" names the four fields.

        Raises:
            RefusedError: the acceptance lies after ``recorded_at``, or the same is on record.
        """
        agreement = entry.agreement
        if agreement.instant > entry.recorded_at:
            raise refusals.date_in_future()
        key = (entry.customer, agreement.type, agreement.primary_contact)
        if key in self._keys:
            raise refusals.already_exists()
        self._keys.add(key)
        self._entries.append(entry)
        self._of[entry.customer].append(agreement)

    def agreements(self, customer: UUID, agreement_type: str) -> list[Agreement]:
        """List a customer's confirmations of one type, or of any, in the order of their recording."""
        return [one for one in self._of.get(customer, []) if agreement_type in (one.type, ANY)]


def zoneless(instant: datetime) -> str:
    """Write a UTC instant as Partner Center reads it back: no zone, a fraction only if there is one."""
    whole = instant.replace(tzinfo=None, microsecond=0).isoformat()
    return f"{whole}.{instant.microsecond:06}".rstrip("0") if instant.microsecond else whole
