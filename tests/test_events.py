import json
import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agreements import events
from agreements.errors import EventError, Reason
from agreements.events import Agreement, Standing
from tests import fakes
from tests.fakes import CONTACT, CUSTOMER, PLANTED, TYPE, agreement, event, shown, time_zone

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEEDED = ["customerTenantId", "dateAgreed", "primaryContact"]
NEEDED_OF_CONTACT = ["firstName", "lastName", "email"]


def fault(body: bytes) -> tuple[Reason, str | None, str]:
    """Return reason, field and text of what is wrong with a body."""
    with pytest.raises(EventError) as caught:
        events.parse(body)
    return caught.value.reason, caught.value.field, str(caught.value)


def contact(**changes: object) -> dict[str, object]:
    """Return a contact with other values for some of its fields."""
    return {**CONTACT, **changes}


def test_a_whole_event_is_read() -> None:
    """Every field is read; names and addresses are kept as written."""
    found = event(templateId="117a77b0-9360-443b-8795-c6dedc750cf9", type=TYPE)
    assert found.customer_tenant_id == CUSTOMER
    assert (found.date_agreed.instant, found.date_agreed.exact) == (NOON, True)
    assert found.template_id == UUID("117a77b0-9360-443b-8795-c6dedc750cf9")
    assert found.type == TYPE
    assert found.primary_contact.model_dump(by_alias=True) == CONTACT


def test_an_event_does_not_change() -> None:
    """What was read is what is sent: nobody can change an event on its way."""
    with pytest.raises(ValidationError, match="frozen"):
        event().type = "MicrosoftCustomerAgreement"  # type: ignore[misc]  # the very thing that is forbidden


def test_what_is_optional_may_be_absent() -> None:
    """Type, template and phone may be left out: the type has a default, the others are none."""
    some = {name: value for name, value in CONTACT.items() if name != "phoneNumber"}
    found = event(primaryContact=some)
    assert (found.type, found.template_id, found.primary_contact.phone_number) == (TYPE, None, None)


@pytest.mark.parametrize("name", ["type", "templateId"])
def test_null_is_as_good_as_absent(name: str) -> None:
    """A field that is null counts as left out."""
    assert event(**{name: None}) == event()


def test_unknown_fields_are_ignored() -> None:
    """Publishers may carry more than the contract asks for."""
    assert event(source="crm", primaryContact=contact(title="Dr")) == event()


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title], ids=["upper", "lower", "title"])
def test_field_names_match_in_any_case(change: Callable[[str], str]) -> None:
    """The case of field names does not matter, at any depth."""
    contact_fields = {change(name): value for name, value in CONTACT.items()}
    fields = {change(name): value for name, value in fakes.given(primaryContact=contact_fields).items()}
    assert events.parse(json.dumps(fields).encode()) == event()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dateagreed": "2026-01-01"}, "dateAgreed"),
        ({"primaryContact": contact(LastName="Planted")}, "primaryContact.lastName"),
        ({"PRIMARYCONTACT": {}}, "primaryContact"),
    ],
    ids=["top", "contact", "the contact itself"],
)
def test_a_field_under_two_spellings_is_refused(fields: dict[str, object], field: str) -> None:
    """Which of two values would be meant? No date or name is chosen by chance."""
    assert fault(fakes.body(**fields))[:2] == (Reason.FIELD_TWICE, field)


def test_a_null_does_not_win() -> None:
    """An exact name with null gives way to another case with a value."""
    assert fault(fakes.body(type=None, TYPE="other"))[1] == "type"


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("absent", ["left-out", "null"])
def test_what_is_required_must_be_there(name: str, absent: str) -> None:
    """A required field that is left out or null is named."""
    fields = fakes.given(**{name: None})
    if absent == "left-out":
        del fields[name]
    assert fault(json.dumps(fields).encode())[:2] == (Reason.FIELD_MISSING, name)


