"""The service's clock, by real requests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from agreements import clock
from agreements.deadline import Deadline
from agreements.errors import DeploymentError
from tests.far_end import Cut, FarEnd, Say, far_end


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarEnd]:
    with far_end(tmp_path) as end:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(end.bundle))
        yield end


def at(seconds: float) -> Say:
    """Return an answer of a service whose clock is that far ahead of ours."""
    told = datetime.now(UTC) + timedelta(seconds=seconds)
    return Say(status=404, headers={"Date": format_datetime(told, usegmt=True)})


def check(service: FarEnd) -> str:
    return clock.check(service.url, Deadline.after(10))


@pytest.mark.parametrize("seconds", [0, 30, -30])
def test_a_clock_that_is_about_right(service: FarEnd, seconds: float) -> None:
    """Some seconds do no harm, whatever else the answer says."""
    service.script = [lambda: at(seconds)]
    assert check(service).startswith("within ")
    assert service.asked[0].line.startswith("GET / ")
    assert "authorization" not in {name.lower() for name, _ in service.asked[0].headers}


@pytest.mark.parametrize(("seconds", "way"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_clock_that_is_wrong(service: FarEnd, seconds: float, way: str) -> None:
    """A clock that is off by more than a minute is a failure that says in which direction."""
    service.script = [lambda: at(seconds)]
    with pytest.raises(DeploymentError, match=f"clock is 3[56].. s {way} the service's") as caught:
        check(service)
    assert "NTP" in caught.value.advice


@pytest.mark.parametrize(
    "said", [Say(), Say(headers={"Date": "noon"}), Cut()], ids=["no date", "no time", "no answer"]
)
def test_a_service_that_tells_no_time(service: FarEnd, said: Say | Cut) -> None:
    """A service that cannot be asked says nothing about this machine's clock."""
    service.script = [said]
    with pytest.raises(DeploymentError, match=r"tells no time|no answer") as caught:
        check(service)
    assert "PARTNER_CENTER_URL" in caught.value.advice
