"""Who may do what: shared access signatures checked by key, resource and expiry, and what they allow.

(Azure, service-bus-sas and service-bus-amqp-protocol-guide, claims-based security.)
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from math import inf
from typing import NamedTuple
from urllib.parse import unquote_plus

import jwt

from local.service_bus.errors import Condition, Refusal
from local.service_bus.namespace import path_of

# Those of Microsoft's emulator.
POLICY, KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"
_SCHEME = "SharedAccessSignature "
_AUDIENCE = "https://servicebus.azure.net"
_SECONDS = re.compile("[0-9]{1,12}")
_PORT = re.compile(":[0-9]*$")


class Grant(NamedTuple):
    """What a token allows: everything at and below a path, until an instant in seconds since 1970 UTC."""

    path: str
    until: float


@dataclass(frozen=True, slots=True)
class Authority:
    """Checks what clients show to be let in.

    Attributes:
        clock: Seconds since 1970 UTC.
        key: The key of the one shared access policy.
        policy: Its name.
    """

    clock: Callable[[], float]
    key: str = KEY
    policy: str = POLICY

    def knows(self, policy: bytes, key: bytes) -> bool:
        """Tell whether these are the policy and its key, as SASL PLAIN sends them."""
        return policy == self.policy.encode() and hmac.compare_digest(key, self.key.encode())

    def grant(self, token: str, resource: str) -> Grant:
        """Return what a token allows for a resource, given as a URI.

        Of a JSON web token audience and expiry are checked; its signature is not, for the broker knows no
        keys of a directory.

        Raises:
            Refusal: The token is malformed, forged, expired or for something else, in Azure's words.
        """
        if token.startswith(_SCHEME):
            until = self._signature(token.removeprefix(_SCHEME), resource)
        else:
            until = _expiry(token)
        if until <= self.clock():
            expired = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%SZ}"
            raise _refused(f"ExpiredToken: The token is expired. Expiration time: '{expired}'.")
        return Grant(path_of(resource).lower(), until)

    def _signature(self, fields: str, resource: str) -> float:
        raw = dict(part.partition("=")[::2] for part in fields.split("&"))
        if not raw.keys() >= {"sr", "sig", "se", "skn"} or not _SECONDS.fullmatch(raw["se"]):
            raise _refused("MalformedToken: The token is missing a part.")
        digest = hmac.digest(self.key.encode(), f"{raw['sr']}\n{raw['se']}".encode(), sha256)
        if unquote_plus(raw["skn"]) != self.policy or not hmac.compare_digest(
            unquote_plus(raw["sig"]).encode(), b64encode(digest)
        ):
            raise _refused("InvalidSignature: The token has an invalid signature.")
        if not _covers(unquote_plus(raw["sr"]), resource):
            raise _refused(
                "InvalidAudience: The authorization header contains a token with a wrong audience."
            )
        return float(raw["se"])


# Many times what any client asks for on one connection.
_MOST_GRANTS = 10_000


class Claims:
    """What one connection may do, by the tokens that it has shown so far; `changed` is told of each."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._until: dict[str, float] = {}

    def add(self, grant: Grant) -> None:
        """Note a grant; a later one for the same path takes the place of an earlier one.

        Raises:
            Refusal: There are too many.
        """
        if len(self._until) >= _MOST_GRANTS:
            raise Refusal(Condition.QUOTA_EXCEEDED, "too many tokens on one connection")
        self._until[grant.path] = grant.until
        self._changed()

    def next_expiry(self, now: float) -> float:
        """Return when the next token expires: seconds since 1970 UTC, or infinity."""
        return min((until for until in self._until.values() if until > now), default=inf)

    def until(self, at: str) -> float:
        """Return until when something may be used, by its path; 0 if it may not."""
        return max((until for path, until in self._until.items() if _below(at, path)), default=0)


EVERYTHING = Grant("", inf)


def _below(at: str, path: str) -> bool:
    return not path or at == path or at.startswith(f"{path}/")


def _covers(signed: str, resource: str) -> bool:
    return _host(signed) == _host(resource) and _below(path_of(resource).lower(), path_of(signed).lower())


def _host(uri: str) -> str:
    return _PORT.sub("", uri.partition("://")[2].partition("/")[0]).lower()


def _expiry(token: str) -> float:
    try:
        claims: Mapping[str, object] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise _refused("MalformedToken: Failed to parse the token.") from error
    audience, until = claims.get("aud"), claims.get("exp")
    if not isinstance(audience, str) or audience.rstrip("/") != _AUDIENCE:
        raise _refused("InvalidAudience: Invalid authorization token audience.")
    if not isinstance(until, int | float) or not 0 <= until < inf:
        raise _refused("MalformedToken: The token has no expiry.")
    return until


def _refused(description: str) -> Refusal:
    return Refusal(Condition.UNAUTHORIZED, description)
