"""The schemas that publishers and subscribers get, read by a validator that is not ours."""

import calendar
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from agreements import events, outcome_events
from agreements.deliveries import RetryKind
from agreements.errors import EventError, Reason
from agreements.events import AcceptanceEvent, Standing
from agreements.outcome_events import Ending
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry
from tests import fakes

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"
PUBLISHED: Mapping[str, str] = json.loads((SCHEMAS / "published.json").read_text())
MODELS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "acceptance": events.json_schema,
    "outcome": outcome_events.json_schema,
}
ACCEPTANCE: Validator = Draft202012Validator(
    events.json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER
)
OUTCOME: Validator = Draft202012Validator(
    outcome_events.json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER
)


def file_of(schema_id: str) -> Path:
    """Return where the schema of an id lies: acceptance-event:1 is acceptance-event.v1.schema.json."""
    name, version = schema_id.split(":")[-2:]
    return SCHEMAS / f"{name}.v{version}.schema.json"


@pytest.mark.parametrize("name", MODELS)
def test_the_schema_of_today_is_published(name: str) -> None:
    """What the model makes is the file under its version, so that nobody reads another contract."""
    schema = MODELS[name]()
    file = file_of(str(schema["$id"]))
    assert file.read_text() == json.dumps(schema, indent=2) + "\n", (
        "the model has changed: publish its schema as the next version. Raise SCHEMA_ID of the module, write "
        f"the file by: agreements schema {name} > docs/schemas/… and add it to published.json beside the old "
        "ones. Only a version that nobody was ever given may be written anew, with its hash"
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_schema_never_changes(name: str) -> None:
    """Whoever fetched a version once has it for good: each file is still the one that was published."""
    found = hashlib.sha256((SCHEMAS / name).read_bytes()).hexdigest()
    assert found == PUBLISHED[name], (
        f"{name} is published and may not change: publish a new version beside it"
    )


def test_every_schema_is_pinned() -> None:
    """No version lies there that could still change unnoticed."""
    assert {file.name for file in SCHEMAS.glob("*.schema.json")} == set(PUBLISHED)


@pytest.mark.parametrize("validator", [ACCEPTANCE, OUTCOME], ids=MODELS)
def test_a_schema_is_one(validator: Validator) -> None:
    """Each follows the meta-schema that it names, and its id is a URN with the version."""
    Draft202012Validator.check_schema(validator.schema)
    assert isinstance(validator.schema, dict)
    assert re.fullmatch(r"urn:agreements:schema:[a-z-]+:[1-9]\d*", validator.schema["$id"])


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
DATES = st.one_of(
    st.dates().map(str),
    st.datetimes().map(lambda at: at.isoformat(timespec="seconds")),
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat(timespec="milliseconds")),
    st.datetimes().map(lambda at: f"{at.isoformat(timespec='minutes')}Z"),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.,+Z-]{0,12})?\Z"),
    st.from_regex(str(cast("Any", events.json_schema())["properties"]["dateAgreed"]["pattern"])),
)
GIVEN = st.fixed_dictionaries(
    {
        "customerTenantId": st.uuids().map(str),
        "dateAgreed": DATES,
        "primaryContact": st.fixed_dictionaries(
            {
                "firstName": TEXTS,
                "lastName": TEXTS,
                "email": st.builds("{}@{}".format, TEXTS, TEXTS) | st.emails(),
            },
            optional={"phoneNumber": TEXTS | st.none(), "title": TEXTS},
        ),
    },
    optional={
        "type": st.just("MicrosoftCustomerAgreement"),
        "templateId": st.uuids().map(str) | st.none(),
        "campaign": st.integers(),
    },
)


def read(given: Mapping[str, Any]) -> AcceptanceEvent | None:
    """Return the event, if it is one here."""
    try:
        return events.parse(json.dumps(given).encode())
    except EventError:
        return None


@settings(deadline=None)
@given(GIVEN)
def test_what_is_read_here_is_valid_everywhere(given: dict[str, Any]) -> None:
    """Of events that are written as the contract has it, none is read here that the schema refuses.

    A phone number that is blank by a control character is the one exception: it is read as none.
    """
    phone = given["primaryContact"].get("phoneNumber")
    if read(given) and (phone is None or phone.isprintable() or phone.strip()):
        ACCEPTANCE.validate(given)


@settings(deadline=None)
@given(GIVEN)
def test_what_is_valid_is_read_here(given: dict[str, Any]) -> None:
    """What the schema accepts is read here; only whether a day is in the calendar it cannot tell.

    Nor is the end of a text told from a line's end by a pattern in Python, as it is in the schema's dialect.
    """
    texts = [value for value in given["primaryContact"].values() if value is not None]
    exact = not any(text.endswith("\n") for text in [*texts, given["dateAgreed"]])
    if exact and ACCEPTANCE.is_valid(given) and not read(given):
        assert not in_calendar(given["dateAgreed"])
        assert read(given | {"dateAgreed": "2026-03-01"})


