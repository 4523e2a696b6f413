"""A Partner Center that allows so many calls a minute, at the far end of the real client's session."""

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol

import requests

TYPE = "MicrosoftCustomerAgreement"
TEMPLATES = {"items": [{"templateId": "117a77b0-9360-443b-8795-c6dedc750cf9", "agreementType": TYPE}]}
EXISTS = {"code": 600061, "errorName": "PartnerConfirmedAgreementAlreadyExists", "isRetryable": False}
THROTTLED = {"statusCode": 429, "message": "Rate limit is exceeded."}


class Limit(Protocol):
    """How many calls are allowed."""

    @property
    def per_minute(self) -> float: ...

    def refused_for(self, now: float) -> float:
        """Take a call; return 0 if it is allowed, else the seconds until one is again."""


@dataclass(slots=True)
class Bucket:
    """So many a minute, in bursts of so many: a token bucket."""

    per_minute: float
    burst: float
    _tokens: float = math.inf
    _at: float = 0.0

    def refused_for(self, now: float) -> float:
        """Take a token, if there is one."""
        a_second = self.per_minute / 60
        self._tokens = min(self.burst, self._tokens + (now - self._at) * a_second)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / a_second
        self._tokens -= 1
        return 0.0


@dataclass(slots=True)
class AtRandom:
    """Any number, but some of them refused for reasons that nobody knows: for a second each time."""

    share: float
    seed: int = 1
    per_minute: float = math.inf
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable, and nothing is kept secret by it

    def refused_for(self, now: float) -> float:
        """Refuse one call or another."""
        return 1.0 if self._random.random() < self.share else 0.0


@dataclass(slots=True)
class Window:
    """So many in each minute, however they come."""

    per_minute: float
    _taken: Counter[int] = field(default_factory=Counter)

    def refused_for(self, now: float) -> float:
        """Count a call in its minute."""
        minute = int(now // 60)
        self._taken[minute] += 1
        return 0.0 if self._taken[minute] <= self.per_minute else 60 - now % 60


class _Raw(BytesIO):
    def read1(self, size: int | None = -1, /, *, decode_content: bool = False) -> bytes:
        return super().read1(size)


@dataclass(slots=True)
class Service:
    """Answers calls and keeps the ledger; each call takes ``latency`` seconds."""

    limit: Limit
    latency: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    ledger: dict[str, dict[str, object]] = field(default_factory=dict)
    calls: int = 0
    refused: int = 0
    confirmed_twice: int = 0

    def send(self, adapter: object, request: requests.PreparedRequest, **_: object) -> requests.Response:
        """Take the place of ``requests.adapters.HTTPAdapter.send``."""
        self.sleep(self.latency / 2)
        status, headers, said = self._answer(request)
        self.sleep(self.latency / 2)
        response = requests.Response()
        response.status_code, response.request, response.url = status, request, str(request.url)
        response.headers.update(headers)
        response.raw = _Raw(json.dumps(said).encode())
        return response

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, Mapping[str, str], object]:
        self.calls += 1
        if seconds := self.limit.refused_for(self.clock()):
            self.refused += 1
            return 429, {"Retry-After": str(math.ceil(seconds))}, THROTTLED
        path = (request.path_url).partition("?")[0].split("/")
        if len(path) < 5:
            return 200, {}, TEMPLATES
        return self._write(path[3], str(request.body)) if request.method == "POST" else self._read(path[3])

    def _read(self, customer: str) -> tuple[int, Mapping[str, str], object]:
        return 200, {}, {"items": [self.ledger[customer]] if customer in self.ledger else []}

    def _write(self, customer: str, body: str) -> tuple[int, Mapping[str, str], object]:
        if customer in self.ledger:
            self.confirmed_twice += 1
            return 400, {}, EXISTS
        self.ledger[customer] = json.loads(body)
        return 201, {}, self.ledger[customer]
