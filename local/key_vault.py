"""A stand-in for Azure Key Vault's secrets, which azure-keyvault-secrets' ``SecretClient`` accepts unchanged.

The client wants the resource that the vault's challenge names to be the parent of the vault's own domain,
as ``https://vault.azure.net`` is of ``NAME.vault.azure.net``: that keeps a false vault from asking for a
token of another service. ``localhost`` has no such parent. So an app that is to reach this one passes
``verify_challenge_resource=False`` if the vault's host is ``localhost`` or ``127.0.0.1``, and for no other
host: the token then cannot leave the machine, and every real vault, in whatever cloud, stays verified.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlencode

import jwt
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel, ValidationError

from local import steering
from local.calls import Calls
from local.entra import SigningKey
from local.faults import Faults
from local.managed_identity import VAULT_AUDIENCE
from local.secret_versions import NewVersion, RefusedError, Secrets, Update, Version

_API_VERSION = re.compile(r"(7\.\d|20\d\d-\d\d-\d\d)(-preview(\.\d)?)?")
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_PAGE = 25


def application(secrets: Secrets, key: SigningKey, tenant_id: str, faults: Faults) -> web.Application:
    """Build a vault that trusts the tokens of ``key``, with the routes under ``/_control/``."""
    calls = Calls()
    app = web.Application(middlewares=[steering.obeying(faults, calls), _refusing, _guarding(key, tenant_id)])
    app.add_routes([*_routes(secrets), *steering.routes(faults, calls)])
    return app


def _guarding(key: SigningKey, tenant_id: str) -> Middleware:
    """Let nobody in without a token for vaults; tell who has none where to get it."""
    challenge = (
        f'Bearer authorization="https://login.microsoftonline.com/{tenant_id}", resource="{VAULT_AUDIENCE}"'
    )

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(steering.CONTROL):
            return await handler(request)
        if (reason := _untrusted(key, request)) is not None:
            response = _answer_refused(RefusedError(401, "Unauthorized", reason))
            response.headers["WWW-Authenticate"] = challenge
            return response
        if not _API_VERSION.fullmatch(request.query.get("api-version", "")):
            raise RefusedError(400, "BadParameter", "The query must name an api-version that exists.")
        return await handler(request)

    return middleware


def _untrusted(key: SigningKey, request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return "AKV10000: Request is missing a Bearer or PoP token."
    try:
        key.check(token, VAULT_AUDIENCE)
    except jwt.InvalidAudienceError:
        return f"AKV10022: Invalid audience. Expected {VAULT_AUDIENCE}."
    except jwt.InvalidTokenError:
        return "AKV10032: The token is not valid: it has expired, or is not this tenant's."
    return None


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refused:
        return _answer_refused(refused)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, fault["loc"])) or "body" for fault in error.errors())
        return _answer_refused(RefusedError(400, "BadParameter", f"Not as it should be: {places}."))
    except web.HTTPException as unrouted:
        return _answer_refused(RefusedError(unrouted.status, "BadParameter", unrouted.reason))


def _answer_refused(refused: RefusedError) -> web.Response:
    error: dict[str, object] = {"code": refused.code, "message": refused.message}
    if refused.inner:
        error["innererror"] = {"code": refused.inner}
    return web.json_response({"error": error}, status=refused.status)


def _routes(secrets: Secrets) -> list[web.RouteDef]:
    async def put(request: web.Request) -> web.Response:
        return _shown(request, secrets.set(_name(request), await _read(request, NewVersion)))

    async def get(request: web.Request) -> web.Response:
        return _shown(request, secrets.get(_name(request), _version(request)))

    async def patch(request: web.Request) -> web.Response:
        update = await _read(request, Update)
        return web.json_response(
            secrets.update(_name(request), _version(request), update).item(_base(request))
        )

    async def versions(request: web.Request) -> web.Response:
        return web.json_response(_page(request, secrets.versions(_name(request))))

    one = "/secrets/{name}/{version:[^/]*}"
    return [
        web.put("/secrets/{name}", put),
        web.get("/secrets/{name}/versions", versions),
        *(web.get(path, get) for path in ("/secrets/{name}", one)),
        *(web.patch(path, patch) for path in ("/secrets/{name}", one)),
    ]


async def _read[M: BaseModel](request: web.Request, model: type[M]) -> M:
    return model.model_validate_json(await request.read())


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if not _NAME.fullmatch(name):
        raise RefusedError(400, "BadParameter", "A secret's name has only letters, digits and dashes.")
    return name


def _version(request: web.Request) -> str:
    return request.match_info.get("version", "")


def _base(request: web.Request) -> str:
    return f"https://{request.host}"


def _shown(request: web.Request, version: Version) -> web.Response:
    return web.json_response(version.document(_base(request)))


def _page(request: web.Request, versions: list[Version]) -> Mapping[str, object]:
    """Return one page; whoever wants them all follows ``nextLink``."""
    size = _number(request, "maxresults", _PAGE)
    if not 0 < size <= _PAGE:
        raise RefusedError(400, "BadParameter", f"maxresults must be from 1 to {_PAGE}.")
    start = _number(request, "$skiptoken", 0)
    query = {**request.query, "$skiptoken": start + size}
    following = f"{_base(request)}{request.path}?{urlencode(query)}" if start + size < len(versions) else None
    return {
        "value": [one.item(_base(request)) for one in versions[start : start + size]],
        "nextLink": following,
    }


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise RefusedError(400, "BadParameter", f"{name} must be a number.")
    return int(text)
