import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import wire
from agreements.errors import Answer
from tests.fakes import CONTACT, NOW, PLANTED, TYPE, agreement, event, shown

TEMPLATE = "117a77b0-9360-443b-8795-c6dedc750cf9"
OLDER = "00000000-0000-0000-0000-000000000001"
RECORDED = {"type": TYPE, "dateAgreed": "2026-03-01T12:00:00", "primaryContact": dict(CONTACT)}
# What the client takes for an answer that cannot be read.
UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError)


def test_the_body_is_the_api_pages_example() -> None:
    """The agreement to record has the fields, the order and the date format of the API's own example."""
    example = {
        "primaryContact": {
            "firstName": "Tania",
            "lastName": "Carr",
            "email": "someone@example.com",
            "phoneNumber": "1234567890",
        },
        "templateId": TEMPLATE,
        "dateAgreed": "2018-06-14T00:00:00.000Z",
        "type": "MicrosoftCustomerAgreement",
    }
    given_event = event(primaryContact=example["primaryContact"], dateAgreed="2018-06-14")
    assert json.dumps(wire.agreement_body(given_event, TEMPLATE)) == json.dumps(example)


def test_no_phone_number_is_not_sent() -> None:
    """Without a phone number the field is left out, not sent as null."""
    some = {name: value for name, value in CONTACT.items() if name != "phoneNumber"}
    assert wire.agreement_body(event(primaryContact=some), TEMPLATE)["primaryContact"] == some


@pytest.mark.parametrize(
    ("given_date", "sent"),
    [
        ("2018-06-14T09:30:15Z", "2018-06-14T09:30:15.000Z"),
        ("2018-06-14T09:30:15.120Z", "2018-06-14T09:30:15.120Z"),
        ("2018-06-14T09:30:15.123456Z", "2018-06-14T09:30:15.123456Z"),
        ("2018-06-14T01:00:00+02:00", "2018-06-13T23:00:00.000Z"),
    ],
    ids=["seconds", "milliseconds", "microseconds", "zone"],
)
def test_the_date_is_sent_in_utc(given_date: str, sent: str) -> None:
    """The date goes out in UTC, in milliseconds unless it is finer."""
    assert wire.agreement_body(event(dateAgreed=given_date), TEMPLATE)["dateAgreed"] == sent


def test_an_agreement_is_read() -> None:
    """What the service recorded is read from its answer."""
    assert wire.read_agreement(json.dumps(RECORDED).encode()) == agreement()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"type": "x"}'])
def test_what_is_no_agreement_is_refused(body: bytes) -> None:
    """An answer that is empty, no JSON or lacks the date is no agreement."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's and pydantic's own texts
        wire.read_agreement(body)


def test_an_unreadable_agreement_is_not_quoted() -> None:
    """The error has no name or address of the agreement that could not be read."""
    with pytest.raises(ValueError, match="dateAgreed") as caught:
        wire.read_agreement(json.dumps({**RECORDED, "dateAgreed": CONTACT["email"]}).encode())
    text = shown(caught.value)
    assert not [planted for planted in PLANTED if planted in text]


@pytest.mark.parametrize(
    "form", [{"totalCount": 1, "items": [RECORDED]}, [RECORDED]], ids=["envelope", "array"]
)
def test_agreements_are_read_from_both_forms(form: object) -> None:
    """The documentation shows an envelope, the reference a bare array: both are read."""
    assert wire.read_agreements(json.dumps(form).encode()) == [agreement()]


@pytest.mark.parametrize("body", [b"[]", b'{"items": []}'])
def test_a_list_may_be_empty(body: bytes) -> None:
    """No agreement on record is an answer."""
    assert wire.read_agreements(body) == []


@pytest.mark.parametrize("body", [b"{}", b'{"items": null}', b"5", b"null", b"[5]", b'{"items": [[]]}', b"x"])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    """A body without a list of objects, or with something else in it, is refused whole."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's and pydantic's own texts
        wire.read_agreements(body)


def test_one_unreadable_agreement_spoils_the_list() -> None:
    """A record that was read in part could be taken for no record: all or nothing."""
    with pytest.raises(ValueError, match="validation error"):
        wire.read_agreements(json.dumps([RECORDED, {"type": TYPE}]).encode())


