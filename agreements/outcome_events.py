"""What publishers are told: a CloudEvent for every ending, for the first delay and for a replay.

Structured JSON, CloudEvents 1.0. None of them holds a name, an address or a body. A repeat has the id of the
first, and the topic drops it; of the endings of one event at most two have ids of their own: that it is on
record, and that it was rejected. Both arrive only where it was delivered again after a crash, and then
confirmed: what is on record is the truth. A delay that is told after an ending takes nothing back.
"""

from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from agreements import identity
from agreements.deliveries import Delivery
from agreements.errors import Actor
from agreements.events import Agreement
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry

SCHEMA_ID = "urn:agreements:schema:outcome-event:1"
CONTENT_TYPE = "application/cloudevents+json"
# The topic's subscription that nobody takes from: the commands peek into it.
RECEIPTS = "receipts"
_TYPE = "agreements.acceptance.{}.v1"
_JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


@unique
class Ending(StrEnum):
    """What became of an event; the last two are no endings yet."""

    CONFIRMED = "confirmed"
    RECOVERED = "recovered"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    DELAYED = "delayed"
    REPLAYED = "replayed"

    @property
    def final(self) -> bool:
        """Whether nothing more happens to the event unless a person acts."""
        return self not in (Ending.DELAYED, Ending.REPLAYED)

    @property
    def type(self) -> str:
        """The CloudEvents type; a change that breaks readers gets a new one."""
        return _TYPE.format(self)


@unique
class Advice(StrEnum):
    """What whoever published the event should do, as a code to branch on."""

    NOTHING = "Nothing"
    WAIT = "Wait"
    CORRECT_AND_RESEND = "CorrectAndResend"
    COMPARE_RECORD = "CompareRecord"
    LEAVE_TO_OPERATIONS = "LeaveToOperations"


# Of what ended; while an event is under way, there is nothing to do but wait.
_ADVICE = {
    Actor.NOBODY: Advice.NOTHING,
    Actor.PUBLISHER: Advice.CORRECT_AND_RESEND,
    Actor.CRM_OWNER: Advice.COMPARE_RECORD,
    Actor.OPERATIONS: Advice.LEAVE_TO_OPERATIONS,
    Actor.APP_OWNER: Advice.LEAVE_TO_OPERATIONS,
}

# The repeat of an ending may be another: who sees the record twice calls it recovered or a duplicate.
_IDENTITIES = {
    Ending.CONFIRMED: "recorded",
    Ending.RECOVERED: "recorded",
    Ending.DUPLICATE: "recorded",
    Ending.REJECTED: "rejected",
    Ending.DELAYED: "delayed",
    Ending.REPLAYED: "replayed",
}

Instant = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
Guid = Annotated[UUID, WithJsonSchema({"type": "string", "format": "uuid"})]


def _attribute_name(name: str) -> str:
    return name.replace("_", "")


class _Told(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _: to_camel(name),
    )


class OutcomeData(_Told):
    """What became of the event; what is not known is left out."""

    outcome: Ending = Field(description="what became of the event")
    final: bool = Field(description="whether nothing more happens unless a person acts")
    reason: str | None = Field(None, description="why it was not simply confirmed: one of the reasons listed")
    detail: str | None = Field(None, description="the field at fault or what was met last; never a value")
    advice: Advice = Field(description="what the publisher should do, as a code")
    advice_text: str | None = Field(None, description="the same as a sentence")
    actor: Actor = Field(description="who must act before the event can be confirmed")
    resend: bool = Field(description="whether sending it again helps, mended as the detail says")
    event_id: str = Field(description="the id to search by: CloudEvents source and id, else the message id")
    customer_tenant_id: Guid | None = Field(None, description="the customer, where the event could be read")
    date_agreed: Instant | None = Field(None, description="the event's own date, in UTC")
    template_id: str | None = Field(None, description="the template that Microsoft recorded, if it was told")
    received_at: Instant = Field(description="when the event first arrived, in UTC")
    retry_at: Instant | None = Field(None, description="not tried again before this, in UTC")
    attempt: int = Field(description="which attempt this was, from 1")
    replay: int = Field(description="how often operations have replayed the event")
    http_status: int | None = Field(None, description="what Partner Center answered, where it refused")
    error_code: str | None = Field(None, description="its code, or the token endpoint's")
    request_id: str | None = Field(None, description="MS-RequestId of the call, for Microsoft's support")
    correlation_id: str = Field(description="MS-CorrelationId of the call, for Microsoft's support")


