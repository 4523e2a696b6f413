"""The calls of the agreements API: metadata, confirm, list, and whether a customer accepted directly."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web

from local.entra import Issued
from local.partner_center import refusals
from local.partner_center.admission import Admission
from local.partner_center.answers import answer
from local.partner_center.ledger import (
    ANY,
    CLOUD,
    CUSTOMER,
    Agreement,
    Entry,
    Ledger,
    Template,
    read,
    templates,
    zoneless,
)
from local.partner_center.options import Choice
from local.partner_center.stamps import CORRELATION_ID, REQUEST_ID

_CUSTOMER_PATH = "/v1/customers/{customer:[^/]+}/agreements"
_DIRECT_PATH = "/v1/customers/{customer:[^/]+}/directSignedMicrosoftCustomerAgreementStatus"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Replays:
    """What was answered to an MS-RequestId, with path and body, in case it comes again.

    No page tells what it gets then, so a caller must be safe with both: "refuse" treats it as any other call,
    which makes it a duplicate; "repeat" gives the first answer again.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._answers: dict[tuple[str, str, bytes], tuple[datetime, dict[str, object]]] = {}

    def find(self, call: tuple[str, str, bytes], now: datetime) -> dict[str, object] | None:
        """Return the first answer to such a call, if it is to be repeated."""
        options = self._choice.options
        if options.replay == "refuse" or call not in self._answers:
            return None
        at, first = self._answers[call]
        kept = options.replay_seconds
        return first if kept is None or now - at <= timedelta(seconds=kept) else None

    def keep(self, call: tuple[str, str, bytes], now: datetime, answered: dict[str, object]) -> None:
        """Keep an answer."""
        if self._choice.options.replay == "repeat":
            self._answers[call] = now, answered


class Confirmations:
    """The four calls of the agreements API."""

    def __init__(
        self,
        admission: Admission,
        ledger: Ledger,
        choice: Choice,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._admission, self._ledger, self._choice, self._now = admission, ledger, choice, now
        self._replays = Replays(choice)

    def routes(self) -> list[web.RouteDef]:
        """Name the paths."""
        return [
            web.get("/v1/agreements", self._metadata, allow_head=False),
            web.get(_CUSTOMER_PATH, self._list, allow_head=False),
            web.post(_CUSTOMER_PATH, self._confirm),
            web.get(_DIRECT_PATH, self._direct, allow_head=False),
        ]

    async def _metadata(self, request: web.Request) -> web.Response:
        self._admission.user(request)
        chosen = templates(_agreement_type(request))
        return answer(_collection([_metadata(template) for template in chosen]))

    async def _list(self, request: web.Request) -> web.Response:
        self._admission.user(request)
        options, customer, named = self._choice.options, _customer(request), _agreement_type(request)
        until = self._now() - timedelta(seconds=options.read_delay_seconds)
        items = [_listed(one) for one in self._ledger.agreements(customer, named, until=until)]
        if not items and options.no_agreement == "600009":
            raise refusals.no_agreement(options.no_agreement_status)
        return answer({"totalCount": len(items), "items": items})

    async def _direct(self, request: web.Request) -> web.Response:
        """Nobody accepts directly here, except customers whose id begins with ``dddddddd-``."""
        self._admission.user(request)
        return answer({"isSigned": str(_customer(request)).startswith("dddddddd-")})

    async def _confirm(self, request: web.Request) -> web.Response:
        options = self._choice.options
        if options.retired_status is not None:
            raise refusals.retired(options.retired_status, options.retired_body)
        user, customer, body = self._admission.user(request), _customer(request), await request.read()
        call, now = (request[REQUEST_ID], request.path, body), self._now()
        recorded = self._replays.find(call, now)
        if recorded is None:
            recorded = self._record(request, user, customer, body, now)
            self._replays.keep(call, now, recorded)
        return answer(recorded, status=201)

    def _record(
        self, request: web.Request, user: Issued, customer: UUID, body: bytes, now: datetime
    ) -> dict[str, object]:
        options = self._choice.options
        agreement = read(body, options)
        ids = request[REQUEST_ID], request[CORRELATION_ID]
        self._ledger.record(Entry(customer, agreement, user.user_id, user.tenant_id, *ids, now), options)
        return {"userId": user.user_id, **agreement.document}


def _customer(request: web.Request) -> UUID:
    text = request.match_info["customer"].lower()
    try:
        customer = UUID(text)
    except ValueError:
        raise refusals.not_a_customer_id() from None
    if str(customer) != text:
        raise refusals.not_a_customer_id()
    if text.startswith("00000000-"):
        raise refusals.customer_unknown()
    if text.startswith("ffffffff-"):
        raise refusals.no_relationship()
    return customer


def _agreement_type(request: web.Request) -> str:
    # Who asks for no type gets the old agreement: that is how the API stayed compatible.
    named = request.query.get("agreementType", CLOUD)
    if named not in (CLOUD, CUSTOMER, ANY):
        raise refusals.type_unknown()
    return named


def _metadata(template: Template) -> dict[str, object]:
    return {
        "templateId": template.id,
        "agreementType": template.type,
        "agreementLink": template.link,
        "versionRank": 0,
    }


def _collection(items: list[dict[str, object]]) -> dict[str, object]:
    return {
        "totalCount": len(items),
        "items": items,
        "links": {"self": {"uri": "/agreements", "method": "GET", "headers": []}},
        "attributes": {"objectType": "Collection"},
    }


def _listed(agreement: Agreement) -> dict[str, object]:
    return {
        **agreement.document,
        "dateAgreed": zoneless(agreement.instant),
        "agreementLink": agreement.template.link,
    }
