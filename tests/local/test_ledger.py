import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.partner_center.ledger import (
    ANY,
    CLOUD,
    CUSTOMER,
    TEMPLATES,
    Agreement,
    Entry,
    Ledger,
    read,
    templates,
    zoneless,
)
from local.partner_center.options import KeyPart, Options
from local.partner_center.refusals import RefusedError

DEFAULT = Options()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CUSTOMERS = [UUID(int=number) for number in range(2)]
TEMPLATE_IDS = {template.type: template.id for template in TEMPLATES}


def body(**changes: object) -> bytes:
    """Write a confirmation; a change to None leaves the field out, dots reach into the contact."""
    contact: dict[str, object] = {"firstName": "Tania", "lastName": "Carr", "email": "someone@example.com"}
    document: dict[str, object] = {
        "primaryContact": contact,
        "templateId": "117a77b0-9360-443b-8795-c6dedc750cf9",
        "dateAgreed": "2018-06-14T00:00:00.000Z",
        "type": CUSTOMER,
    }
    for name, value in changes.items():
        (contact if name in {"firstName", "lastName", "email", "phoneNumber"} else document)[name] = value
    return json.dumps(document).encode()


def entry(agreement: Agreement, customer: UUID = CUSTOMERS[0], at: datetime = NOW) -> Entry:
    """Wrap an agreement as a call brings it."""
    return Entry(customer, agreement, "user", "partner", "request", "correlation", at)


def test_names_match_in_any_case_and_nulls_are_absent() -> None:
    """What the .NET SDK sends, Pascal case with nulls, reads the same as the documented request."""
    pascal = {
        "UserId": None,
        "PrimaryContact": {
            "FirstName": "Tania",
            "LastName": "Carr",
            "Email": "someone@example.com",
            "PhoneNumber": None,
        },
        "TemplateId": "117a77b0-9360-443b-8795-c6dedc750cf9",
        "DateAgreed": "2018-06-14T00:00:00.000Z",
        "Type": CUSTOMER,
        "AgreementLink": None,
    }
    assert read(json.dumps(pascal).encode(), DEFAULT) == read(body(), DEFAULT)


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("primaryContact", None, "primaryContact"),
        ("primaryContact", "Tania Carr", "primaryContact"),
        ("firstName", None, "primaryContact.firstName"),
        ("firstName", " \t", "primaryContact.firstName"),
        ("lastName", "", "primaryContact.lastName"),
        ("lastName", 7, "primaryContact.lastName"),
        ("email", None, "primaryContact.email"),
        ("email", "someone at example", "primaryContact.email"),
        ("phoneNumber", 1234567890, "primaryContact.phoneNumber"),
        ("templateId", None, "templateId"),
        ("dateAgreed", None, "dateAgreed"),
        ("dateAgreed", "14 June 2018", "dateAgreed"),
        ("dateAgreed", "0001-01-01T00:00:00+14:00", "dateAgreed"),
        ("dateAgreed", 1528934400, "dateAgreed"),
        ("type", None, "type"),
    ],
)
def test_an_ill_formed_field_is_named(name: str, wrong: object, told: str) -> None:
    """A missing, blank or ill-formed field is refused with 400 in shape A, by name and without its value."""
    with pytest.raises(RefusedError) as caught:
        read(body(**{name: wrong}), DEFAULT)
    assert caught.value.status == 400
    assert caught.value.body == {
        "code": 800002,
        "description": f"The input is not valid: {told}.",
        "data": [told],
        "source": "PartnerFD",
    }


@pytest.mark.parametrize("unreadable", [b"", b"{", b"[]", b'"text"', b"\xff\xfe"])
def test_a_body_that_is_no_object_is_refused(unreadable: bytes) -> None:
    """Whatever is not a JSON object is refused with 400 and never breaks the server."""
    with pytest.raises(RefusedError) as caught:
        read(unreadable, DEFAULT)
    assert (caught.value.status, caught.value.body["data"]) == (400, ["body"])


@pytest.mark.parametrize(
    ("template_id", "agreement_type"),
    [
        ("00000000-0000-0000-0000-000000000000", CUSTOMER),
        (TEMPLATE_IDS[CUSTOMER], "SomeOtherAgreement"),
    ],
)
def test_template_and_type_must_exist(template_id: str, agreement_type: str) -> None:
    """An unknown template or type is refused with 400."""
    with pytest.raises(RefusedError) as caught:
        read(body(templateId=template_id, type=agreement_type), DEFAULT)
    assert (caught.value.status, caught.value.body["data"]) == (400, ["templateId"])


