from agreements.deliveries import Property
from agreements.endings import Endings, Following
from agreements.messages import ParkedMessage, Place
from tests.fakes import FakeStore, parked

ACCEPTANCES, RETRIES = Place("agreement-acceptances"), Place("agreement-retries")
DUPLICATES, REJECTIONS = Place("agreement-duplicates"), Place("agreement-rejections")


def copy(number: int, place: Place, of: str, run: str = "run", reason: str = "Refused") -> ParkedMessage:
    told = {Property.REPLAY_RUN: run, Property.REPLAYED_FROM: of, Property.REASON: reason}
    return parked(number, place=place, properties={str(name): text for name, text in told.items()})


def endings(*messages: ParkedMessage) -> Endings:
    following = Following(
        peek=FakeStore(*messages).peek,
        run="run",
        moving=[ACCEPTANCES, RETRIES],
        resting=[DUPLICATES, REJECTIONS],
        marks={"agreement-rejections": 10},
    )
    return following()


def test_copies_are_under_way_or_parked_again() -> None:
    """Those of this run are counted where they lie, by reason where they came to rest."""
    assert endings(
        copy(1, ACCEPTANCES, "a"),
        copy(2, RETRIES, "b"),
        copy(11, REJECTIONS, "c"),
        copy(12, REJECTIONS, "d", reason="NoRelationship"),
    ) == Endings(2, {"Refused": 1, "NoRelationship": 1})  # type: ignore[arg-type]  # equal to a Counter


def test_what_is_not_of_this_run_does_not_count() -> None:
    """Neither another run's copies nor what lay there before."""
    assert endings(copy(11, REJECTIONS, "a", run="other"), copy(9, REJECTIONS, "b"), parked(12)).parked == {}


def test_two_copies_of_one_message_are_one() -> None:
    """After a crash a message may have two copies, and came back once all the same."""
    assert endings(copy(11, REJECTIONS, "a"), copy(12, REJECTIONS, "a")).parked == {"Refused": 1}


def test_on_record_already_is_no_failure() -> None:
    """What turned out to be on record is confirmed."""
    assert endings(copy(1, DUPLICATES, "a", reason="AlreadyRecorded")).parked == {}
