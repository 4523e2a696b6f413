"""The contract as an AsyncAPI 3.0 document: where events come in, where outcomes go out, in which formats.

AsyncAPI has no binding for Service Bus, and allows nothing in the one for AMQP 1.0: what a client should
know of the queue and the topic stands in the extension ``x-azure-service-bus``.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic.json_schema import models_json_schema

from agreements import events, outcome_events
from agreements.deliveries import Property
from agreements.errors import Actor, Reason
from agreements.events import AcceptanceEvent
from agreements.outcome_events import Advice, AsSent, Ending, OutcomeData, OutcomeEvent

type Json = dict[str, Any]

EXTENSION = "x-azure-service-bus"
# Of the contract as a whole; the schemas have versions of their own.
_VERSION = "1.0.0"
_SCOPE = "https://servicebus.azure.net/.default"
_EVENT: Json = {
    "customerTenantId": "14876998-c0dc-46e6-9d0c-65a57a6c32ec",
    "dateAgreed": "2026-09-14T09:30:00+02:00",
    "primaryContact": {
        "firstName": "Tania",
        "lastName": "Carr",
        "email": "tania.carr@example.com",
        "phoneNumber": "+49 30 1234567",
    },
}
_ATTRIBUTES: Json = {
    "specversion": "1.0",
    "id": "acceptance-4711",
    "source": "https://crm.example.com/acceptances",
    "type": "com.example.crm.acceptance",
}


def document() -> Json:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:agreements:asyncapi",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": {"serviceBus": _server()},
        "channels": {"acceptances": _acceptances(), "outcomes": _outcomes()},
        "operations": _operations(),
        "components": {
            "messages": {
                "plain": _plain(),
                "structured": _structured(),
                "binary": _binary(),
                "outcome": _outcome(),
            },
            "schemas": _schemas(),
            "securitySchemes": {"entra": _entra()},
        },
    }


def _info() -> Json:
    return {
        "title": "Acceptances of the Microsoft Customer Agreement",
        "version": _VERSION,
        "description": "CRM systems publish a customer's acceptance; this app confirms it to Microsoft and "
        "tells what became of it. Operations are the app's: a CRM system sends what it receives.",
        "license": {"name": "MIT"},
    }


def _server() -> Json:
    return {
        "host": "{namespace}.servicebus.windows.net",
        "protocol": "amqps",
        "protocolVersion": "1.0",
        "description": "Azure Service Bus: AMQP 1.0 over TLS on port 5671, or in web sockets on port 443.",
        "variables": {"namespace": {"description": "The name of the namespace."}},
        "security": [_ref("components", "securitySchemes", "entra")],
    }


def _entra() -> Json:
    return {
        "type": "oauth2",
        "description": "A token of Microsoft Entra ID for an identity with the role Azure Service Bus Data "
        "Sender on the queue, or Data Receiver on its subscription. For organizations put the tenant's id.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
                "availableScopes": {_SCOPE: "What the identity's roles allow."},
            }
        },
        "scopes": [_SCOPE],
    }


def _acceptances() -> Json:
    names = ("plain", "structured", "binary")
    return {
        "address": "agreement-acceptances",
        "title": "Acceptances",
        "description": "One message for each acceptance, in any of the formats.",
        "messages": {name: _ref("components", "messages", name) for name in names},
        EXTENSION: {
            "entity": "queue",
            "requiresSession": False,
            "requiresDuplicateDetection": False,
            "lockDuration": "PT1M",
            "maxDeliveryCount": 50,
        },
    }


def _outcomes() -> Json:
    return {
        "address": "agreement-outcomes",
        "title": "Outcomes",
        "description": "What became of each acceptance: at least once, in no order; repeats share an id.",
        "messages": {"outcome": _ref("components", "messages", "outcome")},
        EXTENSION: {
            "entity": "topic",
            "requiresDuplicateDetection": True,
            "duplicateDetectionHistoryTimeWindow": "P7D",
            "defaultMessageTimeToLive": "P14D",
        },
    }


def _operations() -> Json:
    return {
        "receiveAcceptance": {
            "action": "receive",
            "channel": _ref("channels", "acceptances"),
            "summary": "A CRM system tells that a customer accepted.",
        },
        "sendOutcome": {
            "action": "send",
            "channel": _ref("channels", "outcomes"),
            "summary": "The app tells what became of an acceptance.",
        },
    }


def _plain() -> Json:
    return {
        "name": "plain",
        "title": "An acceptance as plain JSON",
        "contentType": "application/json",
        "correlationId": {"location": "$message.header#/messageId"},
        "headers": _object({"messageId": _text("The message's own id: causationid of what is told.")}),
        "payload": _ref("components", "schemas", AcceptanceEvent.__name__),
        "examples": [{"name": "plain", "headers": {"messageId": _ATTRIBUTES["id"]}, "payload": _EVENT}],
    }


def _structured() -> Json:
    example = _ATTRIBUTES | {"datacontenttype": "application/json", "data": _EVENT}
    return {
        "name": "structured",
        "title": "An acceptance as a CloudEvent in structured mode",
        "contentType": "application/cloudevents+json",
        "correlationId": {"location": "$message.payload#/id"},
        "payload": _ref("components", "schemas", "CloudEvent"),
        "examples": [{"name": "structured", "payload": example}],
    }


def _binary() -> Json:
    headers = {f"cloudEvents_{name}": schema for name, schema in _attributes().items()}
    return {
        "name": "binary",
        "title": "An acceptance as a CloudEvent in binary mode",
        "description": "The attributes are application properties; the prefix cloudEvents: is read as well.",
        "contentType": "application/json",
        "correlationId": {"location": "$message.header#/cloudEvents_id"},
        "headers": _object(headers, required=list(headers)),
        "payload": _ref("components", "schemas", AcceptanceEvent.__name__),
        "examples": [
            {
                "name": "binary",
                "headers": {f"cloudEvents_{name}": value for name, value in _ATTRIBUTES.items()},
                "payload": _EVENT,
            }
        ],
    }


def _outcome() -> Json:
    headers = {
        Property.OUTCOME.value: {"type": "string", "enum": list(map(str, Ending))},
        Property.REASON.value: _text("Why it was not simply confirmed, as in data."),
        Property.CUSTOMER_TENANT_ID.value: _text("The customer, as in data."),
        Property.EVENT_ID.value: _text("The id to search by, as in data, cut off if it is very long."),
    }
    example = _example()
    return {
        "name": "outcome",
        "title": "What became of an acceptance",
        "contentType": outcome_events.CONTENT_TYPE,
        "correlationId": {"location": "$message.payload#/causationid"},
        "headers": _object(headers, required=[Property.OUTCOME.value, Property.EVENT_ID.value]),
        "payload": _ref("components", "schemas", OutcomeEvent.__name__),
        "examples": [
            {
                "name": "rejected",
                "headers": {
                    Property.OUTCOME.value: str(Ending.REJECTED),
                    Property.REASON.value: str(Reason.FIELD_INVALID),
                    Property.EVENT_ID.value: example.data.event_id,
                },
                "payload": example.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
        ],
    }


def _example() -> OutcomeEvent:
    correlation = "ab993325-1605-4cf4-bac4-fb584142a31b"
    return OutcomeEvent(
        id=UUID("0f6c1f43-9c3f-5a53-8f0b-3f0b8a3b1c55"),
        source="sb://contoso.servicebus.windows.net/agreement-acceptances",
        type=Ending.REJECTED.type,
        time=datetime(2026, 9, 14, 7, 30, 5, tzinfo=UTC),
        causation_id=_ATTRIBUTES["id"],
        correlation_id=correlation,
        data=OutcomeData(
            outcome=Ending.REJECTED,
            final=True,
            reason=Reason.FIELD_INVALID,
            detail="FieldInvalid primaryContact.email must be an e-mail address",
            advice=Advice.CORRECT_AND_RESEND,
            advice_text=Reason.FIELD_INVALID.advice,
            actor=Actor.PUBLISHER,
            resend=True,
            event_id=f"{_ATTRIBUTES['source']} {_ATTRIBUTES['id']}",
            received_at=datetime(2026, 9, 14, 7, 30, 4, tzinfo=UTC),
            attempt=1,
            replay=0,
            correlation_id=correlation,
        ),
    )


def _schemas() -> Json:
    template = "#/components/schemas/{model}"
    _, read = models_json_schema([(AcceptanceEvent, "validation")], ref_template=template)
    _, sent = models_json_schema(
        [(OutcomeEvent, "validation")], ref_template=template, schema_generator=AsSent
    )
    found: Json = {**read["$defs"], **sent["$defs"], "CloudEvent": _cloud_event()}
    found[AcceptanceEvent.__name__]["x-schema-id"] = events.SCHEMA_ID
    found[OutcomeEvent.__name__]["x-schema-id"] = outcome_events.SCHEMA_ID
    return found


def _cloud_event() -> Json:
    carriers = {
        "data": _ref("components", "schemas", AcceptanceEvent.__name__),
        "data_base64": _text("The event's JSON, in base64.") | {"contentEncoding": "base64"},
    }
    return {
        **_object(_attributes() | carriers, required=list(_ATTRIBUTES)),
        "description": "CloudEvents 1.0 in JSON; other attributes and extensions are ignored.",
        "oneOf": [{"required": [name]} for name in carriers],
    }


def _attributes() -> Json:
    return {
        "specversion": {"type": "string", "const": "1.0"},
        "id": _text("Of this acceptance, unique in its source: causationid of what is told."),
        "source": _text("The CRM system, as a URI reference.") | {"format": "uri-reference"},
        "type": _text("The publisher's own; not looked at."),
    }


def _object(properties: Json, required: list[str] | None = None) -> Json:
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _text(description: str) -> Json:
    return {"type": "string", "minLength": 1, "description": description}


def _ref(*path: str) -> Json:
    return {"$ref": f"#/{'/'.join(path)}"}
