"""Calls of Partner Center that are held up, so that something else can happen meanwhile."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from local import partner_center
from local.partner_center import api
from local.parts import in_thread

_SECONDS = 20.0


@dataclass(eq=False)
class Hold:
    """Holds up some calls of the API: before they are looked at, or with their answers when they are done."""

    method: str
    part: str
    calls: int
    done: bool
    released: threading.Event = field(default_factory=threading.Event)
    _arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self) -> None:
        """Wait until as many calls as are to be held are held up."""
        for _ in range(self.calls):
            assert self._arrived.acquire(timeout=_SECONDS), f"no {self.method} came"

    async def pass_through(self, call: Callable[[], Any]) -> web.StreamResponse:
        """Make a call, held up before or after."""
        response = await call() if self.done else None
        self._arrived.release()
        await asyncio.to_thread(self.released.wait, _SECONDS)
        return cast("web.StreamResponse", await call() if response is None else response)


class Holds:
    """The holds in force; a call is held by the first that it meets and that is not used up."""

    def __init__(self) -> None:
        self._left: dict[Hold, int] = {}

    @contextmanager
    def call(self, method: str, part: str, *, calls: int = 1, done: bool = False) -> Iterator[Hold]:
        """Hold up the next calls with such a path; leaving lets them go."""
        hold = Hold(method, part, calls, done)
        self._left[hold] = calls
        try:
            yield hold
        finally:
            del self._left[hold]
            hold.released.set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Sit next to the API, behind the faults."""
        for hold, left in list(self._left.items()):
            if left and hold.method == request.method and hold.part in request.path:
                self._left[hold] -= 1
                return await hold.pass_through(lambda: handler(request))
        return await handler(request)

    @contextmanager
    def partner_center(self) -> Iterator[Mapping[str, str]]:
        """Serve Partner Center, held up by these holds, while the block runs; yield what leads to it."""
        application = api.application

        def held_up(*given: Any) -> web.Application:
            app = application(*given)
            app.middlewares.append(self.middleware)
            return app

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api, "application", held_up)
            with in_thread(partner_center.serve) as environment:
                yield environment
