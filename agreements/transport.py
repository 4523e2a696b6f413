"""Calls over HTTPS: one request, and one answer or the reason why there is none that can be used."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from uuid import UUID

import requests
import urllib3
from requests.auth import AuthBase

from agreements.deadline import Deadline
from agreements.errors import NoAnswerError

_LARGEST_ANSWER = 2**20
# Azure's outbound connections are forgotten after four idle minutes.
_IDLE_SECONDS = 100.0
_HEADERS = {**requests.utils.default_headers(), "Accept": "application/json"}


class _Bearer(AuthBase):
    """The token as ``requests`` wants it: a header of our own would give way to a ``.netrc``."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for each piece of an answer."""

    connect: float
    read: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of Partner Center: one with a body records something, any other reads.

    ``about_event`` is false for a call that concerns no customer.
    """

    path: str
    query: Mapping[str, str] | None = None
    body: Mapping[str, object] | None = field(default=None, repr=False)
    request_id: UUID | None = None
    correlation_id: UUID | None = None
    about_event: bool = True

    @property
    def write(self) -> bool:
        """Whether it records something."""
        return self.body is not None

    @property
    def headers(self) -> dict[str, str]:
        """Its own headers; the token is none of them."""
        ids = {"MS-RequestId": self.request_id, "MS-CorrelationId": self.correlation_id}
        headers = {name: str(value) for name, value in ids.items() if value is not None}
        return headers | {"Content-Type": "application/json"} if self.write else headers


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that was read to its end, whatever it says."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """The way to one server; safe to share among threads.

    TLS is always verified, no redirect is followed, and no answer over 1 MiB is read.
    """

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        self._url = url
        self._timeouts = timeouts
        self._thread = _Thread(url)

    def send(self, call: Call, token: str, deadline: Deadline) -> Response:
        """Make a call once, and return its answer.

        Raises:
            NoAnswerError: there is none that can be used; it tells whether the call may have been done.
        """
        if not (left := deadline.left()):
            raise NoAnswerError("no time was left to ask", write=call.write)
        with _failures(call):
            request = requests.PreparedRequest()
            request.prepare(
                method="POST" if call.write else "GET",
                url=self._url + call.path,
                params=call.query,
                data=json.dumps(call.body) if call.write else None,
                headers={**_HEADERS, **call.headers},
                auth=_Bearer(token),
            )
            timeout = min(left, self._timeouts.connect), min(left, self._timeouts.read)
            response = self._thread.send(request, timeout)
            with response:
                return Response(response.status_code, response.headers, _read(response, call, deadline))


class _Thread(threading.local):
    """Connections for each thread, since ``requests`` does not share them safely.

    Only the part of a session that sends is used, so that no redirect is followed and no cookie kept. The
    environment (proxies, authorities) is read once for it, and not for every call. A connection that was idle
    for long is not used again: what lies between may have forgotten it, and would not say so.
    """

    def __init__(self, url: str) -> None:
        session = requests.Session()
        self._adapter = session.get_adapter(url)
        self._environment = session.merge_environment_settings(url, {}, True, None, None)
        self._used = monotonic()

    def send(self, request: requests.PreparedRequest, timeout: tuple[float, float]) -> requests.Response:
        """Send a request and return the head of its answer; the body is still to be read."""
        idle, self._used = monotonic() - self._used, monotonic()
        if idle > _IDLE_SECONDS:
            self._adapter.close()
        return self._adapter.send(request, timeout=timeout, **cast("dict[str, Any]", self._environment))


@contextmanager
def _failures(call: Call) -> Iterator[None]:
    """Turn what ``requests`` raises into our error.

    Only a connection that was never made is surely not sent: after a cut or a time-out the service may have
    done its work.
    """
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        sent = not _never_connected(error)
        # From None: the original quotes the address and, if it is about a header, the header.
        message = f"no answer: {type(error).__name__}"
        raise NoAnswerError(message, write=call.write, maybe_recorded=call.write and sent) from None


def _never_connected(error: Exception) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.SSLError):
        return isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, urllib3.exceptions.ConnectTimeoutError)


def _read(response: requests.Response, call: Call, deadline: Deadline) -> bytes:
    body = bytearray()
    # Piece by piece as they come: a read that waits for a full buffer would outlast the deadline.
    while piece := response.raw.read1(decode_content=True):
        body += piece
        if len(body) > _LARGEST_ANSWER or not deadline.left():
            raise NoAnswerError(
                "the answer is too long or too slow", write=call.write, maybe_recorded=call.write
            )
    return bytes(body)
