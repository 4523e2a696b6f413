"""Checks a deployment as a person would by hand; what each check looks at comes as an argument.

A check says what it found, raises one of our errors when it fails, or ``UncheckedError`` when this machine
cannot tell.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum, unique
from time import monotonic

from agreements import access
from agreements.deadline import Deadline
from agreements.errors import (
    AgreementsError,
    AnswerError,
    ConsentError,
    DeploymentError,
    GateClosedError,
    Reason,
    SettingsError,
    TokenError,
)

# The check itself ends at its deadline; this is for one whose library does not know of deadlines.
_GRACE_SECONDS = 2.0


@unique
class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class UncheckedError(Exception):
    """This cannot be checked from this machine; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at; ``needs`` names the checks without which it would fail for their reason."""

    name: str
    look: Callable[[Deadline], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of a check; ``advice`` says what to do about it, and is empty when there is nothing to do."""

    check: str
    status: Status
    detail: str
    advice: str = ""
    reason: str | None = None
    seconds: float = 0.0


def examine(
    checks: Iterable[Check], *, seconds: float, started: Callable[[Check], object] = lambda _: None
) -> Iterator[Finding]:
    """Yield what came of each check, in their order; ``started`` is told before each that runs.

    A check that takes longer than ``seconds`` has failed; one that needs a check which is not ok is skipped.
    """
    found: dict[str, Status] = {}
    for check in checks:
        missing = next((need for need in check.needs if found[need] is not Status.OK), None)
        if missing is not None:
            finding = _skipped(check, f"needs {missing}, which {_ended(found[missing])}")
        else:
            started(check)
            finding = _examine(check, seconds)
        found[check.name] = finding.status
        yield finding


def _ended(status: Status) -> str:
    return "failed" if status is Status.FAILED else "was skipped"


def _examine(check: Check, seconds: float) -> Finding:
    start = monotonic()
    try:
        detail = _bounded(check.look, seconds)
    except UncheckedError as why:
        return _skipped(check, str(why))
    except TimeoutError:
        detail, error = f"no answer within {seconds:.0f} s", None
    except AgreementsError as failure:
        detail, error = told(failure), failure
    else:
        return Finding(check=check.name, status=Status.OK, detail=detail, seconds=monotonic() - start)
    return Finding(
        check=check.name,
        status=Status.FAILED,
        detail=detail,
        advice=advice(error),
        reason=reason(error),
        seconds=monotonic() - start,
    )


def _bounded(look: Callable[[Deadline], str], seconds: float) -> str:
    """Look in a thread that may be left behind: name services and subprocesses know of no deadline."""
    found: Future[str] = Future()

    def work() -> None:
        try:
            found.set_result(look(Deadline.after(seconds)))
        except BaseException as error:  # noqa: BLE001 - it goes up in the thread that asked
            found.set_exception(error)

    threading.Thread(target=work, name="check", daemon=True).start()
    return found.result(seconds + _GRACE_SECONDS)


def _skipped(check: Check, why: str) -> Finding:
    return Finding(check=check.name, status=Status.SKIPPED, detail=why)


def told(error: AgreementsError) -> str:
    """Return what an error says, on one line, with the code of whoever refused."""
    if isinstance(error, SettingsError):
        return "; ".join(error.problems)
    code = error.code if isinstance(error, TokenError) else None
    return f"{error} ({code})" if code else str(error)


def reason(error: AgreementsError | None) -> Reason | None:
    """Return why an error came, where it is one of the reasons that log and outcomes know too."""
    match error:
        case TokenError() | GateClosedError():
            return error.reason
        case AnswerError(answer=answer):
            return access.no_access(answer.status, answer.code) or _refusal(answer.status)
    return None


def _refusal(status: int) -> Reason:
    if status == 429:
        return Reason.THROTTLED
    return Reason.UNAVAILABLE if status >= 500 else Reason.ACCESS_REFUSED


def advice(error: AgreementsError | None) -> str:
    """Return what to do about an error; ``None`` stands for no answer in time."""
    match error:
        case SettingsError():
            return "Set them as the table of settings in README.md says."
        case DeploymentError() | ConsentError():
            return error.advice
    known = reason(error)
    return known.advice if known else "Check the address, and the way there: DNS, firewall, proxy, TLS."
