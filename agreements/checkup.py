"""What the doctor looks at in this deployment, built from the settings when a check asks for it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum, unique
from functools import cached_property

from agreements import claims, clock, reach, settings, toolbox
from agreements.credentials import FederatedIdentity
from agreements.deadline import Deadline
from agreements.doctor import Check, UncheckedError
from agreements.errors import DeploymentError, SettingsError
from agreements.outcome_events import RECEIPTS
from agreements.reach import Entity, Right
from agreements.renewal import FEW_DAYS
from agreements.settings import BusSettings, PartnerSettings, QueueSettings, TimingSettings
from agreements.vault import StoredToken

_NOT_RENEWED = (
    "Look for the log lines of renew_refresh_token in the function app; until it works again, "
    "agreements consent gives a new refresh token."
)


@unique
class Role(StrEnum):
    """Whose settings and whose reach into the queues are checked."""

    APP = "app"
    OPERATIONS = "operations"
    PUBLISHER = "publisher"


_QUEUES = ("acceptances", "retries", "duplicates", "rejections")
_REACH: dict[Role, list[tuple[Right, str, bool]]] = {
    Role.APP: [
        (Right.RECEIVE, "acceptances", False),
        (Right.RECEIVE, "retries", False),
        (Right.SEND, "retries", False),
        (Right.SEND, "duplicates", False),
        (Right.SEND, "rejections", False),
    ],
    Role.OPERATIONS: [
        # What is under way there is looked at; all else is replayed, released or discarded as well.
        (Right.PEEK, "acceptances", False),
        *((Right.RECEIVE, queue, False) for queue in _QUEUES[1:]),
        *((Right.RECEIVE, queue, True) for queue in _QUEUES),
        (Right.SEND, "acceptances", False),
        (Right.SEND, "retries", False),
    ],
    Role.PUBLISHER: [(Right.SEND, "acceptances", False)],
}
# Of the topic, where there is one: the app tells, whoever publishes or operates looks up what was told.
_TOPIC = {Role.APP: Right.SEND, Role.OPERATIONS: Right.PEEK, Role.PUBLISHER: Right.PEEK}

_PARTNER, _BUS, _TIMING = "settings: Partner Center", "settings: Service Bus", "settings: timing"
_VAULT, _TOKEN = "vault", "token exchange"


def checks(role: Role) -> Iterator[Check]:
    """Yield the checks of this deployment, in an order in which each comes after those that it needs."""
    partner, bus = _Partner(), _Bus()
    if role is not Role.PUBLISHER:
        yield from _of_partner_center(partner)
    yield Check(name=_BUS, look=bus.settings)
    if role is Role.APP:
        yield Check(name=_TIMING, look=_timing)
    yield from bus.checks(role)


def _of_partner_center(partner: "_Partner") -> Iterator[Check]:
    yield Check(name=_PARTNER, look=partner.settings)
    yield Check(name="clock", look=partner.clock, needs=(_PARTNER,))
    yield Check(name=_VAULT, look=partner.read, needs=(_PARTNER,))
    yield Check(name="refresh token", look=partner.age, needs=(_VAULT,))
    yield Check(name=_TOKEN, look=partner.exchange, needs=(_PARTNER, *partner.where_the_refresh_token_lies))
    yield Check(name="MFA", look=partner.mfa, needs=(_TOKEN,))
    yield Check(name="Partner Center", look=partner.templates, needs=(_TOKEN,))


def _timing(_: Deadline) -> str:
    settings.read(TimingSettings)
    return "as they should be"


class _Partner:
    """What the checks about Partner Center share."""

    @cached_property
    def _given(self) -> PartnerSettings:
        return settings.read(PartnerSettings)

    @cached_property
    def _wired(self) -> toolbox.PartnerTools:
        return toolbox.partner_tools(self._given)

    @property
    def where_the_refresh_token_lies(self) -> tuple[str, ...]:
        try:
            return () if self._given.refresh_token.vault_url is None else (_VAULT,)
        except SettingsError:
            return ()

    def settings(self, _: Deadline) -> str:
        given = self._given.token
        return (
            f"app {given.client_id} in tenant {given.tenant_id}, by {self._wired.application.credential.name}"
        )

    def clock(self, deadline: Deadline) -> str:
        return clock.check(self._given.partner_center.url, deadline)

    def read(self, deadline: Deadline) -> str:
        stored = self._stored(deadline)
        given = self._given.refresh_token
        return f"{given.secret_name}, version {stored.version[:8]}, read by {self._wired.person}"

    def _stored(self, deadline: Deadline) -> StoredToken:
        if self._wired.vault is None:
            raise UncheckedError("PARTNER_REFRESH_TOKEN is set: the refresh token is not in a key vault")
        return self._wired.vault.read(deadline)

    def age(self, deadline: Deadline) -> str:
        stored, now = self._stored(deadline), datetime.now(UTC)
        left, age = (stored.expires - now).days, (now - stored.created).days
        told = f"{left} days left, until {stored.expires:%Y-%m-%d}; stored {age} days ago"
        if left < FEW_DAYS:
            raise DeploymentError(told, _NOT_RENEWED)
        return told

    def exchange(self, deadline: Deadline) -> str:
        credential, person = self._wired.application.credential, self._wired.person
        if isinstance(credential, FederatedIdentity) and person.is_person:
            raise UncheckedError(
                f"the managed identity is the function app's, and this machine signs in as {person}; set "
                "PARTNER_CLIENT_CERTIFICATE or PARTNER_CLIENT_SECRET to check it from here"
            )
        self._wired.tokens.token(deadline)
        return f"an access token came, by {credential.name}"

    def mfa(self, deadline: Deadline) -> str:
        found = claims.read(self._wired.tokens.token(deadline))
        for problem in claims.problems(found, self._given.token.tenant_id):
            raise problem
        return f"user {found.user_id} consented with MFA"

    def templates(self, deadline: Deadline) -> str:
        found = self._wired.partner_center.template_ids(deadline)
        return f"current template {found[0]}"


class _Bus:
    """What the checks about the queues share."""

    @cached_property
    def _given(self) -> BusSettings:
        return settings.read(BusSettings)

    @cached_property
    def _wired(self) -> toolbox.BusTools:
        return toolbox.bus_tools(self._given.service_bus)

    def settings(self, _: Deadline) -> str:
        given = self._given.service_bus
        return "a connection string" if given.connection_string is not None else str(given.namespace)

    def checks(self, role: Role) -> Iterator[Check]:
        try:
            queues = self._given.queues
        except SettingsError:
            yield Check(name="queues", look=self.settings, needs=(_BUS,))
            return
        for right, entity in _entities(queues, role):
            yield Check(name=f"{right} {entity}", look=self._reach(entity, right), needs=(_BUS,))

    def _reach(self, entity: Entity, right: Right) -> Callable[[Deadline], str]:
        def look(deadline: Deadline) -> str:
            told = reach.reach(self._wired.client, entity, right, deadline)
            return f"{told}, by {self._wired.who}"

        return look


def _entities(given: QueueSettings, role: Role) -> Iterator[tuple[Right, Entity]]:
    """Yield what a role must reach, and how."""
    for right, queue, dead_letters in _REACH[role]:
        setting = str(QueueSettings.model_fields[queue].alias)
        yield right, Entity(name=getattr(given, queue), setting=setting, dead_letters=dead_letters)
    if given.outcomes is not None:
        right = _TOPIC[role]
        subscription = RECEIPTS if right is Right.PEEK else None
        yield (
            right,
            Entity(name=given.outcomes, setting="OUTCOMES_TOPIC", topic=True, subscription=subscription),
        )
