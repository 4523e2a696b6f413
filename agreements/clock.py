"""The service's clock, as the Date header of any of its answers tells it."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import requests

from agreements.deadline import Deadline
from agreements.errors import DeploymentError

_SECONDS = 10.0
# A header tells whole seconds, and the way there and back takes some; Entra lets an assertion be 300 s off.
_TOLERANCE = timedelta(seconds=60)
_UNREACHED = "Check PARTNER_CENTER_URL, and the way there: DNS, firewall, proxy, TLS."


def skew(url: str, deadline: Deadline) -> timedelta:
    """Return by how much the service's clock is ahead of this machine's.

    Raises:
        DeploymentError: the service could not be asked, or tells no time.
    """
    before = datetime.now(UTC)
    try:
        timeout = deadline.left(_SECONDS)
        with requests.get(url, timeout=timeout, allow_redirects=False, stream=True) as answer:
            told = parsedate_to_datetime(answer.headers["Date"])
    except requests.RequestException as error:
        raise DeploymentError(f"no answer from {url}: {type(error).__name__}", _UNREACHED) from None
    except (KeyError, ValueError):
        raise DeploymentError(f"{url} tells no time", _UNREACHED) from None
    after = datetime.now(UTC)
    return told.astimezone(UTC) + timedelta(seconds=0.5) - (before + (after - before) / 2)


def check(url: str, deadline: Deadline) -> str:
    """Return how far this machine's clock is off.

    Raises:
        DeploymentError: too far, or that could not be found out.
    """
    off = skew(url, deadline)
    seconds = f"{abs(off).total_seconds():.0f} s"
    if abs(off) > _TOLERANCE:
        way = "behind" if off > timedelta(0) else "ahead of"
        raise DeploymentError(
            f"this machine's clock is {seconds} {way} the service's",
            "Set the clock by NTP: by a wrong one, assertions are refused and dates lie in the future.",
        )
    return f"within {max(1, round(abs(off).total_seconds()))} s of the service's"
