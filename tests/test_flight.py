import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from traceback import extract_tb

import pytest

from agreements.deadline import Deadline
from agreements.errors import AgreementsError, TokenError
from agreements.flight import Fetched, Flight
from tests.fakes import FakeClock

AMPLE = Deadline.after(1e6)
GOOD_SECONDS = 60.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock by which values are good and failures are remembered."""
    clock = FakeClock()
    monkeypatch.setattr("agreements.flight.monotonic", clock)
    return clock


class Fetch:
    """Fetches "1", "2" and so on, or fails as it is told, once for each error."""

    def __init__(self, *errors: Exception, spare: float = 0.0) -> None:
        self.errors = list(errors)
        self.spare = spare
        self.deadlines: list[Deadline] = []

    def __call__(self, deadline: Deadline) -> Fetched[str]:
        """Fetch, or fail."""
        self.deadlines.append(deadline)
        if self.errors:
            raise self.errors.pop(0)
        return Fetched(str(self.count), GOOD_SECONDS, self.spare)

    @property
    def count(self) -> int:
        """How often it was asked."""
        return len(self.deadlines)


class Held(Fetch):
    """Holds whoever fetches until it is released."""

    def __init__(self, *errors: Exception, spare: float = 0.0) -> None:
        super().__init__(*errors, spare=spare)
        self.held = threading.Event()
        self.release = threading.Event()

    def __call__(self, deadline: Deadline) -> Fetched[str]:
        """Hold, then fetch."""
        self.held.set()
        assert self.release.wait(5)
        return super().__call__(deadline)


def failure(get: Callable[[], object]) -> Exception:
    """Return what goes up instead of a value."""
    with pytest.raises(AgreementsError) as caught:
        get()
    return caught.value


# --- values


def test_a_value_is_fetched_when_it_is_first_needed() -> None:
    """Nothing is fetched before somebody asks, and then within the time that the asker has."""
    fetch = Fetch()
    flight = Flight(fetch)
    assert fetch.count == 0
    assert flight.get(AMPLE) == "1"
    assert fetch.deadlines == [AMPLE]


def test_a_value_is_kept_while_it_is_good(clock: FakeClock) -> None:
    """To the last moment for which it is good a value is given again; then a new one is fetched."""
    flight = Flight(Fetch())
    assert flight.get(AMPLE) == "1"
    clock.now += GOOD_SECONDS - 1
    assert flight.get(AMPLE) == "1"
    clock.now += 1
    assert flight.get(AMPLE) == "2"


def test_a_value_is_good_from_when_it_came(clock: FakeClock) -> None:
    """The time that fetching took does not shorten the time for which the value is good."""

    def slow(deadline: Deadline) -> Fetched[str]:
        clock.now += 50
        return Fetched(str(clock.now), GOOD_SECONDS)

    flight = Flight(slow)
    assert flight.get(AMPLE) == "150.0"
    clock.now += GOOD_SECONDS - 1
    assert flight.get(AMPLE) == "150.0"


def test_what_was_refused_is_not_given_again() -> None:
    """A value that proved to be of no use gives way to a new one, for everybody."""
    flight = Flight(Fetch())
    refused = flight.get(AMPLE)
    assert flight.get(AMPLE, refused=refused) == "2"
    assert flight.get(AMPLE) == "2"


def test_what_was_renewed_already_is_not_renewed_again() -> None:
    """Many whose one value was refused get the one new value: only the first of them fetches."""
    flight = Flight(Fetch())
    refused = flight.get(AMPLE)
    assert [flight.get(AMPLE, refused=refused) for _ in range(3)] == ["2", "2", "2"]


def test_what_was_refused_is_dropped_even_if_there_is_no_other(clock: FakeClock) -> None:
    """When no new value can be had, the refused one is not given to those who do not know of it."""
    flight = Flight(fetch := Fetch())
    refused = flight.get(AMPLE)
    fetch.errors = [TokenError("none")]
    failure(lambda: flight.get(AMPLE, refused=refused))
    clock.now += 0.001
    assert flight.get(AMPLE) == "3"


# --- spare seconds


def test_a_value_in_its_spare_seconds_is_renewed(clock: FakeClock) -> None:
    """Whoever asks first in the spare seconds fetches a new value, and gets it."""
    flight = Flight(Fetch(spare=10))
    assert flight.get(AMPLE) == "1"
    clock.now += GOOD_SECONDS
    assert [flight.get(AMPLE), flight.get(AMPLE)] == ["2", "2"]


def test_nobody_waits_while_a_value_in_its_spare_seconds_is_renewed(clock: FakeClock) -> None:
    """While one thread renews it the others get the old value at once, whatever time they have."""
    flight = Flight(fetch := Held(spare=10))
    fetch.release.set()
    assert flight.get(AMPLE) == "1"
    clock.now += GOOD_SECONDS
    fetch.held.clear()
    fetch.release.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(flight.get, AMPLE)
        assert fetch.held.wait(5)
        assert [flight.get(AMPLE), flight.get(Deadline.after(0))] == ["1", "1"]
        fetch.release.set()
        assert renewing.result() == "2"
    assert flight.get(AMPLE) == "2"


def test_a_value_in_its_spare_seconds_outlives_a_failure(clock: FakeClock) -> None:
    """If it cannot be renewed the old value does until its end; the failure is remembered as any other."""
    flight = Flight(fetch := Fetch(spare=10), failure_seconds=5)
    assert flight.get(AMPLE) == "1"
    clock.now += GOOD_SECONDS
    error = TokenError("none")
    fetch.errors = [error, error, error]
    assert [flight.get(AMPLE), flight.get(AMPLE)] == ["1", "1"]
    assert fetch.count == 2
    clock.now += 5.001
    assert flight.get(AMPLE) == "1"
    assert fetch.count == 3
    clock.now += 5
    assert failure(lambda: flight.get(AMPLE)) is error


def test_what_was_refused_is_not_given_in_its_spare_seconds(clock: FakeClock) -> None:
    """A refused value has no spare seconds: a new one, or the failure to get one."""
    flight = Flight(fetch := Fetch(spare=10))
    refused = flight.get(AMPLE)
    clock.now += GOOD_SECONDS
    fetch.errors = [TokenError("none")]
    failure(lambda: flight.get(AMPLE, refused=refused))
    clock.now += 0.001
    assert flight.get(AMPLE) == "3"


# --- failures


def test_a_failure_is_not_kept_for_those_who_come_later(clock: FakeClock) -> None:
    """Unless told how long to remember it, whoever asks after a failure tries anew."""
    flight = Flight(Fetch(TokenError("none")))
    failure(lambda: flight.get(AMPLE))
    clock.now += 0.001
    assert flight.get(AMPLE) == "2"


def test_a_failure_is_remembered(clock: FakeClock) -> None:
    """Within that many seconds whoever asks gets the same failure at once; nobody fetches in vain."""
    error = TokenError("none")
    flight = Flight(fetch := Fetch(error), failure_seconds=10)
    assert failure(lambda: flight.get(AMPLE)) is error
    clock.now += 10
    assert failure(lambda: flight.get(AMPLE)) is error
    assert fetch.count == 1
    clock.now += 0.001
    assert flight.get(AMPLE) == "2"


def test_a_failure_is_remembered_from_when_it_came(clock: FakeClock) -> None:
    """A failure that took long is as fresh as any other when it comes."""

    def slow(deadline: Deadline) -> Fetched[str]:
        clock.now += 50
        raise errors.pop()

    errors = [TokenError("second"), first := TokenError("first")]
    flight = Flight(slow, failure_seconds=10)
    failure(lambda: flight.get(AMPLE))
    clock.now += 9
    assert failure(lambda: flight.get(AMPLE)) is first


def test_a_remembered_failure_does_not_grow(clock: FakeClock) -> None:
    """Raised time and again, a failure shows only where it is raised now, not everywhere it ever was."""
    flight = Flight(Fetch(TokenError("none")), failure_seconds=10)
    depths = [len(extract_tb(failure(lambda: flight.get(AMPLE)).__traceback__)) for _ in range(4)]
    assert depths[1] == depths[2] == depths[3]


def test_a_bug_is_not_remembered() -> None:
    """What is no error of ours goes up to the one who met it; the next one tries anew."""
    flight = Flight(Fetch(RuntimeError("a bug")), failure_seconds=10)
    with pytest.raises(RuntimeError, match="a bug"):
        flight.get(AMPLE)
    assert flight.get(AMPLE) == "2"


# --- threads


@pytest.mark.usefixtures("clock")
def test_one_thread_fetches_for_all() -> None:
    """However many threads need the value at once, it is fetched once and all get it."""
    flight = Flight(fetch := Held())
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(flight.get, AMPLE) for _ in range(8)]
        assert fetch.held.wait(5)
        fetch.release.set()
        assert [one.result() for one in asked] == ["1"] * 8


@pytest.mark.usefixtures("clock")
def test_a_failure_goes_to_all_who_waited_for_it() -> None:
    """Else each would repeat it, one after the other, until no time is left for anything else."""
    error = TokenError("none")
    flight = Flight(fetch := Held(error))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(flight.get, AMPLE) for _ in range(8)]
        assert fetch.held.wait(5)
        fetch.release.set()
        assert [one.exception() for one in asked] == [error] * 8
    assert fetch.count == 1


def test_nobody_waits_longer_than_he_may() -> None:
    """Who has no time left to wait for the thread that fetches is told so; the others get their value."""
    flight = Flight(fetch := Held())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flight.get, AMPLE)
        assert fetch.held.wait(5)
        with pytest.raises(TimeoutError):
            flight.get(Deadline.after(0))
        fetch.release.set()
        assert first.result() == "1"
    assert flight.get(AMPLE) == "1"


@pytest.mark.parametrize("error", [TokenError("none"), RuntimeError("a bug")], ids=["ours", "bug"])
def test_nobody_is_locked_out_by_a_failure(error: Exception) -> None:
    """After a failure, whatever it was, another thread gets through at once."""
    flight = Flight(Fetch(error))
    with pytest.raises(type(error)):
        flight.get(AMPLE)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(flight.get, Deadline.after(1)).result() == "2"


def test_a_failure_for_want_of_time_is_not_shared() -> None:
    """A thread that had no time left to fetch fails alone: the next one has its own time, and asks."""
    flight = Flight(Fetch(TokenError("no time")), failure_seconds=1e6)
    with pytest.raises(TokenError):
        flight.get(Deadline.after(0))
    assert flight.get(AMPLE) == "2"
