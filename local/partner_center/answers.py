"""How Partner Center writes an answer."""

import json
from collections.abc import Mapping

from aiohttp import web

from local.partner_center.refusals import RefusedError


def answer(document: Mapping[str, object], *, status: int = 200) -> web.Response:
    """Answer with JSON as a recorded session shows it: indented by two, CRLF, and no word of its charset."""
    text = json.dumps(document, ensure_ascii=False, indent=2).replace("\n", "\r\n")
    return web.Response(status=status, body=text.encode(), content_type="application/json")


def refusal(refused: RefusedError) -> web.Response:
    """Answer with an error: in JSON, in plain text, or with an empty body."""
    response = answer(refused.body, status=refused.status) if refused.text is None else _plain(refused)
    response.headers.update(refused.headers)
    return response


def _plain(refused: RefusedError) -> web.Response:
    if not refused.text:
        return web.Response(status=refused.status, reason=refused.reason)
    return web.Response(status=refused.status, text=refused.text)
