"""Processor time per confirmed event: the handler with the real client, against a bare POST."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import uuid4

import requests
from azure.functions.servicebus import ServiceBusMessage

from agreements import settings, wiring
from agreements.settings import FunctionAppSettings
from tests.benchmarks.figures import Figure, side_by_side
from tests.fakes import UNTRACED

TEMPLATE = "117a77b0-9360-443b-8795-c6dedc750cf9"
CONTACT = {
    "firstName": "Tania",
    "lastName": "Carr",
    "email": "someone@example.com",
    "phoneNumber": "1234567890",
}
# Nothing is sent there: a confirmed event needs no copy.
NO_SERVICE_BUS = "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true"


def measure(environment: Mapping[str, str]) -> Figure:
    """Measure in portions of a hundred events."""
    ours, theirs = handler(environment), bare(environment)
    ours(50)
    theirs(50)
    return side_by_side(
        "cpu-per-confirmed-event",
        "<= 1.15",
        "microseconds",
        lambda: ours(100),
        lambda: theirs(100),
        rounds=15,
    )


def growth(environment: Mapping[str, str]) -> Figure:
    """Measure the first thousand of a hundred thousand events and the last, each against bare POSTs."""
    ours, theirs = handler(environment), bare(environment)

    def a_thousand() -> Figure:
        return side_by_side("", "", "", lambda: ours(100), lambda: theirs(100), rounds=10)

    ours(50)
    theirs(50)
    first = a_thousand()
    for _ in range(98):
        ours(1000)
    last = a_thousand()
    return Figure(
        name="cpu-per-event-at-100000-to-1000",
        ratio=last.ratio / first.ratio,
        target="<= 1.05",
        ours=last.ratio,
        theirs=first.ratio,
        unit="bare POSTs",
    )


class handler:  # noqa: N801 - used as a function that keeps its connection
    """Confirms events through the product."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        given = settings.read(FunctionAppSettings, {"ServiceBus": NO_SERVICE_BUS, **environment})
        self._consumers = wiring.consumers(given)
        self._number = 0

    def __call__(self, count: int, clock: Callable[[], float] = time.thread_time) -> float:
        """Return the microseconds per event, by a clock in seconds."""
        messages = [self._message() for _ in range(count)]
        began = clock()
        for message in messages:
            self._consumers.acceptances(message, UNTRACED)
        return (clock() - began) / count * 1e6

    def _message(self) -> ServiceBusMessage:
        self._number += 1
        event = {
            "customerTenantId": str(uuid4()),
            "dateAgreed": "2018-06-14T00:00:00Z",
            "primaryContact": CONTACT,
        }
        return ServiceBusMessage(
            body=json.dumps(event).encode(),
            message_id=str(uuid4()),
            content_type="application/json",
            delivery_count=1,
            sequence_number=self._number,
            enqueued_time_utc=datetime.now(UTC),
            application_properties={},
            user_properties={},
        )


class bare:  # noqa: N801 - the same
    """Posts the same bodies with nothing around."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._url = environment["PARTNER_CENTER_URL"]
        self._session = requests.Session()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token(environment)}"}

    def __call__(self, count: int) -> float:
        """Return the microseconds per event."""
        urls = [f"{self._url}/v1/customers/{uuid4()}/agreements" for _ in range(count)]
        body = json.dumps(
            {
                "primaryContact": CONTACT,
                "templateId": TEMPLATE,
                "dateAgreed": "2018-06-14T00:00:00.000Z",
                "type": "MicrosoftCustomerAgreement",
            }
        )
        began = time.thread_time()
        for url in urls:
            answer = self._session.post(url, data=body, headers=self._headers, timeout=(5, 30))
            assert answer.status_code == requests.codes.created
        return (time.thread_time() - began) / count * 1e6


def token(environment: Mapping[str, str]) -> str:
    answer = requests.post(
        f"{environment['PARTNER_AUTHORITY_URL']}/{environment['PARTNER_TENANT_ID']}/oauth2/v2.0/token",
        data={
            "grant_type": "refresh_token",
            "client_id": environment["PARTNER_CLIENT_ID"],
            "client_secret": environment["PARTNER_CLIENT_SECRET"],
            "refresh_token": environment["PARTNER_REFRESH_TOKEN"],
            "scope": "https://api.partnercenter.microsoft.com/user_impersonation",
        },
        timeout=10,
    )
    return str(answer.json()["access_token"])
