"""The ids of a call, and the headers that a recorded session shows on each answer of Partner Center."""

import json
import secrets
from collections.abc import Callable, Iterator
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local.partner_center.answers import answer
from local.partner_center.options import Choice

REQUEST_ID = web.RequestKey("request_id", str)
CORRELATION_ID = web.RequestKey("correlation_id", str)
_SERVER_ID, _APP_ID = secrets.token_hex(4), uuid4()


@web.middleware
async def stamped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the call its two ids, and its answer the headers that a recorded session shows."""
    request[REQUEST_ID] = request.headers.get("MS-RequestId") or str(uuid4())
    request[CORRELATION_ID] = request.headers.get("MS-CorrelationId") or str(uuid4())
    response = await handler(request)
    for name, value in _headers(request):
        response.headers.setdefault(name, value)
    return response


def _headers(request: web.Request) -> Iterator[tuple[str, str]]:
    yield "MS-RequestId", request[REQUEST_ID]
    yield "MS-CorrelationId", request[CORRELATION_ID]
    yield "MS-CV", f"{secrets.token_urlsafe(12)}.0"
    yield "MS-ServerId", _SERVER_ID
    yield "Request-Context", f"appId=cid-v1:{_APP_ID}"
    yield "X-Locale", request.headers.get("X-Locale", "en-US")


def compliance_shown(choice: Choice, passed: Callable[[web.Request], bool]) -> Middleware:
    """Build the middleware that tells whether a call's token has MFA, to whoever asks by ``ValidateMfa``.

    No page shows where ``isMfaCompliant`` stands; in the body it can only stand in an object.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response, where = await handler(request), choice.options.mfa_compliance
        if request.headers.get("ValidateMfa", "").lower() != "true" or where == "absent":
            return response
        if where == "header":
            response.headers["isMfaCompliant"] = str(passed(request)).lower()
            return response
        return _with_member(response, passed(request))

    return middleware


def _with_member(response: web.StreamResponse, compliant: bool) -> web.StreamResponse:
    if isinstance(response, web.Response) and response.content_type == "application/json":
        response.body = answer({**json.loads(response.text or "{}"), "isMfaCompliant": compliant}).body
    return response
