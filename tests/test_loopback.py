"""The redirect of a sign-in, by real requests to a real port."""

import socket
import threading
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from agreements import loopback
from agreements.deadline import Deadline
from agreements.loopback import Loopback


@pytest.fixture
def listening() -> Iterator[Loopback]:
    with loopback.listening(0) as listening:
        yield listening


class Browser(threading.Thread):
    """Posts one form after the other, or asks for a page where it is none; ``shown`` has what came of it."""

    def __init__(self, url: str, *forms: str | None) -> None:
        super().__init__()
        self.url, self.forms = url, forms
        self.shown: list[tuple[int, str]] = []
        self.start()

    def run(self) -> None:
        for form in self.forms:
            try:
                data = None if form is None else form.encode()
                with urlopen(self.url, data, timeout=10) as page:  # noqa: S310 - this test's own address
                    self.shown.append((page.status, page.read().decode()))
            except HTTPError as error:
                with error:
                    self.shown.append((error.code, ""))


def test_a_redirect_brings_its_parameters(listening: Loopback) -> None:
    """What the browser brings is handed over as it is, and the person is sent back to the terminal."""
    browser = Browser(listening.url, "code=1.A%2Bb&state=s&session_state=x")
    assert listening.redirected("s", Deadline.after(10)) == {
        "code": "1.A+b",
        "state": "s",
        "session_state": "x",
    }
    browser.join()
    [(status, page)] = browser.shown
    assert status == 200
    assert "Back to the terminal" in page


def test_a_denial_is_shown(listening: Loopback) -> None:
    """A sign-in that was denied comes back too, and its page says so without repeating what it was sent."""
    browser = Browser(listening.url, "error=access_denied&error_description=%3Cscript%3Ex&state=s")
    assert listening.redirected("s", Deadline.after(10))["error"] == "access_denied"
    browser.join()
    [(status, page)] = browser.shown
    assert status == 200
    assert "did not succeed" in page
    assert "<script>x" not in page


@pytest.mark.parametrize(
    ("stray", "status"),
    [(None, 404), ("code=1", 400), ("code=1&state=another", 400), ("state=s", 400)],
    ids=["icon", "no state", "another sign-in", "neither code nor error"],
)
def test_what_is_no_redirect_changes_nothing(listening: Loopback, stray: str | None, status: int) -> None:
    """A browser that asks for an icon, or a stranger on the machine, does not end the sign-in."""
    browser = Browser(listening.url, stray, "code=1&state=s")
    assert listening.redirected("s", Deadline.after(10)) == {"code": "1", "state": "s"}
    browser.join()
    assert [shown for shown, _ in browser.shown] == [status, 200]


@pytest.mark.parametrize("length", ["", "Content-Length: x\r\n", "Content-Length: 70000\r\n"])
def test_a_form_of_no_honest_length_is_not_read(listening: Loopback, length: str) -> None:
    """Nobody can make the command wait for, or hold, more than a redirect is long."""
    with socket.create_connection(("127.0.0.1", listening.port), timeout=10) as stranger:
        stranger.sendall(f"POST / HTTP/1.0\r\n{length}\r\n".encode())
        with pytest.raises(TimeoutError):
            listening.redirected("s", Deadline.after(0.5))
        assert b" 400 " in stranger.recv(1000)


def test_a_silent_connection_holds_nothing_up(listening: Loopback) -> None:
    """Browsers connect in advance; the redirect on another connection is taken meanwhile."""
    with socket.create_connection(("127.0.0.1", listening.port)):
        browser = Browser(listening.url, "code=1&state=s")
        assert listening.redirected("s", Deadline.after(10))["code"] == "1"
        browser.join()


def test_nobody_comes(listening: Loopback) -> None:
    """Whoever never signs in is not waited for longer than the deadline."""
    with pytest.raises(TimeoutError):
        listening.redirected("s", Deadline.after(0.05))


def test_a_taken_port_is_an_error(listening: Loopback) -> None:
    """A port that another program holds is refused by the system, not shared."""
    with pytest.raises(OSError, match="in use"), loopback.listening(listening.port):
        pass


def test_the_port_can_be_used_again_at_once() -> None:
    """A second try right after the first one finds the port free."""
    with loopback.listening(0) as first:
        browser = Browser(first.url, "code=1&state=s")
        first.redirected("s", Deadline.after(10))
        browser.join()
    with loopback.listening(first.port) as second:
        assert second.url == first.url


def test_the_code_is_not_logged(listening: Loopback, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing of a request shows on the terminal, where the code would stay."""
    browser = Browser(listening.url, "code=planted-code&state=another", "code=planted-code&state=s")
    listening.redirected("s", Deadline.after(10))
    browser.join()
    assert [status for status, _ in browser.shown] == [400, 200]
    assert "planted-code" not in "".join(capfd.readouterr())
