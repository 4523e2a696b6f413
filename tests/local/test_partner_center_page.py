"""The page for a person, alone and as a browser fetches it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from uuid import UUID, uuid4

import pytest

from local.partner_center import serve
from local.partner_center.ledger import Agreement, Entry
from local.partner_center.options import Options
from local.partner_center.page import SHOWN, page
from local.partner_center.recent import Call, Recent
from local.parts import in_thread
from tests.local.documented import confirmation
from tests.local.partner import Api

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "<script>alert('&')</script>@here"
VOID = ("meta", "br")


class Read(HTMLParser):
    """What a browser makes of a page: its elements, closed in order, and the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data


def entry(**contact: str) -> Entry:
    """Return an entry of the ledger."""
    document = confirmation()
    document["primaryContact"] |= contact
    agreement = Agreement.model_validate({name.lower(): value for name, value in document.items()})
    return Entry(UUID(int=7), agreement, "user", "partner", "the-request", "the-correlation", NOW)


def call(path: str = "/v1/agreements", status: int | None = 200, request_id: str = "an-id") -> Call:
    """Return a call."""
    return Call(
        at=NOW,
        method="GET",
        path=path,
        status=status,
        milliseconds=12.3,
        request_id=request_id,
        correlation_id="the-correlation",
    )


def test_what_is_on_record_can_be_read() -> None:
    """Each agreement has its customer, person, date and id; each call its status, path and time."""
    read = Read(page([entry()], 1, [call(), call(status=429), call(status=None)], Options()))
    told = ("1 agreement on record", str(UUID(int=7)), "Tania Carr", "someone@example.com", "1234567890")
    calls = (
        "the-request",
        "2018-06-14T00:00:00.000Z",
        "03:04:05 UTC",
        "429",
        "cut off",
        "GET /v1/agreements",
    )
    assert [text for text in (*told, *calls) if text not in read.text] == []


@pytest.mark.parametrize("name", ["firstName", "lastName", "email", "phoneNumber"])
def test_what_callers_sent_is_text_and_nothing_else(name: str) -> None:
    """Markup in a name, a path or an id is shown as it was written, and never becomes markup."""
    text = page([entry(**{name: HOSTILE})], 1, [call(path=HOSTILE), call(request_id=HOSTILE)], Options())
    read = Read(text)
    assert "script" not in read.elements
    assert read.text.count(HOSTILE) == 3


def test_the_page_works_by_itself() -> None:
    """It loads itself anew, loads nothing else, and says without any style what each table and column is."""
    read = Read(page([entry()], 1, [call()], Options()))
    assert ("http-equiv", "refresh") in read.attributes
    assert not {"script", "link", "img", "iframe"} & set(read.elements)
    assert not [
        name for name, _ in read.attributes if name in ("src", "href", "style") or name.startswith("on")
    ]
    assert read.elements.count("caption") == read.elements.count("table") == 2
    assert read.attributes.count(("scope", "col")) == read.elements.count("th") > 10
    assert ("lang", "en") in read.attributes


def test_an_empty_page_says_so() -> None:
    """Before anything happened there are sentences, not empty tables."""
    read = Read(page([], 0, [], Options()))
    assert "No agreement is on record." in read.text
    assert "Nobody has called yet." in read.text
    assert "table" not in read.elements


def test_only_the_newest_are_shown_and_the_rest_counted() -> None:
    """A long run does not make a page that no browser can load every two seconds."""
    text = page([entry()] * SHOWN, 12345, [call() for _ in range(2 * SHOWN)], Options())
    assert f"12345 agreements on record, the newest {SHOWN} of them" in Read(text).text
    assert f"The last {SHOWN} calls" in Read(text).text
    kept = Recent(kept=3)
    for number in range(5):
        kept.add(call(request_id=str(number)))
    assert [one.request_id for one in kept] == ["4", "3", "2"]


def test_choices_are_told() -> None:
    """Whoever wonders at 429 sees on the page that somebody chose it."""
    assert "burst=3" in Read(page([], 0, [], Options(burst=3))).text
    assert "Chosen" not in Read(page([], 0, [], Options())).text


@pytest.fixture
def api() -> Iterator[Api]:
    with in_thread(serve) as environment:
        api = Api(environment)
        with api.session:
            yield api


def test_a_browser_gets_the_page(api: Api) -> None:
    """Without a token, as HTML that no cache keeps, with all that was recorded and called, newest first."""
    customers = [uuid4(), uuid4()]
    for customer in customers:
        assert api.confirm(customer, confirmation()).status_code == 201
    api.faults({"drop": "before"})
    with pytest.raises(OSError, match="aborted"):
        api.call("GET", "/v1/agreements")
    answer = api.call("GET", "/", headers={"Authorization": None, "Accept": "text/html"})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    read = Read(answer.text)
    assert read.text.index(str(customers[1])) < read.text.index(str(customers[0]))
    assert "cut off" in read.text
    assert "2 agreements on record" in read.text


def test_looking_changes_nothing(api: Api) -> None:
    """The page is no call: it is not counted, meets no fault, and is not in its own list."""
    api.faults({"times": 1, "status": 503})
    api.choose(callsPerSecond=0.001, burst=1)
    assert [api.call("GET", "/").status_code for _ in range(3)] == [200] * 3
    assert api.call("GET", "/_control/calls").json()["calls"] == []
    assert "Nobody has called yet." in api.call("GET", "/").text
    assert api.call("GET", "/v1/agreements").status_code == 503
