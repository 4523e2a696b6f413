from dataclasses import replace

from agreements import deliveries
from agreements.copies import Stamp, released, replayed
from agreements.events import Standing
from agreements.messages import ParkedMessage, Place, State
from agreements.outcomes import Attempt, Confirmed
from agreements.policy import decide
from agreements.values import Value
from tests import fakes
from tests.fakes import parked

STAMP = Stamp(run="a-run", by="ada@ops", why="mended")
STAMPED = {
    "mcaReplayRun": "a-run",
    "mcaReplayedBy": "ada@ops",
    "mcaReplayWhy": "mended",
    "mcaReplayedFrom": "agreement-rejections/7/2026-03-02T09:30:00.000Z",
}
REPLAYED = {**STAMPED, "mcaReplayedReason": "Refused"}


def texts(message: ParkedMessage) -> dict[str, str]:
    return {name: value.text for name, value in message.properties.items()}


def test_a_replayed_copy_starts_anew() -> None:
    """The publisher's properties and the event's id go on; ours start anew, with the replay counted."""
    message = parked(
        properties={"mcaReplay": 1, "mcaAttempt": 4, "traceparent": "t", "DeadLetterReason": "Refused"}
    )
    copy = replayed(message, STAMP)
    assert texts(copy) == {"source": "crm", "mcaReplay": "2", "mcaEventId": "event-7", **REPLAYED}
    assert (copy.body, copy.content_type, copy.correlation_id) == (
        message.body,
        message.content_type,
        message.correlation_id,
    )


def test_a_repeated_replay_has_the_same_id() -> None:
    """A copy that is sent again after a crash names itself as before, and unlike the original."""
    message = parked()
    assert replayed(message, STAMP).message_id == replayed(message, STAMP).message_id
    assert replayed(message, STAMP).message_id not in {
        message.message_id,
        replayed(parked(8), STAMP).message_id,
    }


def test_a_copy_without_a_correlation_id_gets_that_of_the_log() -> None:
    """What a publisher sent without one is found in the log under the one that was derived for it."""
    message = parked(place=Place("agreement-acceptances", dead=True), correlation_id=None)
    delivered = fakes.message(correlation_id=None)
    logged = deliveries.receive(delivered, queue="agreement-acceptances", ours=False).correlation_id
    assert replayed(message, STAMP).correlation_id == str(logged)


def test_a_long_why_is_cut() -> None:
    """A property holds so much and no more."""
    copy = replayed(parked(), replace(STAMP, why="x" * 1000))
    assert len(texts(copy)["mcaReplayWhy"]) == 256


def test_a_released_copy_goes_on_as_it_was() -> None:
    """What a retry knows of its attempts stays, under an id of its own."""
    message = parked(properties={"mcaAttempt": 4, "Diagnostic-Id": "x"}, state=State.SCHEDULED)
    copy = released(message, STAMP)
    assert texts(copy) == {**texts(parked(properties={"mcaAttempt": 4})), **STAMPED}
    assert copy.message_id != message.message_id


def test_a_released_copy_beside_its_original_is_harmless() -> None:
    """Where one comes due while it is released, both are confirmed: the record that is met is our own."""
    message = parked(place=Place("agreement-retries"), properties={"mcaAttempt": 2}, state=State.SCHEDULED)
    copy = released(message, STAMP)
    delivery = deliveries.receive(
        fakes.message(message_id=copy.message_id, application_properties=copy.plain_properties),
        queue="agreement-retries",
        ours=True,
    )
    late = Attempt(event=fakes.event(), answer=fakes.refusal(409, "600061"), standing=Standing.SAME)
    assert decide(delivery, late, fakes.POLICY, fakes.NOW, 0.5) == Confirmed(recovered=True)


def test_a_replayed_event_keeps_its_name_in_the_app() -> None:
    """The app goes on calling a replayed event by the publisher's id, and carries on what was stamped."""
    copy = replayed(parked(), STAMP)
    delivery = deliveries.receive(
        fakes.message(message_id=copy.message_id, application_properties=copy.plain_properties),
        queue="agreement-acceptances",
        ours=False,
    )
    assert (delivery.event_id, delivery.replay, delivery.attempt) == ("event-7", 1, 1)
    assert delivery.may_be_recorded
    assert delivery.properties == {"source": "crm", **REPLAYED}
    assert delivery.copy_properties({})["mcaReplayRun"] == "a-run"


def test_the_replay_count_stays_a_number_that_can_be_sent() -> None:
    """However absurd a count a publisher wrote, the copy's fits the wire."""
    message = parked(properties={})
    absurd = replace(message, properties={"mcaReplay": Value.number(2**31 - 1)})
    assert replayed(absurd, STAMP).replay == 2**31 - 1
