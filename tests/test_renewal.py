import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

import pytest
from pydantic import SecretStr

from agreements import renewal
from agreements.auth import Grant
from agreements.deadline import Deadline
from agreements.errors import Reason, TokenError
from agreements.renewal import Renewal
from agreements.vault import LIFETIME, StoredToken
from tests.fakes import NOW

DEAD = TokenError("the token endpoint refused", "AADSTS700082", Reason.REFRESH_TOKEN_EXPIRED)
FORBIDDEN = TokenError("no answer of use from the key vault: 403", reason=Reason.VAULT_REFUSED)


class FakeVault:
    """Keeps versions in a list, the newest last; an error under a verb's name is raised by that verb."""

    def __init__(self, *, age: timedelta = timedelta(days=1), **errors: TokenError) -> None:
        self.errors = errors
        self.numbers = count(1)
        self.versions: list[StoredToken] = []
        self.disabled: set[str] = set()
        self.add("planted-1", NOW - age)

    def add(self, value: str, created: datetime) -> StoredToken:
        """Add a version."""
        added = StoredToken(
            value=SecretStr(value),
            version=f"version-{next(self.numbers)}",
            created=created,
            expires=created + LIFETIME,
        )
        self.versions.append(added)
        return added

    def _asked(self, verb: str) -> None:
        if (error := self.errors.get(verb)) is not None:
            raise error

    def read(self, _: Deadline, /) -> StoredToken:
        """Return the newest."""
        self._asked("read")
        return self.versions[-1]

    def store(self, value: SecretStr, *, expires: datetime, deadline: Deadline) -> StoredToken:
        """Add a version."""
        self._asked("store")
        return self.add(value.get_secret_value(), expires - LIFETIME)

    def disable_older(self, kept: StoredToken, deadline: Deadline) -> int:
        """Disable what was created before."""
        self._asked("disable")
        older = {one.version for one in self.versions if one.created < kept.created}
        self.disabled |= older
        return len(older)


def granting(value: SecretStr, deadline: Deadline) -> Grant:
    """Exchange a refresh token for the next one."""
    new = SecretStr(value.get_secret_value() + "-renewed")
    return Grant(access_token=SecretStr("planted-access"), expires_in=3599, refresh_token=new)


def denying(value: SecretStr, deadline: Deadline) -> Grant:
    """Deny whatever comes."""
    raise DEAD


@pytest.fixture
def renew(caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[dict[str, object], int]]:
    """Renew once, and return the log line with its level."""

    def run(
        vault: FakeVault, exchange: Callable[[SecretStr, Deadline], Grant] = granting
    ) -> tuple[dict[str, object], int]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            Renewal(vault=vault, exchange=exchange, seconds=30, now=lambda: NOW)()
        [record] = caplog.records
        assert record.name == "agreements"
        assert "planted" not in record.getMessage()
        return json.loads(record.getMessage()), record.levelno

    return run


type Renew = Callable[..., tuple[dict[str, object], int]]


def test_the_refresh_token_is_renewed(renew: Renew) -> None:
    """What came along with the access token is the newest version, with ninety days before it."""
    vault = FakeVault()
    line, level = renew(vault)
    assert line == {"renewal": "renewed", "daysLeft": 90, "expires": "2026-05-31T09:30:00+00:00"}
    assert level == logging.INFO
    assert vault.read(Deadline.after(1)).value.get_secret_value() == "planted-1-renewed"


def test_the_previous_version_stays_good(renew: Renew) -> None:
    """Only what is older than the version before is disabled: whoever holds that one is still served."""
    vault = FakeVault(age=timedelta(days=2))
    second = vault.add("planted-2", NOW - timedelta(days=1))
    renew(vault)
    assert vault.disabled == {"version-1"}
    assert vault.versions[1] is second


