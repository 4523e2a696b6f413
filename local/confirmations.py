"""The calls of the agreements API: metadata, confirm, list, and whether a customer accepted directly."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from aiohttp import web

from local import refusals
from local.entra import PARTNER_CENTER, Issuing
from local.ledger import ANY, CLOUD, CUSTOMER, Agreement, Entry, Ledger, Template, read, templates, zoneless
from local.stamps import CORRELATION_ID, REQUEST_ID

type Replay = Literal["refuse", "repeat"]

_CUSTOMER_PATH = "/v1/customers/{customer:[^/]+}/agreements"
_DIRECT_PATH = "/v1/customers/{customer:[^/]+}/directSignedMicrosoftCustomerAgreementStatus"


class Confirmations:
    """The four calls of the agreements API.

    ``replay`` says what a POST gets that repeats an MS-RequestId, path and body already recorded: no page
    tells, so a caller must be safe with both. "refuse" treats it as any other call, which makes it a
    duplicate; "repeat" gives the first answer again.
    """

    def __init__(self, tokens: Issuing, ledger: Ledger, *, replay: Replay = "refuse") -> None:
        self._tokens, self._ledger = tokens, ledger
        self._remembers = replay == "repeat"
        self._answers: dict[tuple[str, str, bytes], dict[str, object]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Name the paths."""
        return [
            web.get("/v1/agreements", self._metadata, allow_head=False),
            web.get(_CUSTOMER_PATH, self._list, allow_head=False),
            web.post(_CUSTOMER_PATH, self._confirm),
            web.get(_DIRECT_PATH, self._direct, allow_head=False),
        ]

    async def _metadata(self, request: web.Request) -> web.Response:
        self._user(request)
        chosen = templates(_agreement_type(request))
        return answer(_collection([_metadata(template) for template in chosen]))

    async def _list(self, request: web.Request) -> web.Response:
        self._user(request)
        chosen = self._ledger.agreements(_customer(request), _agreement_type(request))
        items = [_listed(one) for one in chosen]
        return answer({"totalCount": len(items), "items": items})

    async def _direct(self, request: web.Request) -> web.Response:
        """Nobody accepts directly here, except customers whose id begins with ``dddddddd-``."""
        self._user(request)
        return answer({"isSigned": str(_customer(request)).startswith("dddddddd-")})

    async def _confirm(self, request: web.Request) -> web.Response:
        user_id, customer, body = self._user(request), _customer(request), await request.read()
        replayed = (request[REQUEST_ID], request.path, body)
        if replayed in self._answers:
            return answer(self._answers[replayed], status=201)
        agreement = read(body)
        ids = request[REQUEST_ID], request[CORRELATION_ID]
        self._ledger.record(Entry(customer, agreement, user_id, *ids, datetime.now(UTC)))
        recorded = {"userId": user_id, **agreement.document}
        if self._remembers:
            self._answers[replayed] = recorded
        return answer(recorded, status=201)

    def _user(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        issued = self._tokens.find(token) if scheme.lower() == "bearer" else None
        if issued is None:
            raise refusals.token_missing()
        if issued.audience != PARTNER_CENTER:
            raise refusals.audience_invalid()
        if not issued.mfa:
            raise refusals.mfa_missing()
        return issued.user_id


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


def answer(document: Mapping[str, object], *, status: int = 200) -> web.Response:
    """Answer as Partner Center does: JSON in UTF-8, and no word about its charset."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return web.Response(status=status, body=body, content_type="application/json")