def template(rank: object, template_id: object = TEMPLATE, agreement_type: str = TYPE) -> dict[str, object]:
    """Return a template as the service lists it."""
    return {"templateId": template_id, "agreementType": agreement_type, "versionRank": rank}


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([template(0)], [TEMPLATE]),
        ([template(2), template(10, OLDER, "MicrosoftCloudAgreement")], [TEMPLATE]),
        ([template(9, OLDER), template(10)], [TEMPLATE, OLDER]),
        ([template(10), template(9, OLDER)], [TEMPLATE, OLDER]),
        ([template(None, OLDER), template(1)], [TEMPLATE, OLDER]),
        ([template("9", OLDER), template("10")], [TEMPLATE, OLDER]),
        ([template(0, TEMPLATE.upper())], [TEMPLATE]),
    ],
    ids=["single", "other-type", "rank", "rank-first", "no-rank", "rank-as-text", "capitals"],
)
def test_templates_are_the_types_own_best_rank_first(items: list[object], found: list[str]) -> None:
    """All templates of the type are current ones; the highest rank, by number, comes first."""
    assert wire.read_template_ids(json.dumps({"items": items}).encode(), TYPE) == found


@pytest.mark.parametrize(
    "items",
    [
        [],
        [template(1, agreement_type="MicrosoftCloudAgreement")],
        [template(1, "no-guid")],
        [template("x")],
        [template(0), 5],
    ],
    ids=["none", "other-type", "no-guid", "no-rank", "no-object"],
)
def test_without_a_usable_template_there_is_none(items: list[object]) -> None:
    """A list without a template of the type, or with one that cannot be read, is refused."""
    with pytest.raises(ValueError):  # noqa: PT011 - int's and UUID's own texts
        wire.read_template_ids(json.dumps(items).encode(), TYPE)


REFUSAL = {
    "code": 600061,
    "message": "A partner confirmed agreement already exists for the customer.",
    "errorName": "PartnerConfirmedAgreementAlreadyExists",
    "isRetryable": False,
}
HEADERS = {
    "MS-RequestId": "94E4E214-6b06-4fb7-96d1-94d559f9b47f",
    "MS-CorrelationId": "ab993325-1605-4cf4-bac4-fb584142a31b",
    "MS-CV": "PmvzQKgYek6Sdk/T5sWaqw.1.2",
    "Retry-After": "7",
}


def refusal(body: object, headers: dict[str, str] | None = None) -> Answer:
    """Read a refusal with status 400."""
    return wire.read_refusal(400, headers or {}, json.dumps(body).encode(), NOW)


def test_a_refusal_is_read_whole() -> None:
    """Status, code, name and every id that Microsoft's support asks for are kept; the message is not."""
    assert refusal(REFUSAL, HEADERS) == Answer(
        status=400,
        code="600061",
        error_name="PartnerConfirmedAgreementAlreadyExists",
        retryable=False,
        retry_after=7,
        request_id="94e4e214-6b06-4fb7-96d1-94d559f9b47f",
        correlation_id="ab993325-1605-4cf4-bac4-fb584142a31b",
        cv="PmvzQKgYek6Sdk/T5sWaqw.1.2",
    )


def test_a_refusal_may_be_one_level_down() -> None:
    """Under "error" it is read like any other; beside an error in words, what is not under it is."""
    assert refusal({"error": REFUSAL}) == refusal(REFUSAL)
    assert refusal({"error": "invalid_token", "code": 900421}).code == "900421"


@pytest.mark.parametrize("name", ["MS-RequestId", "MS-CorrelationId", "MS-CV"])
@pytest.mark.parametrize(
    "value", [CONTACT["email"], CONTACT["phoneNumber"], "eyJ0.eyJ1.c2ln", "", "a b", "\u0661" * 16]
)
def test_an_id_that_is_none_is_not_kept(name: str, value: str) -> None:
    """What a header says is kept only in the form of such ids: another text could be a person's."""
    assert wire.read_refusal(400, {name: value}, b"", NOW) == Answer(status=400)