@pytest.mark.parametrize("name", NEEDED_OF_CONTACT)
def test_what_is_required_of_a_contact_must_be_there(name: str) -> None:
    """A required field of the contact is named by its whole path."""
    found = fault(fakes.body(primaryContact=contact(**{name: None})))
    assert found[:2] == (Reason.FIELD_MISSING, f"primaryContact.{name}")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"customerTenantId": "contoso.example"},
            "FieldInvalid customerTenantId must be a GUID: the customer's Microsoft ID",
        ),
        (
            {"customerTenantId": 5},
            "FieldInvalid customerTenantId must be a GUID: the customer's Microsoft ID",
        ),
        ({"primaryContact": "Zoraida"}, "FieldInvalid primaryContact must be an object"),
        ({"primaryContact": [CONTACT["email"]]}, "FieldInvalid primaryContact must be an object"),
        ({"type": "MicrosoftCloudAgreement"}, "FieldInvalid type must be MicrosoftCustomerAgreement"),
        ({"type": ""}, "FieldInvalid type must be MicrosoftCustomerAgreement"),
        ({"templateId": "latest"}, "FieldInvalid templateId must be a GUID: the template's id"),
        (
            {"primaryContact": contact(firstName=" \t")},
            "FieldInvalid primaryContact.firstName must be text that is not blank",
        ),
        (
            {"primaryContact": contact(lastName=5)},
            "FieldInvalid primaryContact.lastName must be text that is not blank",
        ),
        (
            {"primaryContact": contact(email="zq.planted.example")},
            "FieldInvalid primaryContact.email must be an e-mail address",
        ),
        (
            {"primaryContact": contact(phoneNumber=34600)},
            "FieldInvalid primaryContact.phoneNumber must be text",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_field(changes: dict[str, object], text: str) -> None:
    """The error has reason, field and what belongs there, and no value."""
    assert fault(fakes.body(**changes))[2] == text


@pytest.mark.parametrize("name", ["firstName", "lastName", "phoneNumber"])
@pytest.mark.parametrize("value", ["", " ", "\u00a0"], ids=["empty", "space", "no-break-space"])
def test_blank_text(name: str, value: str) -> None:
    """A blank name is a fault, a blank phone number is as good as none."""
    body = fakes.body(primaryContact=contact(**{name: value}))
    if name == "phoneNumber":
        assert events.parse(body).primary_contact.phone_number is None
    else:
        assert fault(body)[:2] == (Reason.FIELD_INVALID, f"primaryContact.{name}")


@pytest.mark.parametrize("name", CONTACT)
@pytest.mark.parametrize("odd", ["\n", "\x00", "\x7f", "\x85", "\ud800"], ids=ascii)
def test_text_holds_no_control_characters(name: str, odd: str) -> None:
    """Control characters and half surrogate pairs are refused: they would break logs and requests."""
    body = fakes.body(primaryContact=contact(**{name: f"a{odd}@b"}))
    assert fault(body)[:2] == (Reason.FIELD_INVALID, f"primaryContact.{name}")


@pytest.mark.parametrize("value", ["O'Brien", "Ñandú-Łukasz", "李", " padded ", "👩‍👩‍👧", "a" * 500])
def test_names_of_all_the_world_are_kept_as_written(value: str) -> None:
    """No name is changed on its way, spaces included."""
    assert event(primaryContact=contact(firstName=value)).primary_contact.first_name == value


@pytest.mark.parametrize("value", ["a@b", " zq@planted.example ", "zoë@exämple.example", "a+b@c.d"])
def test_an_email_address_is_only_roughly_checked(value: str) -> None:
    """Whether an address exists is not ours to say: text, one @, text; spaces around are kept."""
    assert event(primaryContact=contact(email=value)).primary_contact.email == value


@pytest.mark.parametrize("value", ["", "zq", "@b", "a@", "a@b@c", "a b@c", "a@b c"])
def test_what_cannot_be_an_email_address(value: str) -> None:
    """Without something on both sides of a single @ it is no address."""
    assert fault(fakes.body(primaryContact=contact(email=value)))[1] == "primaryContact.email"


@pytest.mark.parametrize(
    ("text", "instant", "exact"),
    [
        ("2018-06-14", datetime(2018, 6, 14, tzinfo=UTC), False),
        ("2018-06-14T09:30", datetime(2018, 6, 14, 9, 30, tzinfo=UTC), False),
        ("2018-06-14T09:30:15", datetime(2018, 6, 14, 9, 30, 15, tzinfo=UTC), False),
        ("2018-06-14T09:30Z", datetime(2018, 6, 14, 9, 30, tzinfo=UTC), True),
        ("2018-06-14T09:30:15.5Z", datetime(2018, 6, 14, 9, 30, 15, 500_000, tzinfo=UTC), True),
        ("2018-06-14T09:30:15,123456789Z", datetime(2018, 6, 14, 9, 30, 15, 123_456, tzinfo=UTC), True),
        ("2018-06-14T09:30:00+02:00", datetime(2018, 6, 14, 7, 30, tzinfo=UTC), True),
        ("2018-06-14T01:00:00+02", datetime(2018, 6, 13, 23, tzinfo=UTC), True),
        ("2018-06-14T23:00:00-05:30", datetime(2018, 6, 15, 4, 30, tzinfo=UTC), True),
        ("2018-06-14T09:30:00.000+0000", datetime(2018, 6, 14, 9, 30, tzinfo=UTC), True),
        ("2018-06-14T09:30:00+0200", datetime(2018, 6, 14, 7, 30, tzinfo=UTC), True),
        ("2018-06-14T23:00-0530", datetime(2018, 6, 15, 4, 30, tzinfo=UTC), True),
        ("2018-06-14T23:59:59+23:59", datetime(2018, 6, 14, 0, 0, 59, tzinfo=UTC), True),
        ("2018-06-14T00:00:00-2359", datetime(2018, 6, 14, 23, 59, tzinfo=UTC), True),
        ("2018-01-31", datetime(2018, 1, 31, tzinfo=UTC), False),
        ("2018-10-10", datetime(2018, 10, 10, tzinfo=UTC), False),
        ("2018-12-29T19:00", datetime(2018, 12, 29, 19, tzinfo=UTC), False),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC), False),
    ],
)
def test_the_date_agreed(text: str, instant: datetime, exact: bool) -> None:
    """A date alone is midnight in UTC, no zone is UTC, and only a zone makes it exact."""
    found = event(dateAgreed=text).date_agreed
    assert (found.instant, found.exact) == (instant, exact)
    assert found.instant.tzinfo is UTC


