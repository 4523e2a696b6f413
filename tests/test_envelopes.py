import base64
import codecs
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import envelopes
from agreements.envelopes import Envelope
from agreements.errors import EventError, Reason
from tests.fakes import shown
from tests.test_dotnet import record, wrapped

DATA: dict[str, object] = {"name": "Zoë"}
TEXT = '{"name": "Zoë"}'
CLOUD_EVENT = {"specversion": "1.0", "id": "7", "source": "/crm", "type": "accepted", "data": DATA}
STRUCTURED = "application/cloudevents+json; charset=utf-8"
DATAVERSE = {"PrimaryEntityName": "account", "MessageName": "Create", "BusinessUnitId": "b"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def refusal(body: bytes, content_type: str | None = None, **properties: object) -> EventError:
    with pytest.raises(EventError) as caught:
        envelopes.unwrap(body, content_type, properties)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        b' \n{"name": "Zo\\u00eb"}\n',
    ],
    ids=["utf-8", "utf-8-bom", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "escaped"],
)
def test_an_object_is_read_in_every_encoding_of_json(body: bytes) -> None:
    """One JSON object comes out, however Unicode was written."""
    assert envelopes.unwrap(body) == Envelope(data=DATA)


@pytest.mark.parametrize(
    "body",
    [
        dumped([DATA]),
        dumped(TEXT),
        dumped([DATA]).replace(b" ", b"\n"),
        dumped(json.dumps([DATA])),
        wrapped(record(0x99, 1, TEXT.encode())),
        wrapped(record(0x99, 1, dumped(TEXT))),
    ],
    ids=["alone-in-array", "in-a-string", "spaced", "array-in-a-string", "dotnet", "string-in-dotnet"],
)
def test_what_serializers_put_around_is_taken_off(body: bytes) -> None:
    """An array of one, one JSON string and the wrapper of .NET are no different events."""
    assert envelopes.unwrap(body, "text/plain") == Envelope(data=DATA)


@pytest.mark.parametrize(
    ("event", "content_type"),
    [
        (CLOUD_EVENT, STRUCTURED),
        (CLOUD_EVENT, "APPLICATION/CloudEvents+JSON"),
        (CLOUD_EVENT, None),
        ([CLOUD_EVENT], "application/json"),
        ({**CLOUD_EVENT, "specversion": "1.1", "data_base64": None}, None),
        (
            {**CLOUD_EVENT, "data": None, "data_base64": base64.b64encode(TEXT.encode()).decode()},
            STRUCTURED,
        ),
    ],
    ids=["structured", "case", "sniffed", "in-an-array", "null-is-absent", "base64"],
)
def test_a_structured_cloud_event_is_opened(event: object, content_type: str | None) -> None:
    """The data comes out, with source and id, which together name the event."""
    assert envelopes.unwrap(dumped(event), content_type) == Envelope(
        data=DATA, event_id="/crm 7", cloud_event_id="7"
    )


@pytest.mark.parametrize("prefix", ["cloudEvents_", "cloudEvents:"])
@pytest.mark.parametrize("version", ["1.0", 1.0])
def test_a_binary_cloud_event_is_opened(prefix: str, version: object) -> None:
    """With the attributes among the properties, under either prefix, the body is the data."""
    properties = {
        f"{prefix}specversion": version,
        f"{prefix}id": 7,
        f"{prefix}source": "/crm",
        "region": "EMEA",
    }
    found = envelopes.unwrap(TEXT.encode(), "application/json", properties)
    assert found == Envelope(data=DATA, event_id="/crm 7", cloud_event_id="7")


@pytest.mark.parametrize("content_type", ["application/cloudevents+json", None])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
def test_a_structured_cloud_event_may_repeat_its_attributes(content_type: str | None, version: str) -> None:
    """What the properties say beside it changes nothing: the AMQP binding allows them there (3.2.3)."""
    properties = {"cloudEvents:specversion": version, "cloudEvents:id": "8", "cloudEvents:source": "/other"}
    found = envelopes.unwrap(dumped(CLOUD_EVENT), content_type, properties)
    assert found == Envelope(data=DATA, event_id="/crm 7", cloud_event_id="7")


@pytest.mark.parametrize("missing", ["id", "source"])
def test_half_an_id_is_none(missing: str) -> None:
    """Only source and id together are unique."""
    event = {name: value for name, value in CLOUD_EVENT.items() if name != missing}
    found = envelopes.unwrap(dumped(event))
    assert (found.event_id, found.cloud_event_id) == (None, None)


@pytest.mark.parametrize(
    "value",
    ["", [], {}, "\ud800", "\x00", "7\n", "7" * 1024],
    ids=["", "list", "object", "surrogate", "nul", "line", "long"],
)
@pytest.mark.parametrize("name", ["id", "source"])
def test_an_id_that_no_property_can_carry_is_none(name: str, value: object) -> None:
    """An id is for people to search by: one that could not travel as a property, or fill it, is left out."""
    assert envelopes.unwrap(dumped({**CLOUD_EVENT, name: value})) == Envelope(data=DATA)


