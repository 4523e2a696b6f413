"""The managed identity endpoint of App Service, by which an app gets tokens without any secret of its own.

Plain http on the loopback, as the real one is; azure-identity finds it by ``IDENTITY_ENDPOINT`` and
``IDENTITY_HEADER``. One user-assigned identity exists, and it must be named: so it is in Azure, too, for an
app that has no system-assigned one.
"""

import secrets

from aiohttp import web

from local import steering
from local.calls import Calls
from local.entra import EXCHANGE_AUDIENCE, Issuing
from local.faults import Faults

VAULT_AUDIENCE = "https://vault.azure.net"
PATH = "/msi/token"
_RESOURCES = (EXCHANGE_AUDIENCE, VAULT_AUDIENCE)
_API_VERSION = "2019-08-01"
_NO_IDENTITY = "No user-assigned managed identity was found for the given client id."


def application(issuing: Issuing, header: str, faults: Faults) -> web.Application:
    """Build the application: the endpoint for who shows ``header``, and the routes under ``/_control/``."""
    registration, calls = issuing.directory.registration, Calls()

    async def token(request: web.Request) -> web.Response:
        if not secrets.compare_digest(request.headers.get("X-IDENTITY-HEADER", "").encode(), header.encode()):
            return _refusal(401, "The header X-IDENTITY-HEADER is missing or wrong.")
        if request.query.get("api-version") != _API_VERSION:
            return _refusal(400, f"The only api-version is {_API_VERSION}.")
        if request.query.get("client_id") != registration.identity_client_id:
            return _refusal(400, _NO_IDENTITY)
        if (resource := request.query.get("resource")) not in _RESOURCES:
            return _refusal(400, f"The resource is none of {', '.join(_RESOURCES)}.")
        access_token, expires = issuing.identity_token(str(resource))
        return web.json_response(
            {
                "access_token": access_token,
                "expires_on": str(expires),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": registration.identity_client_id,
            }
        )

    app = web.Application(middlewares=[steering.obeying(faults, calls)])
    app.add_routes([web.get(PATH, token), *steering.routes(faults, calls)])
    return app


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status)