@pytest.mark.parametrize(
    "vector", ["tul4NUsfs9Cl7mOf.1", "PmvzQKgYek6Sdk/T5sWaqw.1.2.34", "tul4NUsfs9Cl7mOf.2147483647!"]
)
def test_a_correlation_vector_is_kept(vector: str) -> None:
    """Both versions of it, however often it was extended."""
    assert wire.read_refusal(400, {"MS-CV": vector}, b"", NOW).cv == vector


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>429</html>", b'"text"', b"[]", b"null", b"{}", b"\xff", b"[" * 100_000],
    ids=["empty", "html", "text", "array", "null", "nothing", "bytes", "deep"],
)
def test_a_body_that_says_nothing(body: bytes) -> None:
    """A body that is not a JSON object says nothing more than the status."""
    assert wire.read_refusal(503, {}, body, NOW) == Answer(status=503)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (600061, "600061"),
        ("600061", "600061"),
        (0, "0"),
        ("Az09_.-", "Az09_.-"),
        ("a" * 64, "a" * 64),
        ("a" * 65, None),
        (10**64, None),
        ("", None),
        ("600061\n", None),
        ("two words", None),
        ("\uff16", None),
        (CONTACT["email"], None),
        (CONTACT["phoneNumber"], None),
        (None, None),
        ([1], None),
        (1.5, None),
    ],
    ids=ascii,
)
def test_code_and_name_are_single_plain_words(said: object, kept: str | None) -> None:
    """The service writes a code as number or text: one word of up to 64 characters is kept as text.

    Anything else is none: a sentence or an address must not get into logs and properties.
    """
    answer = refusal({"code": said, "errorName": said})
    assert (answer.code, answer.error_name) == (kept, kept)


@pytest.mark.parametrize(("said", "kept"), [(True, True), (False, False), ("yes", None), (1, None)])
def test_retryable_is_a_truth_value(said: object, kept: bool | None) -> None:
    """Whether a call may be repeated is said by a truth value, or not at all."""
    assert refusal({"isRetryable": said}).retryable is kept


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Mon, 02 Mar 2026 09:31:00 -0000", 60),
        ("Mon, 02 Mar 2026 10:31:00 +0100", 60),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Mon, 02 Mar 2026 09:31:00 +9999", None),
        ("Mon, 02 Mar 2026 09:31:00 +99999999999999", None),
        ("Mon, 02 Mar 99999999999999999999 09:31:00 GMT", None),
    ],
)
def test_how_long_to_wait(header: str, seconds: float | None) -> None:
    """Retry-After is seconds or an HTTP date, never negative; anything else is as if it were not there."""
    assert refusal({}, {"Retry-After": header}).retry_after == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(TYPE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "agreementType", "templateId", "versionRank", "code", *RECORDED]), inner
        )
    ),
    max_leaves=6,
)
BODIES = st.binary(max_size=20) | JSON.map(json.dumps).map(str.encode)


@given(BODIES, st.text(max_size=40))
def test_a_refusal_can_always_be_read(body: bytes, header: str) -> None:
    """Whatever the service answers, reading a refusal raises nothing and a wait is never negative."""
    answer = wire.read_refusal(400, {"Retry-After": header}, body, datetime.now(UTC))
    assert answer.code is None or 0 < len(answer.code) <= 64
    assert answer.retry_after is None or answer.retry_after >= 0


@given(BODIES)
def test_what_cannot_be_read_raises_what_the_client_expects(body: bytes) -> None:
    """Whatever a 2xx holds, it is read or refused by an error that the client takes for unreadable."""
    for read in (wire.read_agreement, wire.read_agreements, lambda some: wire.read_template_ids(some, TYPE)):
        with suppress(*UNREADABLE):
            assert read(body) is not None


def test_an_endless_rank_is_unreadable() -> None:
    """A rank that no number can hold is refused like any other that cannot be read."""
    with pytest.raises(UNREADABLE):
        wire.read_template_ids(json.dumps([template(0)]).replace(": 0}", ": 1e999}").encode(), TYPE)


@pytest.mark.parametrize("signed", [True, False])
def test_a_direct_acceptance_is_read(signed: bool) -> None:
    """The one flag of the documented answer."""
    assert wire.read_is_signed(json.dumps({"isSigned": signed}).encode()) is signed


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"isSigned": "true"}', b'{"isSigned": null}'])
def test_a_direct_acceptance_that_is_not_told_is_not_guessed(body: bytes) -> None:
    """An answer without the flag says neither yes nor no."""
    with pytest.raises(UNREADABLE):
        wire.read_is_signed(body)
