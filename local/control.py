"""Steering the Partner Center of this machine, and reading its ledger."""

from collections.abc import Mapping
from typing import cast

import requests

_SECONDS = 5.0


def set_faults(environment: Mapping[str, str], rules: object) -> None:
    """Make the API fail by these rules, in place of those before."""
    _ask(environment, "PUT", "faults", rules)


def ledger(environment: Mapping[str, str]) -> list[dict[str, object]]:
    """Return every recorded agreement, in order."""
    return cast("list[dict[str, object]]", _ask(environment, "GET", "ledger").json())


def posts(environment: Mapping[str, str]) -> list[dict[str, int]]:
    """Return for each distinct body how often it was posted, and with how many distinct request ids."""
    return cast("list[dict[str, int]]", _ask(environment, "GET", "calls").json()["bodies"])


def _ask(environment: Mapping[str, str], method: str, what: str, body: object = None) -> requests.Response:
    url = f"{environment['PARTNER_CENTER_URL']}/_control/{what}"
    answer = requests.request(
        method, url, json=body, verify=environment["REQUESTS_CA_BUNDLE"], timeout=_SECONDS
    )
    answer.raise_for_status()
    return answer
