"""Partner Center on one machine: the agreements API with its token endpoint, its ledger, and its faults."""

import argparse
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from local import entra, parts, refusals, steering, tls
from local.calls import Calls
from local.confirmations import Confirmations, Replay, answer
from local.entra import Registration, Tokens
from local.faults import Faults
from local.ledger import Ledger
from local.steering import CORRELATION_ID, REQUEST_ID, obeying

_PORT, _ENTRA_PORT = 8443, 8444
_SERVER_ID, _APP_ID = secrets.token_hex(4), uuid4()
_DESCRIPTION = """\
Partner Center's agreements API and the token endpoint it believes, both over https on this machine.
Once they answer, one line of JSON tells the environment variables that lead a client to them.
Every customer is known, except ids that begin with 00000000- (unknown) and ffffffff- (another partner's).
"""
_EPILOG = """\
Steering, without a token, under the API's own URL:
  PUT    /_control/faults   a JSON list of rules, tried in order; a call uses up the first that it meets
  DELETE /_control/faults   no more faults
  GET    /_control/ledger   every recorded agreement, in order
  GET    /_control/calls    how often each route gave each status; the request ids each POST body came with

A rule, every key optional:
  method, pathContains      which calls it meets (any)
  times                     how many of them; null means no end (1)
  probability               the share of them, from 0 to 1 (1)
  delaySeconds              wait first (0)
  status, headers, body     the answer in place of the API's (none: the call goes through)
  drop                      "before": cut the connection; "after": do the work, then cut it

Throttle two POSTs, then record one and cut the line:
  curl --cacert "$REQUESTS_CA_BUNDLE" -X PUT "$PARTNER_CENTER_URL/_control/faults" -d '[
    {"method": "POST", "times": 2, "status": 429, "headers": {"Retry-After": "3"}},
    {"method": "POST", "drop": "after"}]'
"""


@web.middleware
async def _stamped(request: web.Request, handler: Handler) -> web.StreamResponse:
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


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer refusals, and what has no route."""
    try:
        return await handler(request)
    except refusals.RefusedError as refused:
        return answer(refused.body, status=refused.status)
    except web.HTTPException as unrouted:
        return web.Response(status=unrouted.status, text=unrouted.text)


def application(confirmations: Confirmations, ledger: Ledger, faults: Faults) -> web.Application:
    """Build the web application: the API, and the routes under ``/_control/`` that steer it."""
    calls = Calls()
    app = web.Application(middlewares=[_stamped, obeying(faults, calls), _refusing])
    app.add_routes([*confirmations.routes(), *steering.routes(faults, ledger, calls)])
    return app


@asynccontextmanager
async def serve(
    *,
    port: int = 0,
    entra_port: int = 0,
    seed: int | None = None,
    certificates: Path | None = None,
    replay: Replay = "refuse",
) -> AsyncIterator[Mapping[str, str]]:
    """Serve the API and its token endpoint over https; yield the environment that leads a client to them.

    Args:
        port: the API's port; 0 takes a free one.
        entra_port: the token endpoint's port; 0 takes a free one.
        seed: makes the chance of faults repeatable.
        certificates: where the certificates are kept and found again; a temporary folder when absent.
        replay: what a repeated MS-RequestId gets, as ``Confirmations`` tells.

    Raises:
        OSError: ``EADDRINUSE`` when a port is taken.
    """
    tokens, ledger = Tokens(Registration()), Ledger()
    api = application(Confirmations(tokens, ledger, replay=replay), ledger, Faults(seed))
    async with AsyncExitStack() as stack:
        folder = certificates or Path(stack.enter_context(TemporaryDirectory()))
        identity = tls.identity(folder)
        listening = partial(tls.listening, context=identity.context)
        authority = await stack.enter_async_context(listening(entra.application(tokens), port=entra_port))
        url = await stack.enter_async_context(listening(api, port=port))
        yield _environment(url, authority, tokens.registration, identity.bundle)


def _environment(url: str, authority: str, registration: Registration, bundle: Path) -> dict[str, str]:
    return {
        "PARTNER_CENTER_URL": url,
        "PARTNER_AUTHORITY_URL": authority,
        "PARTNER_TENANT_ID": registration.tenant_id,
        "PARTNER_CLIENT_ID": registration.client_id,
        "PARTNER_CLIENT_SECRET": registration.client_secret,
        "PARTNER_REFRESH_TOKEN": registration.refresh_token,
        "REQUESTS_CA_BUNDLE": str(bundle),
    }


def main(arguments: list[str] | None = None) -> int:
    """Serve from the command line until told to stop; return the exit code."""
    options = _parser().parse_args(arguments)
    serving = serve(
        port=options.port,
        entra_port=options.entra_port,
        seed=options.seed,
        certificates=options.certificates,
        replay=options.replay,
    )
    return parts.run(serving, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.partner_center",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG,
    )
    parts.add_options(parser, port=_PORT)
    parser.add_argument(
        "--entra-port",
        type=int,
        default=_ENTRA_PORT,
        help=f"the token endpoint's port; 0 takes a free one (default {_ENTRA_PORT})",
    )
    parser.add_argument("--seed", type=int, help="make the chance of faults repeatable")
    parser.add_argument(
        "--certificates",
        type=Path,
        metavar="DIR",
        help="keep the certificates here and use them again (default: a folder that is removed at the end)",
    )
    parser.add_argument(
        "--replay",
        choices=["refuse", "repeat"],
        default="refuse",
        help="what a POST gets that repeats the MS-RequestId of a recorded one: 600061 like any other"
        " duplicate, or the first answer again (default refuse; no page tells what the real one does)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