@pytest.mark.parametrize(
    ("age", "left", "detail"),
    [(1, 89, DEAD), (75, 15, DEAD), (90, 0, DEAD), (91, -1, DEAD)],
)
def test_a_refused_renewal_is_an_error_with_its_remedy(
    renew: Renew, age: int, left: int, detail: TokenError
) -> None:
    """The line says why, what to do, and how many days are left to do it; nothing was stored."""
    vault = FakeVault(age=timedelta(days=age))
    line, level = renew(vault, denying)
    assert (line["renewal"], line["daysLeft"], line["detail"]) == ("failed", left, str(detail))
    assert (line["reason"], line["errorCode"]) == ("RefreshTokenExpired", "AADSTS700082")
    assert line["advice"] == Reason.REFRESH_TOKEN_EXPIRED.advice
    assert level == logging.ERROR
    assert len(vault.versions) == 1


def test_a_vault_that_cannot_be_read_is_an_error(renew: Renew) -> None:
    """How many days are left is not known then, and not said."""
    line, level = renew(FakeVault(read=FORBIDDEN))
    assert (line["renewal"], line["reason"], level) == ("failed", "VaultRefused", logging.ERROR)
    assert "daysLeft" not in line


def test_when_storing_fails_the_old_one_stays(renew: Renew) -> None:
    """Nothing is disabled, and the days left are those of the old one."""
    vault = FakeVault(store=FORBIDDEN)
    line, level = renew(vault)
    assert (line["renewal"], line["daysLeft"], level) == ("failed", 89, logging.ERROR)
    assert vault.disabled == set()
    assert vault.read(Deadline.after(1)).value.get_secret_value() == "planted-1"


def test_when_disabling_fails_it_is_renewed_all_the_same(renew: Renew) -> None:
    """The new one is stored; that old ones can still be read is said, as an error."""
    line, level = renew(FakeVault(disable=FORBIDDEN))
    assert (line["renewal"], line["daysLeft"], line["reason"]) == ("renewed", 90, "VaultRefused")
    assert level == logging.ERROR


def test_no_new_token_is_a_failure(renew: Renew) -> None:
    """An access token alone keeps nothing alive."""
    line, level = renew(
        FakeVault(), lambda *_: Grant(access_token=SecretStr("planted-access"), expires_in=3599)
    )
    assert (line["renewal"], line["reason"], level) == ("failed", "TokenUnavailable", logging.ERROR)


def test_what_another_stored_meanwhile_is_not_covered(renew: Renew) -> None:
    """A consent, or another run, that stored a version during this one is the newest, and stays it."""
    vault = FakeVault()

    def overtaken(value: SecretStr, deadline: Deadline) -> Grant:
        vault.add("planted-consent", NOW)
        return granting(value, deadline)

    line, level = renew(vault, overtaken)
    assert (line["renewal"], line["daysLeft"], level) == ("renewed", 90, logging.INFO)
    assert vault.read(Deadline.after(1)).value.get_secret_value() == "planted-consent"
    assert vault.disabled == set()


@pytest.mark.parametrize(("days", "level"), [(14, logging.INFO), (13.9, logging.ERROR)])
def test_few_days_left_are_an_error(renew: Renew, days: float, level: int) -> None:
    """Below fourteen days an alert finds the line, even when nothing failed."""
    vault = FakeVault()

    def overtaken(value: SecretStr, deadline: Deadline) -> Grant:
        vault.add("planted-stale", NOW - LIFETIME + timedelta(days=days))
        return granting(value, deadline)

    assert renew(vault, overtaken)[1] == level


def test_by_default_it_goes_by_the_wall_clock(caplog: pytest.LogCaptureFixture) -> None:
    """Without a clock of a test's, the days left are counted from now."""
    vault = FakeVault()
    with caplog.at_level(logging.INFO):
        Renewal(vault=vault, exchange=granting, seconds=30)()
    assert json.loads(caplog.messages[0])["daysLeft"] in (89, 90)


def test_nothing_is_renewed_on_one_machine(caplog: pytest.LogCaptureFixture) -> None:
    """Where the environment gives the refresh token, the line says that nothing renews it."""
    with caplog.at_level(logging.INFO):
        renewal.skip()
    line = json.loads(caplog.messages[0])
    assert line["renewal"] == "skipped"
    assert "PARTNER_REFRESH_TOKEN" in line["detail"]
