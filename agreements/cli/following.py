"""What commands share that follow events to their endings, by the outcome events of a subscription."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Annotated

import typer
from azure.servicebus.exceptions import ServiceBusError

from agreements import toolbox
from agreements.cli import output, talk
from agreements.cli.applying import progress
from agreements.messages import Place
from agreements.operations import Store
from agreements.outcome_book import Book, Following
from agreements.outcome_events import Ending
from agreements.selection import parse_seconds
from agreements.settings import BusSettings

Subscription = Annotated[
    str, typer.Option("--subscription", help="The subscription of OUTCOMES_TOPIC that is looked into.")
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="Wait no longer than 90s, 15m, 2h, 7d.")
]
_RECORDED = (Ending.CONFIRMED, Ending.RECOVERED, Ending.DUPLICATE)
_LOOK_SECONDS = 1.0
_TELL_SECONDS = 10.0
# Between looks that fail: ten minutes in all, beside what the SDK itself tries.
_PAUSES = (1, 5, 24, 30, *[60] * 9)


def seconds(text: str | None) -> float:
    """Return how long to wait at most."""
    try:
        return float("inf") if text is None else parse_seconds(text)
    except ValueError:
        raise typer.BadParameter("such as 90s, 15m, 2h, 7d", param_hint="--timeout") from None


@contextmanager
def subscribed(given: BusSettings, subscription: str, book: Book, *, from_now: bool) -> Iterator[Following]:
    """Lend what looks into a subscription, from what comes now on or from all that it has.

    Raises:
        ServiceBusError: it cannot be looked into.
    """
    if given.queues.outcomes is None:
        raise output.end(
            output.USAGE,
            "OUTCOMES_TOPIC is not set: the topic on which the function app tells what became of events",
        )
    place = Place(f"{given.queues.outcomes}/Subscriptions/{subscription}")
    store = toolbox.operations(given).store
    try:
        # Asked in any case: now is the time to find out that it cannot be.
        highest = _highest(store, place)
        yield Following(book=book, peek=partial(store.peek, place), first=highest + 1 if from_now else 1)
    finally:
        store.close()


def _highest(store: Store, place: Place) -> int:
    try:
        return store.highest(place)
    except ServiceBusError:
        talk.say(
            f"{place} cannot be looked into: that needs the role Azure Service Bus Data Receiver; another one"
            " can be named by --subscription"
        )
        raise


def under_way(tally: Counter[Ending | None]) -> int:
    """Return how many events have not ended."""
    return sum(count for ending, count in tally.items() if ending is None or not ending.final)


def good(tally: Counter[Ending | None]) -> bool:
    """Tell whether every event is on record."""
    return tally.total() == sum(tally[ending] for ending in _RECORDED)


def shown(tally: Counter[Ending | None]) -> dict[str, int]:
    """Return a tally as it is printed."""
    return {
        "confirmed": tally[Ending.CONFIRMED] + tally[Ending.RECOVERED],
        "duplicate": tally[Ending.DUPLICATE],
        "rejected": tally[Ending.REJECTED],
        "underWay": under_way(tally),
    }


def follow(following: Following, at_most: float) -> Counter[Ending | None]:
    """Look again and again until all have ended; return how they stand, then or when it is too long."""
    until, told_at, last = monotonic() + at_most, float("-inf"), -1
    with (
        output.stopping("no longer following: what is under way goes on by itself") as stopping,
        progress(following.book.tally().total()) as ended,
    ):
        done, tally = 0, _look(following, stopping)
        while True:
            left = under_way(tally)
            ended(tally.total() - left - done)
            done = tally.total() - left
            over = not left or stopping() or monotonic() >= until
            if left != last and (over or monotonic() >= told_at + _TELL_SECONDS):
                told_at, last = monotonic(), left
                talk.say(_line(tally))
            if over:
                return tally
            time.sleep(_LOOK_SECONDS)
            tally = _look(following, stopping)


def _look(following: Following, stopping: Callable[[], bool]) -> Counter[Ending | None]:
    """Look once more; what fails may pass, and what was heard by then is not lost."""
    for wait in _PAUSES:
        try:
            return following()
        except ServiceBusError as error:
            talk.say(f"{type(error).__name__}: looking again in {wait} s")
        for _ in range(wait):
            if stopping():
                return following.book.tally()
            time.sleep(1.0)
    return following()


def _line(tally: Counter[Ending | None]) -> str:
    told = shown(tally)
    return ", ".join(f"{name.replace('underWay', 'still under way')}: {told[name]}" for name in told)
