"""The doctor's engine: what comes of a check."""

import threading

import pytest

from agreements import doctor
from agreements.deadline import Deadline
from agreements.doctor import Check, Finding, Status, UncheckedError, examine
from agreements.errors import (
    AgreementsError,
    ConsentError,
    DeploymentError,
    GateClosedError,
    NoAnswerError,
    Reason,
    SettingsError,
    TokenError,
)
from tests import fakes


def check(name: str, *needs: str, error: Exception | None = None) -> Check:
    """Return a check that finds what it is called, or fails."""

    def look(_: Deadline) -> str:
        if error is not None:
            raise error
        return f"{name} found"

    return Check(name=name, look=look, needs=needs)


def found(*checks: Check, seconds: float = 10) -> list[Finding]:
    return list(examine(checks, seconds=seconds))


def only(error: Exception) -> Finding:
    """Return what comes of a check that fails so."""
    [finding] = found(check("it", error=error))
    return finding


def test_a_check_tells_what_it_found() -> None:
    """A check that raises nothing is ok, and there is nothing to do."""
    [finding] = found(check("vault"))
    assert (finding.check, finding.status, finding.detail) == ("vault", Status.OK, "vault found")
    assert (finding.advice, finding.reason) == ("", None)


def test_what_cannot_be_checked_here_is_skipped() -> None:
    """What only another machine could tell has not failed."""
    finding = only(UncheckedError("not from here"))
    assert (finding.status, finding.detail) == (Status.SKIPPED, "not from here")


def test_what_needs_a_failed_check_is_skipped_by_its_name() -> None:
    """One fault is told once; what depends on it names it, and what does not is checked."""
    findings = found(
        check("vault", error=DeploymentError("no", "mend it")),
        check("token", "vault"),
        check("MFA", "token"),
        check("clock"),
    )
    assert [finding.status for finding in findings] == [
        Status.FAILED,
        Status.SKIPPED,
        Status.SKIPPED,
        Status.OK,
    ]
    assert findings[1].detail == "needs vault, which failed"
    assert findings[2].detail == "needs token, which was skipped"


def test_it_is_told_what_runs() -> None:
    """Each check that runs is announced before it does; one that is skipped is not."""
    started: list[str] = []
    checks = [check("vault", error=DeploymentError("no", "mend it")), check("token", "vault"), check("clock")]
    for finding in examine(checks, seconds=10, started=lambda check: started.append(check.name)):
        assert finding.check in started or finding.status is Status.SKIPPED
    assert started == ["vault", "clock"]


def test_a_check_that_does_not_end_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that ignores its deadline is left behind, and the next check begins."""
    monkeypatch.setattr(doctor, "_GRACE_SECONDS", 0.05)
    never = threading.Event()

    def look(deadline: Deadline) -> str:
        assert deadline.left() <= 0.05
        never.wait(60)
        return ""

    stuck, after = found(Check(name="stuck", look=look), check("after"), seconds=0.05)
    never.set()
    assert (stuck.status, stuck.detail) == (Status.FAILED, "no answer within 0 s")
    assert "DNS, firewall, proxy" in stuck.advice
    assert after.status is Status.OK


def test_a_bug_is_no_finding() -> None:
    """What is none of our errors is a bug of ours, and does not pass for a fault of the deployment."""
    with pytest.raises(ZeroDivisionError):
        only(ZeroDivisionError())


@pytest.mark.parametrize(
    ("error", "detail", "reason"),
    [
        (TokenError("refused", "AADSTS700082", Reason.REFRESH_TOKEN_EXPIRED), "refused (AADSTS700082)", None),
        (TokenError("gone", reason=Reason.VAULT_UNREACHABLE), "gone", None),
        (GateClosedError(9, Reason.MFA_MISSING), "the gate to Partner Center is closed for 9 s", None),
        (fakes.refusal(401, "900421"), "Partner Center answered 401, code 900421", Reason.MFA_MISSING),
        (fakes.refusal(429), "Partner Center answered 429, code None", Reason.THROTTLED),
        (fakes.refusal(503), "Partner Center answered 503, code None", Reason.UNAVAILABLE),
        (fakes.refusal(403), "Partner Center answered 403, code None", Reason.ACCESS_REFUSED),
    ],
)
def test_a_failure_has_its_reason_and_advice(
    error: AgreementsError, detail: str, reason: Reason | None
) -> None:
    """Log, outcome and doctor give the same reason for the same failure, and the same advice."""
    finding = only(error)
    wanted = reason or getattr(error, "reason", None)
    assert wanted is not None
    assert (finding.status, finding.detail, finding.reason) == (Status.FAILED, detail, wanted)
    assert finding.advice == wanted.advice


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (DeploymentError("no such queue", "Deploy it."), "Deploy it."),
        (ConsentError(("no MFA",), "Sign in again."), "Sign in again."),
        (
            SettingsError(("A is missing", "B must be")),
            "Set them as the table of settings in README.md says.",
        ),
        (
            NoAnswerError("no answer: ConnectionError", write=False),
            "Check the address, and the way there: DNS, firewall, proxy, TLS.",
        ),
    ],
)
def test_other_failures_have_their_own_advice(error: AgreementsError, advice: str) -> None:
    """What is no reason of an event's still says what to do."""
    finding = only(error)
    assert (finding.advice, finding.reason) == (advice, None)


def test_settings_are_told_on_one_line() -> None:
    """Every problem is named, on a line that can be searched."""
    assert only(SettingsError(("A is missing", "B must be"))).detail == "A is missing; B must be"
