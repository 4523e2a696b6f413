"""Throttling by token bucket: how many calls are let through, and when the next one would be."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local.partner_center import refusals
from local.partner_center.options import Choice, Options

type Clock = Callable[[], float]


@dataclass(slots=True)
class Bucket:
    """A budget: full at first, refilled as time passes, up to ``burst``; below zero by refused calls."""

    tokens: float
    at: float

    def take(self, options: Options, rate: float, now: float, cost: float) -> float:
        """Take a call's cost if it is there; return 0 then, else the seconds until it is."""
        self.tokens = min(options.burst, self.tokens + (now - self.at) * rate)
        self.at = now
        # A call may never cost more than the fullest bucket holds, or it would be refused for good.
        cost = min(cost, options.burst)
        if self.tokens >= cost:
            self.tokens -= cost
            return 0.0
        if options.refused_calls == "count":
            self.tokens = max(self.tokens - cost, -options.burst)
        return (cost - self.tokens) / rate


class Throttle:
    """The budgets of this machine's one partner; what they allow is among the options."""

    def __init__(self, choice: Choice, clock: Clock = monotonic) -> None:
        self._choice, self._clock = choice, clock
        self._buckets: dict[str, Bucket] = {}

    def check(self, method: str, customer: str) -> None:
        """Let a call through.

        Raises:
            RefusedError: The budget does not allow it.
        """
        options = self._choice.options
        if options.calls_per_second is None:
            self._buckets.clear()
            return
        now, of = self._clock(), customer if options.budget == "customer" else ""
        bucket = self._buckets.setdefault(of, Bucket(options.burst, now))
        cost = options.write_cost if method == "POST" else 1.0
        if wait := bucket.take(options, options.calls_per_second, now, cost):
            told = options.retry_after_seconds
            raise refusals.throttled(max(1, math.ceil(wait)) if told is None else told)


def throttling(throttle: Throttle) -> Middleware:
    """Build the middleware; it stands before the API as a gateway does, and asks for no token."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            throttle.check(request.method, request.match_info.get("customer", "").lower())
        return await handler(request)

    return middleware
