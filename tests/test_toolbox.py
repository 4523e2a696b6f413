"""What the commands work with on a person's machine, against the stand-ins."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agreements import settings, toolbox
from agreements.deadline import Deadline
from agreements.settings import BusSettings, PartnerSettings
from local import partner_center, service_bus
from local.parts import in_thread

ENTITIES = Path(__file__).parent.parent / "infra" / "service-bus.json"


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    namespace = service_bus.Namespace.from_file(ENTITIES)
    with (
        in_thread(lambda: service_bus.serve(namespace)) as broker,
        in_thread(partner_center.serve) as api,
    ):
        yield {**broker, **api}


def test_operations_look_at_the_queues_of_the_settings(environment: Mapping[str, str]) -> None:
    """What the commands work with is built of their own settings alone, and reaches the broker."""
    given = settings.read(BusSettings, {"ServiceBus": environment["ServiceBus"]})
    at = toolbox.operations(given)
    assert list(at.messages(at.names.dead_letter_queues[:1])) == []
    assert at.now().tzinfo
    assert at.signed_in() is None, "a key is nobody"
    at.store.close()


def test_who_signed_in_is_told_for_the_audit() -> None:
    """Where no key opens the namespace, it is whoever the credential turned out to be, by ids alone."""
    given = settings.read(BusSettings, {"ServiceBus__fullyQualifiedNamespace": "n.servicebus.windows.net"})
    at = toolbox.operations(given)
    assert at.signed_in() == "an identity that its token does not tell"
    assert at.store.namespace == "n.servicebus.windows.net"
    at.store.close()


def test_a_customer_is_asked_about(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands' client of Partner Center is the app's own."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
    given = settings.read(PartnerSettings, environment)
    client = toolbox.partner_tools(given).partner_center
    directly, nobody = UUID("dddddddd-0000-4000-8000-000000000000"), UUID(int=1 << 120)
    ids: dict[str, Any] = {"correlation_id": UUID(int=7), "deadline": Deadline.after(30)}
    assert client.direct_acceptance(directly, **ids)
    assert not client.direct_acceptance(nobody, **ids)
    assert client.customer_agreements(nobody, **ids) == []
