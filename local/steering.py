"""The control routes that every https part has, and the middleware that obeys them."""

import asyncio
import json
from collections.abc import Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local.calls import Calls
from local.faults import Faults, InvalidRulesError, Rule, read

CONTROL = "/_control/"


def routes(faults: Faults, calls: Calls, *, rules: type[Rule] = Rule) -> list[web.RouteDef]:
    """Build the control routes; they need no token and meet no fault."""

    async def put_faults(request: web.Request) -> web.Response:
        try:
            faults.replace(read(await request.read(), rules))
        except InvalidRulesError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    async def delete_faults(_: web.Request) -> web.Response:
        faults.replace([])
        return web.Response(status=204)

    async def get_calls(_: web.Request) -> web.Response:
        return web.json_response(calls.document)

    return [
        web.put(f"{CONTROL}faults", put_faults),
        web.delete(f"{CONTROL}faults", delete_faults),
        web.get(f"{CONTROL}calls", get_calls),
    ]


def answer(rule: Rule) -> web.Response | None:
    """Answer as a rule says; nothing when it lets the call through."""
    if rule.status is None:
        return None
    if isinstance(rule.body, str):
        return web.Response(status=rule.status, text=rule.body, headers=rule.headers)
    headers = {"Content-Type": "application/json", **rule.headers}
    return web.Response(status=rule.status, body=json.dumps(rule.body).encode(), headers=headers)


def obeying(
    faults: Faults,
    calls: Calls,
    *,
    answer: Callable[[Rule], web.Response | None] = answer,
    spared: Collection[str] = (),
) -> Middleware:
    """Build the middleware that counts every call and lets the faults at it, but for the ``spared`` paths."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL) or request.path in spared:
            return await handler(request)
        rule = faults.use(request.method, request.path) or Rule()
        await asyncio.sleep(rule.delay_seconds)
        response: web.StreamResponse | None = answer(rule)
        if response is None:
            response = await _done(request, handler, rule)
        calls.answered(request.method, _route(request), None if rule.drop else response.status)
        return response

    return middleware


async def _done(request: web.Request, handler: Handler, rule: Rule) -> web.StreamResponse:
    """Let the call through as far as the rule has it."""
    response = web.Response() if rule.drop == "before" else await handler(request)
    await asyncio.sleep(rule.answer_delay_seconds)
    if rule.drop and request.transport:
        request.transport.abort()
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