def in_calendar(text: str) -> bool:
    """Tell whether there is such a day; an offset may lead out of the calendar in its first and last year."""
    year, month, day = map(int, text[:10].split("-"))
    return 1 < year < 9999 and day <= calendar.monthrange(year, month)[1]


@pytest.mark.parametrize(
    "path",
    ["customerTenantId", "dateAgreed", "primaryContact", "primaryContact.email", "primaryContact.lastName"],
)
def test_a_typing_error_in_a_required_field_is_invalid(path: str) -> None:
    """A field that is spelt wrong or left out is missing, and its name is in the error."""
    event: dict[str, Any] = json.loads(fakes.body())
    *parents, name = path.split(".")
    holder = event[parents[0]] if parents else event
    holder[f"{name}s"] = holder.pop(name)
    [error] = ACCEPTANCE.iter_errors(event)
    assert (error.validator, f"'{name}' is a required property") == ("required", error.message)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"customerTenantId": "contoso.example.com"}, "customerTenantId"),
        ({"customerTenantId": None}, "customerTenantId"),
        ({"dateAgreed": "14/09/2026"}, "dateAgreed"),
        ({"dateAgreed": 20260914}, "dateAgreed"),
        ({"primaryContact": []}, "primaryContact"),
        ({"primaryContact": dict(fakes.CONTACT) | {"firstName": " \u3000"}}, "primaryContact/firstName"),
        ({"primaryContact": dict(fakes.CONTACT) | {"email": "nobody"}}, "primaryContact/email"),
        ({"primaryContact": dict(fakes.CONTACT) | {"email": "a@b@c"}}, "primaryContact/email"),
        ({"primaryContact": dict(fakes.CONTACT) | {"phoneNumber": 34600}}, "primaryContact/phoneNumber"),
        ({"type": "MicrosoftCloudAgreement"}, "type"),
        ({"templateId": "1"}, "templateId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_schema_finds_what_would_be_refused(changes: Mapping[str, object], path: str) -> None:
    """What comes back as a fault of the publisher's can be found before it is sent, by the same field."""
    found = list(Draft202012Validator(events.json_schema()).iter_errors(fakes.given(**changes)))
    assert {"/".join(map(str, error.path)) for error in found} == {path}
    assert read(fakes.given(**changes)) is None


EVENT, REFUSED = fakes.event(), fakes.refusal(409, "600061", request_id="r-1")
RETRY = Retry(
    kind=RetryKind.THROTTLED,
    reason=Reason.THROTTLED,
    at=fakes.NOW,
    since=fakes.NOW,
    attempt=2,
    maybe_recorded=False,
    unanswered=None,
)
ENDED: list[tuple[Outcome, Attempt]] = [
    (Confirmed(), Attempt(event=EVENT, answer=fakes.agreement(templateId="t"), event_id="/crm 7")),
    (Confirmed(recovered=True), Attempt(event=EVENT, standing=Standing.SAME)),
    (Duplicate(reason=Reason.OTHER_RECORDED), Attempt(event=EVENT, answer=REFUSED)),
    (Rejected(reason=Reason.NOT_JSON, detail="NotJson"), Attempt(answer=EventError(Reason.NOT_JSON))),
    (RETRY, Attempt(event=EVENT, answer=fakes.refusal(429))),
]


def told() -> list[dict[str, Any]]:
    """Return what is told of every kind of ending, as it goes out; the last ones of a replayed event."""
    tellings = [
        outcome_events.tell(fakes.delivery(replay=replay), attempt, outcome, source="sb://s", now=fakes.NOW)
        for replay in (0, 1)
        for outcome, attempt in ENDED
    ]
    return [json.loads(event.body()) for events_ in tellings for event in events_]


def test_what_is_told_is_valid() -> None:
    """Whatever is told of an event follows the published schema, whatever its ending."""
    every = told()
    for event in every:
        OUTCOME.validate(event)
    assert {event["data"]["outcome"] for event in every} == set(Ending)


def test_a_subscriber_can_count_on_what_is_required() -> None:
    """The schema requires what is in every event, and nothing that is left out of one."""
    always = set.intersection(*(set(event) for event in told()))
    data = set.intersection(*(set(event["data"]) for event in told()))
    schema: Any = outcome_events.json_schema()
    assert always == set(schema["required"])
    assert data == set(schema["$defs"]["OutcomeData"]["required"])


def test_the_schema_of_data_is_found_by_what_the_event_says() -> None:
    """``dataschema`` leads to the schema that data follows: its id, and the place in it."""
    [event, *_] = told()
    schema_id, _, place = event["dataschema"].partition("#")
    assert schema_id == outcome_events.SCHEMA_ID
    found: Any = outcome_events.json_schema()
    for part in place.strip("/").split("/"):
        found = found[part]
    assert set(event["data"]) <= set(found["properties"])


@pytest.mark.parametrize("name", ["specversion", "id", "type", "causationid", "data"])
def test_an_outcome_without_what_is_required_is_invalid(name: str) -> None:
    """The schema tells a subscriber of an event that lost one of its attributes."""
    [event, *_] = told()
    del event[name]
    assert [error.validator for error in OUTCOME.iter_errors(event)] == ["required"]