def test_the_machines_own_zone_does_not_matter() -> None:
    """A date without a zone is UTC on every machine, wherever it stands."""
    with time_zone("UTC+11"):
        assert event(dateAgreed="2018-06-14").date_agreed.instant == datetime(2018, 6, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        1528934400,
        "1528934400",
        "20180614",
        "2018-165",
        "2018-W24-4",
        "2018-06",
        "14.06.2018",
        "2018-06-14 09:30:00Z",
        "2018-06-14t09:30:00z",
        "2018-06-14T09Z",
        "2018-06-14Z",
        "2018-06-14T09:30:00.Z",
        "2018-06-14T09:30:00.1234567890Z",
        "2018-06-14T09:30:00+2",
        "2018-06-14T09:30:00+200",
        "2018-06-14T09:30:00+02:",
        "2018-06-14T09:30:00+02000",
        "2018-06-14T09:30:00+020000",
        "2018-06-14T09:30:00+02:00:00",
        "2018-06-14T09:30:00+02.00",
        "2018-06-14T09:30:00 +0200",
        "2018-06-14T09:30:00\u22120200",
        "2018-06-14T09:30:00Z0200",
        "2018-06-14T09:30:00 GMT",
        "2018-06-14T0930+0200",
        "2018-06-14+0200",
        "2018-06-14T09:30:00+24:00",
        "2018-06-14T09:30:00+2400",
        "2018-06-14T09:30:00+02:60",
        "2018-06-14T09:30:00+0260",
        "2018-06-14T24:00:00Z",
        "2018-06-14T09:60:00Z",
        "2018-06-14T09:30:60Z",
        "2018-00-14",
        "2018-13-14",
        "2018-06-00",
        "2018-06-32",
        "2018-06-31",
        "2018-02-29",
        "2018-06-14T25:00:00Z",
        "0000-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-01:00",
        "\uff12\uff10\uff11\uff18-06-14",
        "2018-06-14\n",
        " 2018-06-14",
        "",
        True,
        ["2018-06-14"],
    ],
    ids=ascii,
)
def test_what_is_no_date_agreed(value: object) -> None:
    """Numbers, digits alone, other notations, days that never were and instants out of range are refused."""
    reason, field, text = fault(fakes.body(dateAgreed=value))
    assert (reason, field) == (Reason.FIELD_INVALID, "dateAgreed")
    assert text.endswith("must be an ISO 8601 date (2018-06-14) or date and time (2018-06-14T09:30:00Z)")


