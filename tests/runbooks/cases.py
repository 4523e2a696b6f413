"""What waits when somebody opens a runbook, how a person mends it, and how it must have ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, cast
from uuid import UUID

from azure.servicebus import ServiceBusMessage

# The customer whom the document names in its examples.
CUSTOMER = "14876998-c0dc-46e6-9d0c-65a57a6c32ec"
REJECTIONS, DUPLICATES, RETRIES = "agreement-rejections", "agreement-duplicates", "agreement-retries"

OTHER_CUSTOMER = "feedfeed-0000-4000-8000-000000000000"

type Record = dict[str, Any]


class Ending(Enum):
    """Where the event must be once the runbook was followed."""

    CONFIRMED = auto()
    GONE = auto()
    STAYS = auto()


def event(email: str, customer: str, agreed: str = "2026-10-20") -> dict[str, object]:
    """Return an event that is confirmed as it is."""
    contact = {"firstName": "Zoë", "lastName": "O'Brien", "email": email}
    return {"customerTenantId": customer, "dateAgreed": agreed, "primaryContact": contact}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One event in trouble.

    Attributes:
        reason: as the app writes it; as the broker does for one in a dead-letter queue.
        broken: the body that waits; the event itself if nothing is wrong with it.
        dead: whether it is taken to the dead-letter queue.
        beside: another event that waits at the same time.
        splits: whether its line of an export becomes one for each event.
    """

    reason: str
    ending: Ending
    place: str = REJECTIONS
    customer: str | None = None
    broken: bytes | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    message_id: str | None = None
    dead: bool = False
    splits: bool = False
    beside: "Case | None" = None

    @property
    def scheduled(self) -> bool:
        """Whether it is a retry that is due in an hour."""
        return self.place == RETRIES

    def event(self, name: str) -> dict[str, object]:
        """Return the event as it should be; its contact is named after the case."""
        number = int.from_bytes(name.encode()[-6:])
        customer = self.customer or str(UUID(int=(0xBEEF << 112) | (0x4000 << 64) | (0x8 << 60) | number))
        return event(f"{name}@contoso.example", customer)

    def message(self, name: str) -> ServiceBusMessage:
        """Return what waits."""
        ours = {
            "mcaReason": self.reason,
            "mcaOrigin": f"agreement-acceptances/{name}/2026-10-01T00:00:00.000Z",
            "mcaEventId": self.message_id or name,
        }
        return ServiceBusMessage(
            json.dumps(self.event(name)).encode() if self.broken is None else self.broken,
            content_type="application/json",
            message_id=self.message_id or name,
            application_properties={} if self.dead else cast("Any", {**ours, **self.properties}),
        )

    def mend(self, records: list[Record], name: str) -> list[Record]:
        """Return the lines of an export as a person mends them."""
        [record] = records
        mended = record | {"body": json.dumps(self.event(name))}
        mended.pop("bodyBase64", None)
        if not self.splits:
            return [mended]
        other = self.event(name) | {"customerTenantId": OTHER_CUSTOMER}
        return [mended, mended | {"sequenceNumber": 900_000, "body": json.dumps(other)}]


CONFIRMED, GONE, STAYS = Ending


def rejected(reason: str, ending: Ending, **changes: Any) -> Case:
    """Return a case of an event that was rejected for a reason."""
    return Case(reason=reason, ending=ending, **changes)


def retried(reason: str, ending: Ending) -> Case:
    """Return a case of an event that is to be tried again for a reason."""
    return Case(reason=reason, ending=ending, place=RETRIES)


CASES: Mapping[str, Case] = {
    "See what waits": rejected("Refused", STAYS, beside=retried("Throttled", STAYS)),
    "Find an event": rejected("Superseded", STAYS, message_id="94e4e214-6b06-4fb7-96d1-94d559f9b47f"),
    "Tell whether a customer is covered": rejected("Superseded", STAYS),
    "Replay": rejected("NoRelationship", CONFIRMED),
    "Try scheduled retries now": retried("TokenUnavailable", CONFIRMED),
    "Mend an event by hand": rejected("FieldInvalid", CONFIRMED, broken=b'{"dateAgreed": "soon"}'),
    "Discard": Case(reason="AlreadyRecorded", ending=CONFIRMED, place=DUPLICATES),
    "NotJson": rejected("NotJson", CONFIRMED, broken=b"{'customerTenantId': 1}"),
    "NotAnObject": rejected("NotAnObject", GONE, broken=b'"text"'),
    "Empty": rejected("Empty", GONE, broken=b""),
    "Xml": rejected("Xml", GONE, broken=b"<event/>"),
    "SeveralEvents": rejected("SeveralEvents", CONFIRMED, broken=b"[{}, {}]", splits=True),
    "CloudEventInvalid": rejected("CloudEventInvalid", STAYS, broken=b'{"specversion": "9"}'),
    "DataverseContext": rejected("DataverseContext", GONE, broken=b'{"InputParameters": []}'),
    "FieldTwice": rejected("FieldTwice", CONFIRMED, broken=b'{"type": "a", "Type": "b"}'),
    "FieldMissing": rejected("FieldMissing", CONFIRMED, broken=b"{}"),
    "FieldInvalid": rejected("FieldInvalid", CONFIRMED, broken=b'{"dateAgreed": "soon"}'),
    "DateInFuture": rejected("DateInFuture", CONFIRMED),
    "Superseded": rejected("Superseded", GONE, customer=CUSTOMER),
    "Refused": rejected("Refused", CONFIRMED, properties={"mcaErrorCode": "2000"}),
    "NoRelationship": rejected("NoRelationship", CONFIRMED, customer=CUSTOMER),
    "CustomerUnknown": rejected("CustomerUnknown", CONFIRMED),
    "CustomerUnderReview": rejected("CustomerUnderReview", CONFIRMED),
    "OtherTypeRecorded": rejected("OtherTypeRecorded", CONFIRMED),
    "CopyTooLarge": rejected("CopyTooLarge", CONFIRMED),
    "RetriesExhausted": rejected("RetriesExhausted", CONFIRMED),
    "AlreadyRecorded": Case(reason="AlreadyRecorded", ending=GONE, place=DUPLICATES),
    "OtherRecorded": Case(reason="OtherRecorded", ending=GONE, place=DUPLICATES, customer=CUSTOMER),
    "RecordUnknown": Case(reason="RecordUnknown", ending=STAYS, place=DUPLICATES, customer=CUSTOMER),
    "NotYetValid": retried("NotYetValid", STAYS),
    "TemplateReplaced": retried("TemplateReplaced", STAYS),
    "Throttled": retried("Throttled", STAYS),
    "Unavailable": retried("Unavailable", CONFIRMED),
    "NoDefiniteAnswer": retried("NoDefiniteAnswer", STAYS),
    "Signing in: what all of these have in common": retried("RefreshTokenExpired", CONFIRMED),
    "TokenUnavailable": retried("TokenUnavailable", CONFIRMED),
    "AccessRefused": retried("AccessRefused", CONFIRMED),
    "OutcomeNotSent": retried("OutcomeNotSent", CONFIRMED),
    "What the broker itself gives up on": rejected("MaxDeliveryCountExceeded", CONFIRMED, dead=True),
}
