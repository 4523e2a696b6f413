"""The Partner Center REST client: the one place where HTTP becomes our errors."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol, cast
from uuid import UUID

import requests
import urllib3
from requests.auth import AuthBase

from agreements import access, wire
from agreements.deadline import Deadline
from agreements.errors import (
    AgreementsError,
    Answer,
    AnswerError,
    EventError,
    NoAnswerError,
    Reason,
    TemplateError,
    TokenError,
)
from agreements.events import AcceptanceEvent, Agreement, same_contact
from agreements.flight import Fetched, Flight
from agreements.gate import Gate
from agreements.policy import ALREADY_EXISTS, DATE_AHEAD

_LARGEST_ANSWER = 2**20
_TEMPLATE_SECONDS = 24 * 3600.0
# What a 429 that names no Retry-After closes the gate for.
_THROTTLED_SECONDS = 5.0
# Azure's outbound connections are forgotten after four idle minutes.
_IDLE_SECONDS = 100.0
_TYPE = "MicrosoftCustomerAgreement"
_NO_AGREEMENT = "600009"
_HEADERS = {**requests.utils.default_headers(), "Accept": "application/json"}


class Tokens(Protocol):
    """Where access tokens come from."""

    def token(self, deadline: Deadline, *, refused: str | None = None) -> str:
        """Return an access token that is not the one which the service refused."""


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
class _Call:
    path: str
    query: Mapping[str, str] | None = None
    body: Mapping[str, object] | None = field(default=None, repr=False)
    request_id: UUID | None = None
    correlation_id: UUID | None = None
    about_event: bool = True

    @property
    def write(self) -> bool:
        return self.body is not None

    @property
    def headers(self) -> dict[str, str]:
        ids = {"MS-RequestId": self.request_id, "MS-CorrelationId": self.correlation_id}
        headers = {name: str(value) for name, value in ids.items() if value is not None}
        return headers | {"Content-Type": "application/json"} if self.write else headers


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class PartnerCenter:
    """The agreement verbs of Partner Center; safe to share among threads."""

    def __init__(self, url: str, tokens: Tokens, timeouts: Timeouts, gate: Gate) -> None:
        self._url = url
        self._tokens = tokens
        self._timeouts = timeouts
        self._gate = gate
        self._thread = _Thread(url)
        self._templates = Flight(self._look_up_templates)

    def confirm(
        self, event: AcceptanceEvent, *, request_id: UUID, correlation_id: UUID, deadline: Deadline
    ) -> Agreement:
        """Record the acceptance and return the agreement that the service made of it.

        Raises:
            EventError: the event names a template that is not a current one of its type. The service would
                record it as the template's type, whatever the event says (Partner-Center-Java, issue 86).
            TokenError: there is no token.
            TemplateError: it was refused, and the template that was looked up for it has been replaced.
            PartnerCenterError: it was refused, or nobody knows whether it was recorded.
        """
        template_ids = self.template_ids(deadline)
        template_id = str(event.template_id or template_ids[0])
        if template_id not in template_ids:
            raise EventError(Reason.FIELD_INVALID, "templateId", "must be a current template of the type")
        call = _Call(
            path=f"/v1/customers/{event.customer_tenant_id}/agreements",
            body=wire.agreement_body(event, template_id),
            request_id=request_id,
            correlation_id=correlation_id,
        )
        try:
            agreement = self._ask(call, deadline, wire.read_agreement)
        except AnswerError as error:
            if event.template_id is None and self._was_replaced(template_ids, error.answer, deadline):
                raise TemplateError(error.answer) from None
            raise
        if not same_contact(event, agreement):
            raise NoAnswerError("the answer is about someone else", write=True, maybe_recorded=True)
        return agreement

    def agreements(
        self, event: AcceptanceEvent, *, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        """Return the agreements of the event's type that are on record for its customer.

        Raises:
            TokenError: there is no token.
            PartnerCenterError: they could not be read.
        """
        return self._agreements(event.customer_tenant_id, event.type, correlation_id, deadline)

    def customer_agreements(
        self, customer: UUID, *, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        """Return the Microsoft Customer Agreements of a customer; raises as ``agreements`` does."""
        return self._agreements(customer, _TYPE, correlation_id, deadline)

    def direct_acceptance(self, customer: UUID, *, correlation_id: UUID, deadline: Deadline) -> bool:
        """Return whether the customer accepted the agreement directly, without a partner.

        Raises:
            TokenError: there is no token.
            PartnerCenterError: it could not be read.
        """
        call = _Call(
            path=f"/v1/customers/{customer}/directSignedMicrosoftCustomerAgreementStatus",
            correlation_id=correlation_id,
        )
        return self._ask(call, deadline, wire.read_is_signed)

    def _agreements(
        self, customer: UUID, agreement_type: str, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        call = _Call(
            path=f"/v1/customers/{customer}/agreements",
            # Without it the service answers for another agreement, the MicrosoftCloudAgreement of old.
            query={"agreementType": agreement_type},
            correlation_id=correlation_id,
        )
        try:
            return self._ask(call, deadline, wire.read_agreements)
        except AnswerError as error:
            if error.answer.code == _NO_AGREEMENT:
                return []
            raise

    def template_ids(self, deadline: Deadline) -> list[str]:
        """Return the current templates' ids, best first, looked up once a day by one thread for all.

        Raises:
            TokenError: there is no token.
            PartnerCenterError: they could not be looked up.
        """
        try:
            return self._templates.get(deadline)
        except TimeoutError:
            message = "no time was left to wait for another thread's look-up"
            raise NoAnswerError(message, write=False) from None

    def _was_replaced(self, template_ids: list[str], answer: Answer, deadline: Deadline) -> bool:
        """Look the templates up again: no code is known by which the service would refuse one."""
        if answer.status not in (400, 422) or answer.code in (ALREADY_EXISTS, DATE_AHEAD):
            return False
        try:
            return self._templates.get(deadline, refused=template_ids) != template_ids
        except (AgreementsError, TimeoutError):  # the refusal stands as it came
            return False

    def _look_up_templates(self, deadline: Deadline) -> Fetched[list[str]]:
        call = _Call(path="/v1/agreements", query={"agreementType": _TYPE}, about_event=False)
        found = self._ask(call, deadline, lambda body: wire.read_template_ids(body, _TYPE))
        return Fetched(found, _TEMPLATE_SECONDS)

    def _ask[T](self, call: _Call, deadline: Deadline, read: Callable[[bytes], T]) -> T:
        """Return what a 2xx answer holds."""
        response = self._authorized(call, deadline)
        if response.status != 429:
            self._gate.answered()
        if response.status in (200, 201):
            self._gate.accepted()
            return _understood(read, response.body, call)
        answer = wire.read_refusal(response.status, response.headers, response.body, datetime.now(UTC))
        if answer.status == 429:
            self._gate.close(answer.retry_after or _THROTTLED_SECONDS)
        if (reason := access.no_access(answer.status, answer.code)) is not None:
            self._gate.refused(reason)
        else:
            self._gate.accepted()
        raise AnswerError(answer, write=call.write, about_event=call.about_event)

    def _authorized(self, call: _Call, deadline: Deadline) -> _Response:
        """Make the call with a token; a 401 is tried once more with a new one."""
        self._gate.pass_through(deadline)
        try:
            token = self._tokens.token(deadline)
            response = self._exchange(call, token, deadline)
            if response.status == 401:
                token = self._tokens.token(deadline, refused=token)
                response = self._exchange(call, token, deadline)
        except TokenError as error:
            # Who merely had no time left knows nothing about the token.
            if deadline.left():
                self._gate.refused(error.reason)
            raise
        except NoAnswerError:
            self._gate.accepted()
            raise
        return response

    def _exchange(self, call: _Call, token: str, deadline: Deadline) -> _Response:
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
                return _Response(response.status_code, response.headers, _read(response, call, deadline))


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
def _failures(call: _Call) -> Iterator[None]:
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


def _read(response: requests.Response, call: _Call, deadline: Deadline) -> bytes:
    body = bytearray()
    # Piece by piece as they come: a read that waits for a full buffer would outlast the deadline.
    while piece := response.raw.read1(decode_content=True):
        body += piece
        if len(body) > _LARGEST_ANSWER or not deadline.left():
            raise NoAnswerError(
                "the answer is too long or too slow", write=call.write, maybe_recorded=call.write
            )
    return bytes(body)


def _understood[T](read: Callable[[bytes], T], body: bytes, call: _Call) -> T:
    try:
        return read(body)
    except (ValueError, TypeError, AttributeError, RecursionError):
        message = "the answer cannot be read"
        raise NoAnswerError(message, write=call.write, maybe_recorded=call.write) from None
