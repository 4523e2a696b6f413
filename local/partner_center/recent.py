"""The last calls, one by one, for a person to look at."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local.partner_center.stamps import CORRELATION_ID, REQUEST_ID

_KEPT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; a status of None means that it got no answer."""

    at: datetime
    method: str
    path: str
    status: int | None
    milliseconds: float
    request_id: str
    correlation_id: str


class Recent:
    """The last calls, newest first; so many are kept."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._calls: deque[Call] = deque(maxlen=kept)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def add(self, call: Call) -> None:
        """Keep one, and let the oldest go if there are too many."""
        self._calls.appendleft(call)


def keeping(recent: Recent) -> Middleware:
    """Build the middleware that keeps each call of the API, once it has been answered or cut off."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            return await handler(request)
        at, began, status = datetime.now(UTC), perf_counter(), None
        try:
            response = await handler(request)
            cut = request.transport is None or request.transport.is_closing()
            status = None if cut else response.status
        finally:
            recent.add(
                Call(
                    at=at,
                    method=request.method,
                    path=request.path_qs,
                    status=status,
                    milliseconds=(perf_counter() - began) * 1000,
                    request_id=request[REQUEST_ID],
                    correlation_id=request[CORRELATION_ID],
                )
            )
        return response

    return middleware
