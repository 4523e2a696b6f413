"""A small backlog in simulated time; ``make backlog`` has the large one."""

import pytest

from agreements.pace import Pace
from tests.chaos.simulation import CONCURRENT_CALLS, work_off
from tests.chaos.throttling import AtRandom, Bucket, Limit, Window
from tests.chaos.virtual_time import VirtualTime

EVENTS = 1000


@pytest.mark.parametrize(
    ("limit", "latency", "seed"),
    [(Bucket(300, 5), 0.1, 1), (Bucket(300, 5), 0.1, 2), (Bucket(300, 5), 0.5, 1), (Window(300), 0.1, 1)],
    ids=["bursts of 5", "another jitter", "slow answers", "so many in each minute"],
)
def test_a_backlog_is_worked_off_at_the_services_pace(limit: Limit, latency: float, seed: int) -> None:
    """Whoever is throttled storms neither the service nor the retries queue, and loses little time."""
    backlog = work_off(EVENTS, limit, latency=latency, seed=seed)
    ideal = EVENTS / limit.per_minute * 60
    assert backlog.missed(ideal) == [], backlog.figures(ideal)


def test_without_a_pace_it_would_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation tells the difference: opened for all at once, the gate lets a storm through."""
    monkeypatch.setattr(Pace, "refused", lambda _, *, at_this_pace: None)
    backlog = work_off(200, Bucket(300, 5), latency=0.1, seed=1)
    assert "under 5 % of calls are refused" in backlog.missed(40)
    assert "copies are under 10 % of events" in backlog.missed(40)


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_a_service_that_refuses_at_random_is_not_taken_for_a_slow_one(share: float) -> None:
    """A refusal now and then holds everyone up for as long as it says, and for no longer."""
    backlog = work_off(EVENTS, AtRandom(share), latency=0.1, seed=1)
    pauses = backlog.service.refused * 1.0
    assert backlog.missed(float("inf")) == []
    assert backlog.last_confirmed < 2 * (pauses + EVENTS * 0.1 / CONCURRENT_CALLS) + 60


def test_virtual_time_runs_in_the_order_of_instants() -> None:
    """Who sleeps less wakes first, and nobody waits for real."""
    time, woken = VirtualTime(), []

    def sleeper(seconds: float) -> None:
        time.sleep(seconds)
        woken.append((seconds, time.clock()))

    time.run([lambda: sleeper(7200), lambda: sleeper(60), lambda: sleeper(3600)])
    assert woken == [(60, 60), (3600, 3600), (7200, 7200)]
