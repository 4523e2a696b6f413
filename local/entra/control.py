"""Steering this directory: which errors it answers with, who signs in and how, and how fast time passes."""

import json
from collections import Counter
from typing import Self

from aiohttp import web
from cryptography.x509 import load_pem_x509_certificate
from pydantic import Field, ValidationError, model_validator

from local import steering
from local.entra import denials
from local.entra.denials import DENIALS, DeniedError
from local.entra.directory import Conditions, Directory
from local.faults import Rule, described


class SignInRule(Rule):
    """A fault of the directory; with ``aadsts`` it denies token requests by that number, as Entra says it."""

    aadsts: int | None = Field(default=None)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.aadsts is not None and self.aadsts not in DENIALS:
            known = ", ".join(map(str, DENIALS))
            raise ValueError(f"'aadsts' is none of {known}")
        if self.aadsts is not None and (self.status or self.drop):
            raise ValueError("'aadsts' is an answer, so 'status' and 'drop' have no place beside it")
        return self

    def meets(self, method: str, path: str) -> bool:
        """Tell whether this rule is about such a call: a denial is about token requests only."""
        return super().meets(method, path) and (self.aadsts is None or path.endswith("/oauth2/v2.0/token"))


def answer(rule: Rule) -> web.Response | None:
    """Answer as a rule says; nothing when it lets the call through."""
    if isinstance(rule, SignInRule) and rule.aadsts is not None:
        return denials.response(DeniedError(rule.aadsts))
    return steering.answer(rule)


def routes(directory: Directory, exchanges: Counter[tuple[str, str]]) -> list[web.RouteDef]:
    """Build the control routes that this directory has beside those of every part."""

    async def patch_directory(request: web.Request) -> web.Response:
        now = directory.conditions.model_dump(by_alias=True)
        try:
            directory.conditions = Conditions.model_validate_json(
                json.dumps({**now, **json.loads(await request.read())})
            )
        except ValidationError as error:
            return web.json_response({"error": described(error)}, status=400)
        except (ValueError, TypeError):
            return web.json_response({"error": "not a JSON object"}, status=400)
        return await get_directory(request)

    async def get_directory(_: web.Request) -> web.Response:
        return web.json_response(directory.conditions.model_dump(by_alias=True))

    async def get_exchanges(_: web.Request) -> web.Response:
        return web.json_response(
            [{"grant": grant, "result": result, "count": n} for (grant, result), n in exchanges.items()]
        )

    async def post_refresh_token(_: web.Request) -> web.Response:
        return web.json_response({"refreshToken": directory.refresh_token(directory.sign_in())}, status=201)

    async def delete_refresh_tokens(_: web.Request) -> web.Response:
        directory.revoke()
        return web.Response(status=204)

    async def post_certificate(request: web.Request) -> web.Response:
        try:
            directory.certificates.append(load_pem_x509_certificate(await request.read()))
        except ValueError:
            return web.json_response({"error": "not a certificate in PEM"}, status=400)
        return web.Response(status=204)

    return [
        web.get(f"{steering.CONTROL}directory", get_directory),
        web.patch(f"{steering.CONTROL}directory", patch_directory),
        web.get(f"{steering.CONTROL}exchanges", get_exchanges),
        web.post(f"{steering.CONTROL}refresh-tokens", post_refresh_token),
        web.delete(f"{steering.CONTROL}refresh-tokens", delete_refresh_tokens),
        web.post(f"{steering.CONTROL}certificates", post_certificate),
    ]