@pytest.mark.parametrize(("template", "written"), [(CLOUD, CUSTOMER), (CUSTOMER, CLOUD)])
def test_the_template_wins_over_the_type(template: str, written: str) -> None:
    """What is recorded and answered has the type of its template, unless that is chosen to be refused."""
    posted = body(templateId=TEMPLATE_IDS[template], type=written)
    assert read(posted, DEFAULT).document["type"] == template
    with pytest.raises(RefusedError) as caught:
        read(posted, Options(other_type="refuse"))
    assert (caught.value.status, caught.value.body["code"]) == (400, 3000)


def refused(one: Entry, another: Entry, options: Options) -> bool:
    """Record two, and tell whether the second is a duplicate of the first."""
    ledger = Ledger()
    assert refusal(ledger, one, options) is None
    return refusal(ledger, another, options) == 600061


PERSON = {"firstName": "Ann", "lastName": "Lee", "email": "a@lee.example", "phoneNumber": "1"}


@pytest.mark.parametrize("same", [*PERSON, None])
def test_all_four_fields_may_have_to_differ(same: str | None) -> None:
    """Where every field must differ, one that is the same makes a duplicate; by default it does not."""
    contact = dict(PERSON)
    kept = {"firstName": "Tania", "lastName": "Carr", "email": "someone@example.com", "phoneNumber": "7"}
    if same is not None:
        contact[same] = kept[same]
    one, another = (entry(read(body(**fields), DEFAULT)) for fields in (kept, contact))
    assert not refused(one, another, DEFAULT)
    assert refused(one, another, Options(another_contact="all")) == (same is not None)


@pytest.mark.parametrize(("contact_case", "duplicate"), [("matters", False), ("ignored", True)])
def test_the_case_of_a_contact_may_matter(
    contact_case: Literal["matters", "ignored"], duplicate: bool
) -> None:
    """By default a contact in other letters is another one."""
    one, another = (entry(read(body(email=email), DEFAULT)) for email in ("a@b.example", "A@B.example"))
    assert refused(one, another, Options(contact_case=contact_case)) == duplicate


OTHERS = {
    "type": {"type": CLOUD, "templateId": TEMPLATE_IDS[CLOUD]},
    "templateId": {"templateId": TEMPLATE_IDS[CLOUD]},
    "dateAgreed": {"dateAgreed": "2019-01-01"},
    "partner": {},
}


@pytest.mark.parametrize("part", list(OTHERS))
def test_what_else_makes_another_agreement_is_chosen(part: KeyPart) -> None:
    """Type, template, date and partner each make another agreement where they belong to the key, else not."""
    one, another = entry(read(body(), DEFAULT)), entry(read(body(**OTHERS[part]), DEFAULT))
    if part == "partner":
        another = replace(another, partner="another partner")
    assert not refused(one, another, Options(duplicate_key=(part,)))
    assert refused(one, another, Options(duplicate_key=()))


@pytest.mark.parametrize("status", [400, 409, 422])
def test_the_status_of_a_refusal_is_chosen(status: int) -> None:
    """600061 and 600002 come with the status that is chosen, for no page names it."""
    ledger, options = Ledger(), Options(duplicate_status=status, future_date_status=status)
    ledger.record(entry(read(body(), options)), options)
    for posted, code in ((body(), 600061), (body(dateAgreed="2030-01-01"), 600002)):
        with pytest.raises(RefusedError) as caught:
            ledger.record(entry(read(posted, options)), options)
        assert (caught.value.status, caught.value.body["code"]) == (status, code)


@pytest.mark.parametrize("seconds", [1e-6, 60, 1e8])
def test_an_acceptance_ahead_of_the_clock_is_refused(seconds: float) -> None:
    """The future is refused to the microsecond with the observed text, in shape B, and nothing is kept."""
    ledger, ahead = Ledger(), NOW + timedelta(seconds=seconds)
    with pytest.raises(RefusedError) as caught:
        ledger.record(entry(read(body(dateAgreed=ahead.isoformat()), DEFAULT)), DEFAULT)
    assert caught.value.status == 400
    assert caught.value.body["code"] == 600002
    assert caught.value.body["message"] == "Date of agreement cannot be greater than the current date."
    assert not list(ledger)


