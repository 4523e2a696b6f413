"""The agreements API as a web application: its calls, its ledger to look at, and what steers it."""

from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local import refusals, steering
from local.calls import Calls
from local.confirmations import Confirmations, answer
from local.faults import Faults
from local.ledger import Entry, Ledger
from local.stamps import REQUEST_ID, stamped


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer refusals, and what has no route."""
    try:
        return await handler(request)
    except refusals.RefusedError as refused:
        return answer(refused.body, status=refused.status)
    except web.HTTPException as unrouted:
        return web.Response(status=unrouted.status, text=unrouted.text)


def _counting_bodies(calls: Calls) -> Middleware:
    """Count what is posted before any fault meets it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST":
            calls.posted(request.path, await request.read(), request[REQUEST_ID])
        return await handler(request)

    return middleware


def _ledger_route(ledger: Iterable[Entry]) -> web.RouteDef:
    async def get_ledger(_: web.Request) -> web.Response:
        return web.json_response([_line(entry) for entry in ledger])

    return web.get(f"{steering.CONTROL}ledger", get_ledger)


def _line(entry: Entry) -> dict[str, object]:
    return {
        "customerTenantId": str(entry.customer),
        "userId": entry.user_id,
        **entry.agreement.document,
        "requestId": entry.request_id,
        "correlationId": entry.correlation_id,
        "recordedAt": entry.recorded_at.strftime("%FT%T.%fZ"),
    }


def application(confirmations: Confirmations, ledger: Ledger, faults: Faults) -> web.Application:
    """Build the web application: the API, and the routes under ``/_control/`` that steer it."""
    calls = Calls()
    app = web.Application(
        middlewares=[stamped, _counting_bodies(calls), steering.obeying(faults, calls), _refusing]
    )
    app.add_routes([*confirmations.routes(), *steering.routes(faults, calls), _ledger_route(ledger)])
    return app