def test_a_body_that_is_no_object_is_refused() -> None:
    """What cannot be unwrapped never gets as far as the fields."""
    assert fault(b"1") == (Reason.NOT_AN_OBJECT, None, "NotAnObject")
    assert fault(b"x") == (Reason.NOT_JSON, None, "NotJson")


def test_the_first_fault_is_told() -> None:
    """Of several faults the first, in the order of the contract, is told."""
    assert fault(b"{}")[:2] == (Reason.FIELD_MISSING, "customerTenantId")


def test_a_contact_within_contacts_is_refused_like_any_other() -> None:
    """However deep one contact lies in another, the event is refused by its reason."""
    depth = 3000
    nested = '{"primaryContact":' * depth + "1" + "}" * depth
    body = fakes.body(primaryContact="@").replace(b'"@"', nested.encode())
    with pytest.raises(EventError) as caught:
        events.parse(body)
    assert (caught.value.reason, caught.value.field) == (Reason.FIELD_MISSING, "primaryContact.firstName")


VALUES = st.sampled_from([*PLANTED, " ".join(PLANTED), list(PLANTED), dict(CONTACT), 5, None, [], ""])
FIELDS = st.sampled_from([*NEEDED, "type", "templateId", "TYPE", *PLANTED])


@given(st.dictionaries(FIELDS, VALUES), st.dictionaries(st.sampled_from([*CONTACT, *PLANTED]), VALUES))
def test_no_error_shows_a_value(fields: dict[str, object], persons: dict[str, object]) -> None:
    """Wherever a publisher puts a name or an address, no error shows it."""
    for changes in (fields, {"primaryContact": contact(**persons)}):
        try:
            event(**changes)
        except EventError as error:
            text = f"{shown(error)} {error.__context__!r}"
            assert not [planted for planted in PLANTED if planted in text]


@given(st.binary(max_size=80) | st.dictionaries(FIELDS, VALUES).map(json.dumps).map(str.encode))
def test_any_bytes_give_an_event_or_our_error(body: bytes) -> None:
    """Nothing but an event comes out and nothing but our error goes up."""
    with suppress(EventError):
        assert events.parse(body).type == TYPE


@given(st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001 - the zone is drawn beside it
def test_every_iso_instant_is_read(naive: datetime, minutes: int) -> None:
    """Any instant in any zone reads as that instant."""
    given_at = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = event(dateAgreed=given_at.isoformat()).date_agreed
    assert (found.instant, found.exact) == (given_at, True)


BLANK = {"first_name": "", "last_name": "", "email": "", "phone_number": ""}


@pytest.mark.parametrize(
    "said",
    [{}, {"primaryContact": {}, "x": 1}, {"type": None, "primaryContact": {"firstName": None}}],
    ids=["left-out", "unknown", "null"],
)
def test_a_recorded_agreement_is_read_leniently(said: dict[str, object]) -> None:
    """All but the date may be left out or null and then reads as blank; what is unknown is ignored."""
    found = Agreement.model_validate({"dateAgreed": "2026-03-01T12:00:00", **said})
    assert (found.type, found.template_id, found.primary_contact.model_dump()) == ("", "", BLANK)


def test_a_recorded_number_is_text() -> None:
    """What the service writes as a number, be it a phone number, compares as the text it stands for."""
    found = agreement(primaryContact=contact(phoneNumber=34600), templateId=7)
    assert (found.primary_contact.phone_number, found.template_id) == ("34600", "7")
    assert events.same_contact(event(primaryContact=contact(phoneNumber="34600")), found)


@pytest.mark.parametrize("found", [event(), agreement()], ids=["event", "agreement"])
def test_nobody_is_named_where_it_is_shown(found: object) -> None:
    """Wherever an event or an agreement is shown, its contact is not."""
    assert TYPE in repr(found)
    assert not [planted for planted in PLANTED if planted in repr(found)]


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00"])
def test_a_recorded_date_without_a_zone_is_utc(text: str) -> None:
    """The service gives dates without a zone: they are UTC."""
    assert agreement(dateAgreed=text).date_agreed == NOON


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (contact(), contact(firstName=" Zoraida ", email="zq@planted.example\n")),
        (contact(), contact(lastName="QUINTANILLA", email="ZQ@Planted.Example")),
        (contact(lastName="Straße"), contact(lastName="STRASSE")),
        (contact(lastName=unicodedata.normalize("NFD", "Núñez")), contact(lastName="Núñez")),
        (contact(lastName="Ρωμαΐδης"), contact(lastName="Ρωμαΐδης".upper())),
        (contact(phoneNumber=""), contact(phoneNumber=None)),
        (contact(phoneNumber=None), contact(phoneNumber=" ")),
    ],
    ids=["spaces", "case", "case-folding", "composition", "case-and-composition", "no-phone", "blank-phone"],
)
def test_the_same_contact(ours: dict[str, object], theirs: dict[str, object]) -> None:
    """Spaces around, case and Unicode composition make no other person; a blank phone is none."""
    assert events.same_contact(event(primaryContact=ours), agreement(primaryContact=theirs))