@pytest.mark.parametrize("name", ["specversion", "id", "data_base64"])
def test_an_attribute_that_is_no_text_is_never_written_out(name: str) -> None:
    """Lists within lists are told from text at once: to write them out takes the square of their depth."""
    text = json.dumps({**CLOUD_EVENT, name: "@"}).replace('"@"', "[" * 9000 + "]" * 9000)
    if name == "id":
        assert envelopes.unwrap(text.encode()) == Envelope(data=DATA)
    else:
        assert refusal(text.encode()).reason is Reason.CLOUD_EVENT_INVALID


def test_a_property_that_only_looks_alike_makes_no_cloud_event() -> None:
    """Without a specversion the properties say nothing about the body."""
    assert envelopes.unwrap(TEXT.encode(), None, {"cloudEvents_id": "7"}) == Envelope(data=DATA)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"", None, Reason.EMPTY),
        (b" \n", None, Reason.EMPTY),
        (b"[]", None, Reason.EMPTY),
        (b"not json", None, Reason.NOT_JSON),
        (b'{"name": "Zo\xeb"}', None, Reason.NOT_JSON),
        (b'{"a": 1} {"a": 2}', None, Reason.NOT_JSON),
        (b'{"a": NaN}', None, Reason.NOT_JSON),
        (b'{"a": Infinity}', None, Reason.NOT_JSON),
        (b'{"a": -Infinity}', None, Reason.NOT_JSON),
        (b"[" * 100_000, None, Reason.NOT_JSON),
        (b'{"a": ' + b"9" * 10_000 + b"}", None, Reason.NOT_JSON),
        (b"\xff\xfe\xfd", None, Reason.NOT_JSON),
        (dumped("text"), None, Reason.NOT_JSON),
        (b"<event/>", "application/xml", Reason.XML),
        (codecs.BOM_UTF8 + b"<event/>", None, Reason.XML),
        (b"@\x16RemoteExecutionContext\x08", "application/msbin1", Reason.XML),
        (wrapped(b"\x41"), None, Reason.XML),
        (b"1", None, Reason.NOT_AN_OBJECT),
        (b"null", None, Reason.NOT_AN_OBJECT),
        (b"true", None, Reason.NOT_AN_OBJECT),
        (b"[[{}]]", None, Reason.NOT_AN_OBJECT),
        (dumped(dumped(TEXT).decode()), None, Reason.NOT_AN_OBJECT),
        (b"[{}, {}]", None, Reason.SEVERAL_EVENTS),
        (dumped([CLOUD_EVENT]), "application/cloudevents-batch+json", Reason.SEVERAL_EVENTS),
        (b'{"a": 1, "a": 1}', None, Reason.FIELD_TWICE),
        (b'{"a": {"b": 1, "b": 2}}', None, Reason.FIELD_TWICE),
        (dumped({**CLOUD_EVENT, "specversion": "0.3"}), None, Reason.CLOUD_EVENT_INVALID),
        (dumped(DATA), STRUCTURED, Reason.CLOUD_EVENT_INVALID),
        (dumped({**CLOUD_EVENT, "data_base64": "!"}), None, Reason.CLOUD_EVENT_INVALID),
        (dumped({**CLOUD_EVENT, "data_base64": "é"}), None, Reason.CLOUD_EVENT_INVALID),
        (dumped({**CLOUD_EVENT, "data_base64": "bm8="}), None, Reason.NOT_JSON),
        (dumped({**CLOUD_EVENT, "data": TEXT}), None, Reason.NOT_AN_OBJECT),
        (dumped({**CLOUD_EVENT, "data": None}), None, Reason.NOT_AN_OBJECT),
        (dumped({**DATAVERSE, "InputParameters": []}), None, Reason.DATAVERSE_CONTEXT),
        (dumped({**DATAVERSE, "SharedVariables": []}), None, Reason.DATAVERSE_CONTEXT),
    ],
    ids=lambda value: None if isinstance(value, (bytes, str)) and not isinstance(value, Reason) else value,
)
def test_each_refusal_has_its_own_reason(body: bytes, content_type: str | None, reason: Reason) -> None:
    """What carries no event, or not exactly one, is refused by what is wrong with it."""
    assert refusal(body, content_type).reason is reason


def test_a_binary_cloud_event_of_another_version_is_refused() -> None:
    """A version that nobody knows here may mean anything."""
    assert refusal(TEXT.encode(), None, cloudEvents_specversion="2.0").reason is Reason.CLOUD_EVENT_INVALID


@pytest.mark.parametrize(
    "body",
    [
        b"Zoraida Quintanilla",
        b'{"a": Zoraida}',
        b'["Zoraida"]',
        b'{"Zoraida": NaN}',
        b'{"Zoraida": 1, "Zoraida": 2}',
        dumped({**CLOUD_EVENT, "data_base64": "Zoraida!"}),
        dumped({**CLOUD_EVENT, "specversion": "Zoraida"}),
    ],
)
def test_a_refusal_does_not_quote_the_body(body: bytes) -> None:
    """Neither the error nor what is shown with it has a piece of the body, nor what led to it."""
    error = refusal(body)
    assert "Zoraida" not in shown(error)
    assert error.__context__ is None


@given(
    st.binary(max_size=60) | JSON.map(dumped) | JSON.map(lambda value: dumped({**CLOUD_EVENT, "data": value}))
)
def test_any_bytes_give_an_object_or_our_error(body: bytes) -> None:
    """Nothing but an object comes out and nothing but our error goes up."""
    with suppress(EventError):
        assert isinstance(envelopes.unwrap(body).data, dict)