class OutcomeEvent(_Told):
    """A CloudEvent in structured JSON that tells what became of an acceptance event."""

    # The names of CloudEvents attributes are lower-case letters and digits.
    model_config = ConfigDict(
        alias_generator=_attribute_name, field_title_generator=lambda name, _: _attribute_name(name)
    )

    specversion: Literal["1.0"] = Field("1.0", description="the version of CloudEvents")
    id: Guid = Field(description="the same again where the same is told again")
    source: str = Field(description="the app: its namespace and the queue it takes events from")
    type: str = Field(
        description="by what became of the event", pattern=r"^agreements\.acceptance\.[a-z]+\.v1$"
    )
    subject: Guid | None = Field(None, description="the customer's tenant id, where the event could be read")
    time: Instant = Field(description="when it was told, in UTC")
    datacontenttype: Literal["application/json"] = Field("application/json", description="of data")
    dataschema: str = Field(f"{SCHEMA_ID}#/$defs/OutcomeData", description="the schema of data")
    causation_id: str = Field(description="the incoming event's id: CloudEvents id, else the message id")
    correlation_id: str = Field(description="the message's correlation id if it is a GUID, else ours")
    data: OutcomeData = Field(description="what became of the event")

    def body(self) -> bytes:
        """Return the JSON that goes out, without what is not known."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def tell(
    delivery: Delivery, attempt: Attempt, outcome: Outcome, *, source: str, now: datetime
) -> list[OutcomeEvent]:
    """Return what is to be told of a delivery: nothing of a delay that is not the event's first.

    ``source`` names the app; ``now`` is aware.
    """
    endings = [Ending.REPLAYED] if delivery.replay and delivery.position == delivery.origin else []
    if not isinstance(outcome, Retry) or delivery.position == delivery.origin:
        endings.append(_ending(outcome))
    return [_event(ending, delivery, attempt, outcome, source, now) for ending in endings]


class AsSent(GenerateJsonSchema):
    """The schema of ``body()``: what is not known is left out, and all else is there."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        """Never null, since it is left out then."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Show no default: what is left out is not known."""
        return self.generate_inner(schema["schema"])

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ARG002 - pydantic's own signature
        """Tell whether a field is always there."""
        return field["schema"].get("default", ...) is not None


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of an outcome event; its id changes with it."""
    schema = OutcomeEvent.model_json_schema(schema_generator=AsSent)
    return {"$schema": _JSON_SCHEMA, "$id": SCHEMA_ID, **schema}


def _ending(outcome: Outcome) -> Ending:
    match outcome:
        case Confirmed():
            return Ending.RECOVERED if outcome.recovered else Ending.CONFIRMED
        case Duplicate():
            return Ending.DUPLICATE
        case Rejected():
            return Ending.REJECTED
    return Ending.DELAYED


def _event(
    ending: Ending, delivery: Delivery, attempt: Attempt, outcome: Outcome, source: str, now: datetime
) -> OutcomeEvent:
    return OutcomeEvent(
        id=identity.outcome_event_id(delivery.origin, _IDENTITIES[ending]),
        source=source,
        type=ending.type,
        subject=attempt.event.customer_tenant_id if attempt.event else None,
        time=now.astimezone(UTC),
        causation_id=attempt.cloud_event_id or delivery.event_id,
        correlation_id=str(delivery.correlation_id),
        data=OutcomeData(
            **_verdict(ending, outcome),
            **_about(delivery, attempt),
            # What came of the attempt in hand is told with its ending.
            **({} if ending is Ending.REPLAYED else _answer(delivery, attempt, outcome)),
        ),
    )


def _verdict(ending: Ending, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Confirmed) or ending is Ending.REPLAYED:
        reason, actor, text = None, Actor.NOBODY, None
    else:
        reason, actor, text = outcome.reason, outcome.reason.actor, outcome.reason.advice
    advice = _ADVICE[actor] if ending.final else Advice.WAIT
    return {
        "outcome": ending,
        "final": ending.final,
        "reason": reason,
        "detail": outcome.detail if isinstance(outcome, Rejected) and ending.final else None,
        "advice": advice,
        "advice_text": text,
        "actor": actor,
        "resend": advice is Advice.CORRECT_AND_RESEND,
    }


def _about(delivery: Delivery, attempt: Attempt) -> dict[str, Any]:
    event = attempt.event
    return {
        "event_id": attempt.event_id or delivery.event_id,
        "customer_tenant_id": event.customer_tenant_id if event else None,
        "date_agreed": event.date_agreed.instant if event else None,
        "received_at": delivery.first_enqueued_time.astimezone(UTC),
        "attempt": delivery.attempt,
        "replay": delivery.replay,
        "correlation_id": str(delivery.correlation_id),
    }


def _answer(delivery: Delivery, attempt: Attempt, outcome: Outcome) -> dict[str, Any]:
    refusal, answer = attempt.refusal, attempt.answer
    asked = str(delivery.request_id) if attempt.posted else None
    return {
        "template_id": answer.template_id or None if isinstance(answer, Agreement) else None,
        "retry_at": outcome.at.astimezone(UTC) if isinstance(outcome, Retry) else None,
        "http_status": refusal.status if refusal else None,
        "error_code": attempt.error_code,
        "request_id": asked or (refusal.request_id if refusal else None),
    }
