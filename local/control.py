"""Steering the parts of this machine, and reading what they count.

``python -m local.partner_center --help`` lists every route and what a rule may say; so does that of
``local.service_bus`` for the broker.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import requests

# The variable that leads to a part stands for the part.
type Steered = Literal[
    "PARTNER_CENTER_URL",
    "PARTNER_AUTHORITY_URL",
    "KEY_VAULT_URL",
    "IDENTITY_ENDPOINT",
    "SERVICE_BUS_CONTROL_URL",
]

_SECONDS = 30.0


def set_faults(environment: Mapping[str, str], rules: object, part: Steered = "PARTNER_CENTER_URL") -> None:
    """Make a part fail by these rules, in place of those before."""
    ask(environment, part, "PUT", "faults", rules)


def ledger(environment: Mapping[str, str]) -> list[dict[str, object]]:
    """Return every recorded agreement, in order."""
    found = ask(environment, "PARTNER_CENTER_URL", "GET", "ledger")
    return cast("list[dict[str, object]]", found)


def posts(environment: Mapping[str, str]) -> list[dict[str, int]]:
    """Return for each distinct body how often it was posted, and with how many distinct request ids."""
    found = ask(environment, "PARTNER_CENTER_URL", "GET", "calls")
    return cast("list[dict[str, int]]", found["bodies"])


def change_directory(environment: Mapping[str, str], **changes: object) -> dict[str, object]:
    """Change who signs in to Entra and how, and how long tokens live; return all of that."""
    found = ask(environment, "PARTNER_AUTHORITY_URL", "PATCH", "directory", changes)
    return cast("dict[str, object]", found)


def exchanges(environment: Mapping[str, str]) -> dict[tuple[str, str], int]:
    """Return how many token requests there were, by grant and by what came of them."""
    counted = ask(environment, "PARTNER_AUTHORITY_URL", "GET", "exchanges")
    return {(one["grant"], one["result"]): one["count"] for one in counted}


def call_timer(environment: Mapping[str, str], name: str) -> None:
    """Call a timer's function now, without waiting for it."""
    url = f"{environment['FUNCTIONS_HOST_URL']}/admin/functions/{name}"
    requests.post(url, json={"input": ""}, timeout=_SECONDS).raise_for_status()


def ask(environment: Mapping[str, str], part: Steered, method: str, what: str, body: object = None) -> Any:
    """Ask a part's control; return what it answers, if anything.

    Raises:
        requests.RequestException: it refused, or there is none.
    """
    where = urlsplit(environment[part])
    answer = requests.request(
        method,
        f"{where.scheme}://{where.netloc}/_control/{what}",
        json=body,
        verify=environment["REQUESTS_CA_BUNDLE"],
        timeout=_SECONDS,
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None
