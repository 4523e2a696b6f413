"""Partner Center as a web application: its calls, its ledger to look at, and what steers it."""

from collections.abc import Iterable
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local import steering
from local.calls import Calls
from local.faults import Faults
from local.partner_center import options, page
from local.partner_center.admission import Admission
from local.partner_center.answers import refusal
from local.partner_center.ledger import Entry, Ledger
from local.partner_center.options import Choice
from local.partner_center.recent import Recent, keeping
from local.partner_center.refusals import RefusedError
from local.partner_center.stamps import REQUEST_ID, compliance_shown, stamped
from local.partner_center.throttle import Throttle, throttling

_PAGE = "/"
# It shows what callers sent, so a browser is told to run and load nothing.
_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer refusals, and what has no route."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return refusal(refused)
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


def _ledger_routes(ledger: Ledger, recent: Recent, choice: Choice) -> list[web.RouteDef]:
    async def get_ledger(_: web.Request) -> web.Response:
        return web.json_response([_line(entry) for entry in ledger])

    async def get_page(_: web.Request) -> web.Response:
        text = page.page(ledger.last(page.SHOWN), len(ledger), recent, choice.options)
        return web.Response(text=text, content_type="text/html", headers=_PAGE_HEADERS)

    return [web.get(f"{steering.CONTROL}ledger", get_ledger), web.get(_PAGE, get_page)]


def _line(entry: Entry) -> dict[str, object]:
    return {
        "customerTenantId": str(entry.customer),
        "userId": entry.user_id,
        **entry.agreement.document,
        "requestId": entry.request_id,
        "correlationId": entry.correlation_id,
        "recordedAt": entry.recorded_at.strftime("%FT%T.%fZ"),
    }


def application(
    routes: Iterable[web.RouteDef],
    admission: Admission,
    ledger: Ledger,
    choice: Choice,
    faults: Faults,
) -> web.Application:
    """Build the web application: the API, the page at ``/``, and the routes that steer it.

    Args:
        routes: Those of the API.
        admission: Tells what a token shows.
        ledger: What is on record.
        choice: The options in force.
        faults: Those in force.
    """
    calls, recent = Calls(), Recent()
    app = web.Application(
        middlewares=[
            stamped,
            keeping(recent),
            _counting_bodies(calls),
            steering.obeying(faults, calls, spared=(_PAGE,)),
            compliance_shown(choice, partial(_passed_mfa, admission)),
            _refusing,
            throttling(Throttle(choice)),
        ]
    )
    app.add_routes([*routes, *_ledger_routes(ledger, recent, choice)])
    app.add_routes([*steering.routes(faults, calls), *options.routes(choice)])
    return app


def _passed_mfa(admission: Admission, request: web.Request) -> bool:
    issued = admission.token(request)
    return issued is not None and issued.mfa
