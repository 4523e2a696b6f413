"""The control routes of the Partner Center stand-in, and the middleware that obeys them."""

import asyncio
import json
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local import faults as rules
from local.calls import Calls
from local.faults import Faults, Rule
from local.ledger import Entry

_CONTROL = "/_control/"
REQUEST_ID = web.RequestKey("request_id", str)
CORRELATION_ID = web.RequestKey("correlation_id", str)


def routes(faults: Faults, ledger: Iterable[Entry], calls: Calls) -> list[web.RouteDef]:
    """Build the control routes; they need no token and meet no fault."""

    async def put_faults(request: web.Request) -> web.Response:
        try:
            faults.replace(rules.read(await request.read()))
        except rules.InvalidRulesError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    async def delete_faults(_: web.Request) -> web.Response:
        faults.replace([])
        return web.Response(status=204)

    async def get_ledger(_: web.Request) -> web.Response:
        return web.json_response([_line(entry) for entry in ledger])

    async def get_calls(_: web.Request) -> web.Response:
        return web.json_response(calls.document)

    return [
        web.put(f"{_CONTROL}faults", put_faults),
        web.delete(f"{_CONTROL}faults", delete_faults),
        web.get(f"{_CONTROL}ledger", get_ledger),
        web.get(f"{_CONTROL}calls", get_calls),
    ]


def _line(entry: Entry) -> dict[str, object]:
    return {
        "customerTenantId": str(entry.customer),
        "userId": entry.user_id,
        **entry.agreement.document,
        "requestId": entry.request_id,
        "correlationId": entry.correlation_id,
        "recordedAt": entry.recorded_at.strftime("%FT%T.%fZ"),
    }


def obeying(faults: Faults, calls: Calls) -> Middleware:
    """Build the middleware that counts every call of the API and lets the faults at it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_CONTROL):
            return await handler(request)
        if request.method == "POST":
            calls.posted(request.path, await request.read(), request[REQUEST_ID])
        rule = faults.use(request.method, request.path) or Rule()
        response = await _disturbed(request, handler, rule)
        calls.answered(request.method, _route(request), None if rule.drop else response.status)
        return response

    return middleware


async def _disturbed(request: web.Request, handler: Handler, rule: Rule) -> web.StreamResponse:
    await asyncio.sleep(rule.delay_seconds)
    if rule.status:
        return _answer(rule, rule.status)
    response = web.Response() if rule.drop == "before" else await handler(request)
    if rule.drop and request.transport:
        request.transport.abort()
    return response


def _answer(rule: Rule, status: int) -> web.Response:
    if isinstance(rule.body, str):
        return web.Response(status=status, text=rule.body, headers=rule.headers)
    headers = {"Content-Type": "application/json", **rule.headers}
    return web.Response(status=status, body=json.dumps(rule.body).encode(), headers=headers)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
