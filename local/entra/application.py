"""The web application: what MSAL asks for, and the routes that steer it."""

import json
from collections import Counter

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local import steering
from local.calls import Calls
from local.entra import authorize, control, denials
from local.entra.denials import DeniedError
from local.entra.grants import Grants
from local.faults import Faults

type Exchanges = Counter[tuple[str, str]]

_TOKEN = "/{tenant}/oauth2/v2.0/token"  # noqa: S105 - a path


def application(grants: Grants, faults: Faults) -> web.Application:
    """Build the application: the tenant's endpoints, and the routes under ``/_control/``."""
    calls, exchanges = Calls(), Counter[tuple[str, str]]()
    endpoints = _Endpoints(grants)
    steered = steering.obeying(faults, calls, answer=control.answer)
    app = web.Application(middlewares=[_counting(exchanges), steered, _answer_denied])
    app.add_routes(
        [
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", endpoints.configuration),
            web.get("/{tenant}/discovery/v2.0/keys", endpoints.keys),
            web.get("/{tenant}/oauth2/v2.0/authorize", endpoints.authorize),
            web.post(_TOKEN, endpoints.token),
            *steering.routes(faults, calls, rules=control.SignInRule),
            *control.routes(grants.directory, exchanges),
        ]
    )
    return app


class _Endpoints:
    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def _authority(self, request: web.Request) -> str:
        tenant = request.match_info["tenant"]
        self._grants.directory.check_tenant(tenant)
        return f"https://{request.host}/{tenant}"

    async def configuration(self, request: web.Request) -> web.Response:
        authority = self._authority(request)
        return web.json_response(
            {
                "issuer": f"{authority}/v2.0",
                "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
                "token_endpoint": f"{authority}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{authority}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{authority}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_modes_supported": ["query", "form_post"],
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["pairwise"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
            }
        )

    async def keys(self, request: web.Request) -> web.Response:
        self._authority(request)
        return web.json_response(self._grants.key.document)

    async def authorize(self, request: web.Request) -> web.Response:
        self._authority(request)
        return authorize.page(self._grants.directory, request.query)

    async def token(self, request: web.Request) -> web.Response:
        authority = self._authority(request)
        return web.json_response(self._grants.exchange(authority, await request.post()))


@web.middleware
async def _answer_denied(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except DeniedError as denied:
        return denials.response(denied)


def _counting(exchanges: Exchanges) -> Middleware:
    """Count the token requests by grant and by what came of each; no token is kept."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is None or resource.canonical != _TOKEN:
            return await handler(request)
        grant = str((await request.post()).get("grant_type"))
        response = await handler(request)
        exchanges[grant, _result(request, response)] += 1
        return response

    return middleware


def _result(request: web.Request, response: web.StreamResponse) -> str:
    if request.transport is None or request.transport.is_closing():
        return "cut"
    assert isinstance(response, web.Response)
    try:
        number = json.loads(response.text or "")["error_codes"][0]
    except (ValueError, LookupError, TypeError):
        return "issued" if response.status == web.HTTPOk.status_code else f"HTTP {response.status}"
    return f"AADSTS{number}"