@pytest.mark.parametrize("name", CONTACT)
def test_another_contact(name: str) -> None:
    """One other name, address or number is another contact."""
    other = agreement(primaryContact=contact(**{name: "other@else.example"}))
    assert not events.same_contact(event(), other)


def at(seconds: float) -> str:
    """Return a recorded date that many seconds from the event's."""
    return (NOON + timedelta(seconds=seconds)).isoformat()


SOMEONE = contact(firstName="Someone")


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([], Standing.NOTHING),
        ([agreement()], Standing.SAME),
        ([agreement(dateAgreed=at(1))], Standing.SAME),
        ([agreement(dateAgreed=at(-1))], Standing.SAME),
        ([agreement(dateAgreed=at(1.001))], Standing.OTHER),
        ([agreement(dateAgreed=at(-1.001))], Standing.OTHER),
        ([agreement(primaryContact=SOMEONE)], Standing.OTHER),
        ([agreement(primaryContact=SOMEONE, dateAgreed=at(1))], Standing.OTHER),
        ([agreement(primaryContact=SOMEONE, dateAgreed=at(1.001))], Standing.LATER),
        ([agreement(primaryContact=SOMEONE, dateAgreed=at(60)), agreement()], Standing.SAME),
        (
            [agreement(dateAgreed=at(-60)), agreement(primaryContact=SOMEONE, dateAgreed=at(60))],
            Standing.OTHER,
        ),
        ([agreement(type=None)], Standing.SAME),
        ([agreement(type="MicrosoftCloudAgreement")], Standing.NOTHING),
        ([agreement(type="MicrosoftCloudAgreement", dateAgreed=at(60))], Standing.NOTHING),
    ],
    ids=[
        "nothing",
        "same",
        "second-after",
        "second-before",
        "same-contact-later",
        "same-contact-earlier",
        "someone-else",
        "someone-else-second-after",
        "someone-else-later",
        "same-beside-later",
        "same-contact-earlier-beside-later",
        "type-not-named",
        "other-type",
        "other-type-later",
    ],
)
def test_how_an_event_stands_against_the_record(recorded: list[Agreement], expected: Standing) -> None:
    """Same is an equal contact within a second, later is somebody else after that; other types do not count.

    The service refuses an equal contact under any date, so it can never replace what is on record.
    """
    assert events.standing(event(), recorded) is expected


def test_an_event_is_opened_by_what_the_message_says() -> None:
    """The one door takes the content type and the properties: a CloudEvent in binary mode is an event."""
    properties = {"cloudEvents_specversion": "1.0", "cloudEvents_id": "7", "cloudEvents_source": "/crm"}
    assert events.parse(fakes.body(), "application/json", properties) == event()


@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-01T12:00", "2026-03-01T12:00:00.123+01:00"])
def test_the_schema_says_what_a_date_looks_like(text: str) -> None:
    """The pattern that publishers get accepts what is accepted here, and nothing of digits alone."""
    schema = cast("Any", events.json_schema())
    pattern = schema["properties"]["dateAgreed"]["pattern"]
    assert re.search(pattern, text)
    assert not re.search(pattern, "20260301")
    assert "?P<" not in pattern


def test_the_schema_names_fields_as_they_should_be_written() -> None:
    """Publishers get the contract's names, what is required, and nothing of this program's inside."""
    schema = cast("Any", events.json_schema())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["customerTenantId", "dateAgreed", "primaryContact"]
    assert list(schema["properties"]) == [*schema["required"], "type", "templateId"]
    assert schema["properties"]["dateAgreed"]["type"] == "string"
    assert schema["$defs"]["Contact"]["required"] == ["firstName", "lastName", "email"]
