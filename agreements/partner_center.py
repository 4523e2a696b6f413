"""The Partner Center REST client: its verbs, and its refusals as our errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

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
from agreements.transport import Call, Response, Timeouts, Transport

_TEMPLATE_SECONDS = 24 * 3600.0
# What a 429 that names no Retry-After closes the gate for.
_THROTTLED_SECONDS = 5.0
_TYPE = "MicrosoftCustomerAgreement"
_NO_AGREEMENT = "600009"


class Tokens(Protocol):
    """Where access tokens come from."""

    def token(self, deadline: Deadline, *, refused: str | None = None) -> str:
        """Return an access token that is not the one which the service refused."""


class PartnerCenter:
    """The agreement verbs of Partner Center; safe to share among threads."""

    def __init__(self, url: str, tokens: Tokens, timeouts: Timeouts, gate: Gate) -> None:
        self._tokens = tokens
        self._gate = gate
        self._transport = Transport(url, timeouts)
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
        call = Call(
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
        call = Call(
            path=f"/v1/customers/{customer}/directSignedMicrosoftCustomerAgreementStatus",
            correlation_id=correlation_id,
        )
        return self._ask(call, deadline, wire.read_is_signed)

    def _agreements(
        self, customer: UUID, agreement_type: str, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        call = Call(
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
        call = Call(path="/v1/agreements", query={"agreementType": _TYPE}, about_event=False)
        found = self._ask(call, deadline, lambda body: wire.read_template_ids(body, _TYPE))
        return Fetched(found, _TEMPLATE_SECONDS)

    def _ask[T](self, call: Call, deadline: Deadline, read: Callable[[bytes], T]) -> T:
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

    def _authorized(self, call: Call, deadline: Deadline) -> Response:
        """Make the call with a token; a 401 is tried once more with a new one."""
        self._gate.pass_through(deadline)
        try:
            token = self._tokens.token(deadline)
            response = self._transport.send(call, token, deadline)
            if response.status == 401:
                token = self._tokens.token(deadline, refused=token)
                response = self._transport.send(call, token, deadline)
        except TokenError as error:
            # Who merely had no time left knows nothing about the token.
            if deadline.left():
                self._gate.refused(error.reason)
            raise
        except NoAnswerError:
            self._gate.accepted()
            raise
        return response


def _understood[T](read: Callable[[bytes], T], body: bytes, call: Call) -> T:
    try:
        return read(body)
    except (ValueError, TypeError, AttributeError, RecursionError):
        message = "the answer cannot be read"
        raise NoAnswerError(message, write=call.write, maybe_recorded=call.write) from None
