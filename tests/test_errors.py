import pytest

from agreements.errors import (
    Actor,
    AgreementsError,
    Answer,
    AnswerError,
    EventError,
    GateClosedError,
    NoAnswerError,
    PartnerCenterError,
    Reason,
    SettingsError,
    TokenError,
)

FAILURES = [
    SettingsError(("PARTNER_TENANT_ID is missing: a GUID",)),
    EventError(Reason.NOT_JSON),
    TokenError("refused"),
    GateClosedError(5),
    AnswerError(Answer(status=400), write=True),
    NoAnswerError("cut", write=True),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_every_error_has_one_root(error: Exception) -> None:
    """Whoever catches the root error catches all of ours."""
    assert isinstance(error, AgreementsError)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_partner_center_errors_are_apart(error: Exception) -> None:
    """Only what a call to Partner Center came to is a PartnerCenterError."""
    expected = isinstance(error, (GateClosedError, AnswerError, NoAnswerError))
    assert isinstance(error, PartnerCenterError) is expected


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_who_acts_and_what_to_do(reason: Reason) -> None:
    """A reason is its value, names one who acts and gives a sentence of advice."""
    assert reason == reason.value == str(reason)
    assert reason.actor in Actor
    assert reason.advice[0].isupper()
    assert reason.advice.endswith(".")


def test_settings_error_lists_every_problem() -> None:
    """All problems are shown at once, a line for each, and kept apart as data."""
    error = SettingsError(("A is missing: a GUID", "B must be a number"))
    assert str(error) == "settings are missing or wrong:\n  A is missing: a GUID\n  B must be a number"
    assert error.problems == ("A is missing: a GUID", "B must be a number")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EventError(Reason.NOT_JSON), "NotJson"),
        (EventError(Reason.FIELD_MISSING, "type"), "FieldMissing type"),
        (
            EventError(Reason.FIELD_INVALID, "templateId", "must be a GUID"),
            "FieldInvalid templateId must be a GUID",
        ),
    ],
    ids=["reason", "field", "expected"],
)
def test_event_error_says_what_is_known(error: EventError, text: str) -> None:
    """The text has the reason, the field and what was expected, without gaps where one is not known."""
    assert str(error) == text


def test_event_error_carries_its_reason_and_field() -> None:
    """Reason and field are data, not only text."""
    error = EventError(Reason.FIELD_MISSING, "primaryContact.email", "must be an e-mail address")
    assert (error.reason, error.field) == (Reason.FIELD_MISSING, "primaryContact.email")


def test_token_error_carries_the_endpoints_code() -> None:
    """The code by which an administrator looks the failure up is kept as data."""
    error = TokenError("the token endpoint refused", "AADSTS50076", Reason.MFA_DEMANDED, grant_refused=True)
    assert (str(error), error.code) == ("the token endpoint refused", "AADSTS50076")
    assert (error.reason, error.grant_refused) == (Reason.MFA_DEMANDED, True)
    error = TokenError("no answer")
    assert (error.code, error.reason, error.grant_refused) == (None, Reason.TOKEN_UNAVAILABLE, False)


def test_a_closed_gate_was_never_a_write() -> None:
    """Nothing was asked, so nothing can be recorded; the seconds are data and are shown whole."""
    error = GateClosedError(89.6)
    assert str(error) == "the gate to Partner Center is closed for 90 s"
    assert (error.retry_after, error.write, error.maybe_recorded) == (89.6, False, False)
    assert error.reason is Reason.THROTTLED
    assert GateClosedError(5, Reason.MFA_MISSING).reason is Reason.MFA_MISSING


@pytest.mark.parametrize(
    ("status", "maybe_recorded"),
    [
        (202, True),
        (204, True),
        (299, True),
        (300, False),
        (400, False),
        (407, False),
        (408, True),
        (409, False),
        (429, False),
        (499, False),
        (500, True),
        (501, True),
        (599, True),
    ],
)
def test_which_answers_leave_open_whether_it_was_recorded(status: int, maybe_recorded: bool) -> None:
    """A write may be recorded after a time-out or failure of the service's own, or a 2xx of no use."""
    assert AnswerError(Answer(status=status), write=True).maybe_recorded is maybe_recorded


@pytest.mark.parametrize("status", [204, 400, 408, 500])
def test_a_reading_never_records(status: int) -> None:
    """Whatever a reading came to, nothing was recorded by it."""
    error = AnswerError(Answer(status=status), write=False)
    assert (error.write, error.maybe_recorded) == (False, False)


def test_an_answer_is_shown_by_status_and_code() -> None:
    """The text has status and code; the whole answer is data."""
    answer = Answer(status=400, code="600061", error_name="PartnerConfirmedAgreementAlreadyExists")
    error = AnswerError(answer, write=True)
    assert str(error) == "Partner Center answered 400, code 600061"
    assert error.answer is answer


def test_an_answer_is_about_the_event_unless_told_otherwise() -> None:
    """Only of a call that concerns no customer is it said that its refusal does not blame the event."""
    answer = Answer(status=404)
    assert AnswerError(answer, write=False).about_event
    assert not AnswerError(answer, write=False, about_event=False).about_event


def test_no_answer_says_nothing_by_itself() -> None:
    """Without being told otherwise, a call without an answer recorded nothing."""
    assert not NoAnswerError("never connected", write=True).maybe_recorded
    assert NoAnswerError("cut", write=True, maybe_recorded=True).maybe_recorded
