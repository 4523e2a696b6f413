import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.partner_center.options import Choice, Options
from local.partner_center.refusals import RefusedError
from local.partner_center.throttle import Throttle


class Calls:
    """A throttle, and a clock that the test sets."""

    def __init__(self, **options: object) -> None:
        self.now = 0.0
        self.choice = Choice(Options.model_validate(options))
        self.throttle = Throttle(self.choice, lambda: self.now)

    def refused(self, method: str = "GET", customer: str = "") -> int:
        """Make a call; return its Retry-After, or 0 if it is let through."""
        try:
            self.throttle.check(method, customer)
        except RefusedError as error:
            return int(error.headers["Retry-After"])
        return 0


def test_without_a_rate_nothing_is_refused() -> None:
    """By default any number of calls is let through."""
    calls = Calls()
    assert not any(calls.refused() for _ in range(1000))


def test_the_wait_that_is_told_is_long_enough() -> None:
    """A caller who waits as told is let through, and is told whole seconds, one at least."""
    calls = Calls(callsPerSecond=0.3, burst=1, refusedCalls="free")
    assert calls.refused() == 0
    wait = calls.refused()
    assert wait == math.ceil(1 / 0.3)
    calls.now += wait
    assert calls.refused() == 0
    calls.choice.options = Options(calls_per_second=1000, burst=1)
    assert calls.refused() == 1


def test_refused_calls_count_as_the_guidance_says() -> None:
    """Who does not wait waits longer each time, up to what the burst is worth; unless refusals are free."""
    counting = Calls(callsPerSecond=1, burst=3)
    waits = [counting.refused() for _ in range(20)]
    assert waits[:6] == [0, 0, 0, 2, 3, 4]
    assert waits[-1] == max(waits) == 4
    free = Calls(callsPerSecond=1, burst=3, refusedCalls="free")
    assert [free.refused() for _ in range(6)] == [0, 0, 0, 1, 1, 1]


def test_a_write_may_cost_more() -> None:
    """Writes are throttled sooner than reads where they cost more, but never for good."""
    calls = Calls(callsPerSecond=1, burst=4, writeCost=2)
    assert [calls.refused("POST") > 0 for _ in range(3)] == [False, False, True]
    dear = Calls(callsPerSecond=1, burst=4, writeCost=100)
    assert dear.refused("POST") == 0


def test_budgets_of_customers_are_apart() -> None:
    """Each customer has its own burst; calls that name none share one."""
    calls = Calls(callsPerSecond=1, burst=1, budget="customer")
    assert [calls.refused(customer=who) > 0 for who in ("a", "b", "a", "", "")] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_the_wait_may_be_any() -> None:
    """A Retry-After that is chosen is told, zero too, which a client must survive."""
    calls = Calls(callsPerSecond=1, burst=1, retryAfterSeconds=0)
    calls.throttle.check("GET", "")
    with pytest.raises(RefusedError) as caught:
        calls.throttle.check("GET", "")
    assert caught.value.headers["Retry-After"] == "0"


@given(
    st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 3), min_size=1, max_size=60), st.booleans()
)
def test_no_more_calls_pass_than_the_budget_allows(
    rate: float, burst: int, gaps: list[float], counting: bool
) -> None:
    """However calls come, those let through in a time are at most the burst and what was refilled."""
    calls = Calls(callsPerSecond=rate, burst=burst, refusedCalls="count" if counting else "free")
    passed = 0
    for gap in gaps:
        calls.now += gap
        passed += calls.refused() == 0
        assert passed <= burst + calls.now * rate + 1e-6
