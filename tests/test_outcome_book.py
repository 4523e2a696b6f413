from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from uuid import UUID

import pytest

from agreements.outcome_book import Book, Following
from agreements.outcome_events import Ending
from tests.fakes import CUSTOMER, NOW, PLANTED, parked, told_body

EVENT = UUID(int=1)
E = Ending


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ([], None),
        ([E.DELAYED], E.DELAYED),
        ([E.DELAYED, E.CONFIRMED], E.CONFIRMED),
        ([E.DELAYED, E.REJECTED], E.REJECTED),
        ([E.CONFIRMED, E.DUPLICATE], E.CONFIRMED),
        ([E.RECOVERED, E.DUPLICATE], E.RECOVERED),
        ([E.DUPLICATE, E.REJECTED], E.DUPLICATE),
        ([E.RECOVERED, E.REJECTED, E.DELAYED], E.RECOVERED),
    ],
)
def test_the_best_known_counts(heard: list[Ending], expected: Ending | None) -> None:
    """What is on record is the truth, then an ending, then a delay: in whatever order they come."""
    for order in permutations(heard):
        book = Book()
        book.expect(EVENT)
        for ending in order:
            book.hear(told_body(EVENT, ending))
        found = book.of(EVENT)
        assert (found.outcome if found else None) == expected
        assert book.tally() == {expected: 1}


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ([E.REJECTED, E.REPLAYED], E.REPLAYED),
        ([E.REJECTED, E.REPLAYED, E.REJECTED], E.REJECTED),
        ([E.REJECTED, E.REPLAYED, E.DELAYED], E.REPLAYED),
        ([E.REJECTED, E.REPLAYED, E.CONFIRMED], E.CONFIRMED),
    ],
)
def test_a_replay_opens_what_was_rejected(heard: list[Ending], expected: Ending) -> None:
    """Of the two the newest counts, by the time at which they were told and not by when they came."""
    timed = [told_body(EVENT, ending, at=NOW + timedelta(hours=hour)) for hour, ending in enumerate(heard)]
    for order in permutations(timed):
        book = Book()
        book.expect(EVENT)
        for body in order:
            book.hear(body)
        assert (found := book.of(EVENT)) is not None
        assert found.outcome is expected


def test_only_what_was_asked_about_is_kept() -> None:
    """Others publish too, under ids of their own; and what is no outcome event is counted."""
    book = Book()
    book.expect(EVENT)
    book.hear(told_body(UUID(int=2), E.CONFIRMED))
    book.hear(told_body("acceptance-4711", E.CONFIRMED))
    book.hear(b"Zoraida")
    assert (book.of(EVENT), book.of(UUID(int=2)), book.unreadable) == (None, None, 1)


def test_what_a_receipt_knows_is_known() -> None:
    """An outcome that was noted before counts as if it was heard again."""
    first, book = Book(), Book()
    first.expect(EVENT)
    first.hear(told_body(EVENT, E.CONFIRMED))
    book.expect(EVENT, first.of(EVENT))
    book.hear(told_body(EVENT, E.DELAYED))
    assert (found := book.of(EVENT)) is not None
    assert (found.outcome, found.when, found.template_id) == (E.CONFIRMED, NOW, "t")
    assert not [planted for planted in PLANTED if planted in repr(found)]
    assert str(CUSTOMER) not in repr(found)


def test_following_looks_on_from_where_it_was() -> None:
    """Nothing is looked at twice, and what came since is found."""
    asked: list[int] = []
    lying = [parked(number, body=told_body(UUID(int=number), E.CONFIRMED)) for number in (5, 9)]

    def peek(first: int) -> Iterator[object]:
        asked.append(first)
        return (message for message in lying if message.sequence_number >= first)

    book = Book()
    for number in (5, 9, 12):
        book.expect(UUID(int=number))
    following = Following(book=book, peek=peek, first=5)  # type: ignore[arg-type]  # a part of a message
    assert following() == {E.CONFIRMED: 2, None: 1}
    lying.append(parked(12, body=told_body(UUID(int=12), E.REJECTED)))
    assert following() == {E.CONFIRMED: 2, E.REJECTED: 1}
    assert asked == [5, 10]
