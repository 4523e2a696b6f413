"""The answers beside those that Microsoft's pages show: every field, its order, its type and its value."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local.partner_center import serve
from local.partner_center.options import Options
from local.parts import in_thread
from tests.local import documented
from tests.local.documented import CONFIRMATION, CREATED, CUSTOMER, ERROR, IDS, SESSION_HEADERS
from tests.local.partner import Api

AGREEMENTS = f"/v1/customers/{CUSTOMER}/agreements"
# It accepted directly.
DIRECT = "dddddddd-0000-4000-8000-000000000000"
TYPE = "agreementType=MicrosoftCustomerAgreement"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A partner whose one customer is the pages' own, confirmed as the page has it."""
    with in_thread(serve) as environment:
        api = Api(environment)
        with api.session:
            answer = api.call("POST", AGREEMENTS, data=CONFIRMATION, headers=IDS)
            assert answer.status_code == 201, answer.text
            yield api


def fields(document: object, place: str = "$") -> list[tuple[str, object]]:
    """Return every field of a document by its place, in order, with its value."""
    if isinstance(document, dict):
        own: list[tuple[str, object]] = [(place, list(document))]
        return own + [one for name, value in document.items() for one in fields(value, f"{place}.{name}")]
    if isinstance(document, list):
        return [one for number, value in enumerate(document) for one in fields(value, f"{place}[{number}]")]
    return [(place, (type(document), document))]


def test_a_confirmation_is_answered_as_the_page_shows() -> None:
    """The page's request, byte for byte, gets its 201, its headers and the fields of its body."""
    with in_thread(serve) as environment:
        api = Api(environment)
        with api.session:
            answer = api.call("POST", AGREEMENTS, data=CONFIRMATION, headers=IDS)
    assert (answer.status_code, answer.reason) == (201, "Created")
    assert fields(answer.json()) == fields(json.loads(CREATED))
    shown = {**IDS, "Content-Type": "application/json", "Content-Length": str(len(answer.content))}
    assert {name: answer.headers[name] for name in shown} == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/v1/agreements?{TYPE}", documented.METADATA),
        ("/v1/agreements?agreementType=MicrosoftCloudAgreement", documented.CLOUD_METADATA),
        ("/v1/agreements", documented.CLOUD_METADATA),
        (f"{AGREEMENTS}?{TYPE}", documented.LISTED),
        (f"/v1/customers/{DIRECT}/directSignedMicrosoftCustomerAgreementStatus", documented.SIGNED),
        ("/v1/compliance/csp/agreementstatus?mpnId=4847383", documented.PARTNER_SIGNED),
        (f"/v1/compliance/csp/agreementstatus?tenantId={CUSTOMER}&mpnId=", documented.PARTNER_SIGNED),
    ],
)
def test_an_answer_has_the_fields_of_its_page(api: Api, path: str, shown: Mapping[str, Any]) -> None:
    """Each documented example comes back with the same fields in the same order, types and values."""
    answer = api.call("GET", path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert fields(answer.json()) == fields(shown)


def test_a_duplicate_is_refused_with_the_body_of_the_page(api: Api) -> None:
    """600061 in its seven fields, literally."""
    answer = api.call("POST", AGREEMENTS, data=CONFIRMATION)
    assert answer.status_code == 400
    assert fields(answer.json()) == fields(documented.DUPLICATE)


def test_a_document_has_the_fields_of_its_page(api: Api) -> None:
    """Two links, and the language and country that they are for; the defaults are the page's."""
    document = api.call("GET", f"/v1/agreementtemplates/{documented.TEMPLATE_ID}/document").json()
    links = {name: document[name] for name in ("displayUri", "downloadUri")}
    assert list(document) == list(documented.DOCUMENT)
    assert {**document, "displayUri": "", "downloadUri": ""} == documented.DOCUMENT
    assert all(link.startswith(f"{api.url}/") for link in links.values())


@pytest.mark.parametrize(
    "call",
    [
        ("GET", "/v1/customers/contoso/agreements"),
        ("GET", "/v1/agreements?agreementType=Some"),
        ("GET", "/v1/compliance/csp/agreementstatus"),
        ("GET", "/v1/agreementtemplates/none/document"),
    ],
)
def test_an_error_of_the_gateway_has_the_fields_of_its_page(api: Api, call: tuple[str, str]) -> None:
    """Code (a number, as in real payloads), description of at most 1024 characters, data and source."""
    answer = api.call(*call)
    assert 400 <= answer.status_code < 500
    assert tuple(answer.json()) == ERROR
    assert [type(value) for value in answer.json().values()] == [int, str, list, str]
    assert len(answer.json()["description"]) <= 1024


def test_a_throttled_call_is_answered_as_the_guidance_shows() -> None:
    """Shape C: both fields, the seconds in the text and in Retry-After."""
    with in_thread(lambda: serve(options=Options(calls_per_second=1e-3, burst=1))) as environment:
        api = Api(environment)
        with api.session:
            assert api.call("GET", "/v1/agreements").status_code == 200
            answer = api.call("GET", "/v1/agreements")
    assert answer.status_code == 429
    seconds = answer.headers["Retry-After"]
    message = str(documented.THROTTLED["message"]).replace("57", seconds)
    assert fields(answer.json()) == fields({**documented.THROTTLED, "message": message})
    assert 1 <= int(seconds) <= 2000


def test_an_answer_is_written_as_the_recorded_session_shows(api: Api) -> None:
    """Indented by two with CRLF, no charset, and every header of support, an error's too."""
    for path in (f"{AGREEMENTS}?{TYPE}", "/v1/customers/contoso/agreements"):
        answer = api.call("GET", path)
        assert answer.content.startswith(b'{\r\n  "')
        assert answer.content.replace(b"\r\n", b"").count(b"\n") == 0
        assert answer.headers["Content-Type"] == "application/json"
        assert all(name in answer.headers for name in SESSION_HEADERS)
        assert re.fullmatch(r"appId=cid-v1:[0-9a-f-]{36}", answer.headers["Request-Context"])
