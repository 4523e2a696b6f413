import codecs
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import envelopes
from agreements.errors import EventError, Reason
from tests.fakes import shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "Zoë"}'.encode(),
        codecs.BOM_UTF8 + '{"name": "Zoë"}'.encode(),
        '{"name": "Zoë"}'.encode("utf-16"),
        '{"name": "Zoë"}'.encode("utf-16-le"),
        '{"name": "Zoë"}'.encode("utf-16-be"),
        '{"name": "Zoë"}'.encode("utf-32"),
        b' \n{"name": "Zo\\u00eb"}\n',
    ],
    ids=["utf-8", "utf-8-bom", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "escaped"],
)
def test_an_object_is_read_in_every_encoding_of_json(body: bytes) -> None:
    """One JSON object comes out, however Unicode was written."""
    assert envelopes.unwrap(body) == {"name": "Zoë"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"<event/>",
        b'{"name": "Zo\xeb"}',
        b'{"a": 1} {"a": 2}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe\xfd",
    ],
    ids=[
        "empty",
        "text",
        "xml",
        "latin-1",
        "two",
        "nan",
        "infinity",
        "minus-infinity",
        "deep",
        "huge-number",
        "bytes",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """Anything but strict JSON is refused as such, Python's own extensions included."""
    with pytest.raises(EventError) as caught:
        envelopes.unwrap(body)
    assert caught.value.reason is Reason.NOT_JSON


@pytest.mark.parametrize("body", [b"[]", b"[{}]", b'"{}"', b"1", b"null", b"true"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    """One message carries one event: a list, a string or a number is refused as such."""
    with pytest.raises(EventError) as caught:
        envelopes.unwrap(body)
    assert caught.value.reason is Reason.NOT_AN_OBJECT


@pytest.mark.parametrize(
    "body", [b"Zoraida Quintanilla", b'{"a": Zoraida}', b'["Zoraida"]', b'{"Zoraida": NaN}']
)
def test_a_refusal_does_not_quote_the_body(body: bytes) -> None:
    """Neither the error nor what is shown with it has a piece of the body."""
    with pytest.raises(EventError) as caught:
        envelopes.unwrap(body)
    assert "Zoraida" not in shown(caught.value)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_an_object_or_our_error(body: bytes) -> None:
    """Nothing but an object comes out and nothing but our error goes up."""
    with suppress(EventError):
        assert isinstance(envelopes.unwrap(body), dict)
