"""The page where a person signs in; here it asks nothing, and sends the browser back at once."""

import html
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from local.entra.denials import DeniedError
from local.entra.directory import Directory, Request

_DENIED = {"access_denied": 65004, "consent_required": 65001, "interaction_required": 50076}


def page(directory: Directory, asked: Mapping[str, str]) -> web.Response:
    """Answer an authorization request: back to the app with a code, or with the error that is in force.

    Raises:
        DeniedError: the app or its redirect URI is not registered; a browser then stays here.
    """
    if asked.get("client_id") != directory.registration.client_id:
        raise DeniedError(700016)
    redirect_uri = asked.get("redirect_uri", "")
    # Any port and path of the loopback is registered: Entra, too, ignores the port of localhost.
    if urlsplit(redirect_uri).hostname not in ("localhost", "127.0.0.1"):
        raise DeniedError(50011)
    answer = _answer(directory, asked, redirect_uri)
    if "state" in asked:
        answer["state"] = asked["state"]
    return _back(redirect_uri, answer, by_form=asked.get("response_mode") == "form_post")


def _answer(directory: Directory, asked: Mapping[str, str], redirect_uri: str) -> dict[str, str]:
    if error := directory.conditions.denied:
        denied = DeniedError(_DENIED[error]) if error in _DENIED else None
        return {"error": error, "error_description": str(denied or "Signing in failed for the moment.")}
    if asked.get("response_type") != "code":
        return {"error": "unsupported_response_type", "error_description": "Only code is supported."}
    if asked.get("code_challenge_method", "S256") != "S256":
        return {"error": "invalid_request", "error_description": "Only S256 is supported."}
    request = Request(
        redirect_uri=redirect_uri,
        challenge=asked.get("code_challenge"),
        nonce=asked.get("nonce"),
        scopes=tuple(asked.get("scope", "").split()),
    )
    return {"code": directory.code(request)}


def _back(redirect_uri: str, answer: Mapping[str, str], *, by_form: bool) -> web.Response:
    if not by_form:
        # Not by an exception of aiohttp, which would show the code in a log of it.
        location = f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(answer)}"
        return web.Response(status=302, headers={"Location": location})
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in answer.items()
    )
    form = (
        f'<form method="post" action="{html.escape(redirect_uri)}">{fields}<button>Continue</button></form>'
    )
    text = f"<!doctype html><title>Signing in</title>{form}<script>document.forms[0].submit()</script>"
    return web.Response(text=text, content_type="text/html")