def test_an_acceptance_at_this_very_instant_is_recorded() -> None:
    """The comparison is of instants: another zone's notation of now is not the future."""
    ledger = Ledger()
    ledger.record(entry(read(body(dateAgreed="2026-01-02T13:04:05+10:00"), DEFAULT)), DEFAULT)
    assert len(list(ledger)) == 1


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("2018-06-14T00:00:00.000Z", "2018-06-14T00:00:00"),
        ("2018-06-14", "2018-06-14T00:00:00"),
        ("2018-06-14T12:30:00.120", "2018-06-14T12:30:00.12"),
        ("2018-06-14T00:00:00+02:00", "2018-06-13T22:00:00"),
    ],
)
def test_dates_are_read_back_without_a_zone(written: str, listed: str) -> None:
    """A date is read back in UTC without a zone, with a fraction only where there is one."""
    assert zoneless(read(body(dateAgreed=written), DEFAULT).instant) == listed


@pytest.mark.parametrize("blank", [None, ""])
def test_a_blank_phone_number_is_no_phone_number(blank: str | None) -> None:
    """Null, blank and absent phone numbers make one and the same contact."""
    ledger = Ledger()
    ledger.record(entry(read(body(), DEFAULT)), DEFAULT)
    with pytest.raises(RefusedError) as caught:
        ledger.record(entry(read(body(phoneNumber=blank), DEFAULT)), DEFAULT)
    assert caught.value.body["code"] == 600061


def test_templates_are_chosen_by_type() -> None:
    """One type gives its own templates, the asterisk gives all."""
    assert [template.type for template in templates(CUSTOMER)] == [CUSTOMER]
    assert templates(ANY) == list(TEMPLATES)


# Few values, so that most runs repeat some contact whole and some in part.
names = st.sampled_from(["Tania", "tania", "Çelik", "C\u0327elik", "Carr "])
contacts = st.fixed_dictionaries(
    {
        "firstName": names,
        "lastName": names,
        "email": st.sampled_from(["a@example.com", "A@example.com"]),
        "phoneNumber": st.sampled_from([None, "", "1", "+1"]),
    }
)
dates = st.sampled_from(["2018-06-14", "2019-01-01T00:00:00Z"])
types = st.sampled_from([CLOUD, CUSTOMER])
posts = st.lists(st.tuples(st.sampled_from(CUSTOMERS), types, contacts, dates), max_size=40)


def refusal(ledger: Ledger, one: Entry, options: Options = DEFAULT) -> object:
    """Record, and tell the code of a refusal."""
    try:
        ledger.record(one, options)
    except RefusedError as refused:
        return refused.body["code"]
    return None


@given(posts)
def test_each_customer_has_each_type_once_for_each_contact(
    given_posts: list[tuple[UUID, str, dict[str, str | None], str]],
) -> None:
    """Whatever is posted in whatever order, 600061 meets exactly those whose four fields are on record."""
    ledger, expected = Ledger(), list[tuple[object, ...]]()
    for customer, agreement_type, contact, date in given_posts:
        written = body(
            **contact, type=agreement_type, templateId=TEMPLATE_IDS[agreement_type], dateAgreed=date
        )
        key = (customer, agreement_type, *(contact[name] or "" for name in sorted(contact)))
        code = refusal(ledger, entry(read(written, DEFAULT), customer))
        assert code == (600061 if key in expected else None)
        expected.extend([key] if code is None else [])
    assert [(one.customer, one.agreement.type) for one in ledger] == [key[:2] for key in expected]


@given(posts)
def test_a_customer_is_shown_its_own_agreements_of_the_type_asked_for(
    given_posts: list[tuple[UUID, str, dict[str, str | None], str]],
) -> None:
    """Listing selects by customer and type, and keeps the order of recording."""
    ledger = Ledger()
    for customer, agreement_type, contact, date in given_posts:
        written = body(
            **contact, type=agreement_type, templateId=TEMPLATE_IDS[agreement_type], dateAgreed=date
        )
        refusal(ledger, entry(read(written, DEFAULT), customer))
    for customer in CUSTOMERS:
        own = [one.agreement for one in ledger if one.customer == customer]
        assert ledger.agreements(customer, ANY) == own
        for agreement_type in (CLOUD, CUSTOMER):
            of_type = [one for one in own if one.type == agreement_type]
            assert ledger.agreements(customer, agreement_type) == of_type
