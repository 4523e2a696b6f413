"""Deliveries in which everything personal or secret is planted, and far ends that send it back."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.far_end import Asked, Cut, Say
from tests.test_dotnet import record, wrapped

NOW = datetime.now(UTC)
CONTACT = {
    "firstName": "Zoraida",
    "lastName": "Quintanilla",
    "email": "zq@planted.example",
    "phoneNumber": "+34 600 700 800",
}
SECRETS = {
    "client secret": "Planted8Q~client-secret",
    "refresh token": "0.PlantedRefreshToken",
    "access token": "PlantedHeader.PlantedAccessToken.PlantedSignature",
    "next access token": "PlantedHeader.PlantedNextToken.PlantedSignature",
}
PLANTED = (*CONTACT.values(), *SECRETS.values(), "Planted")
TYPE = "MicrosoftCustomerAgreement"
TEMPLATE = "117a77b0-9360-443b-8795-c6dedc750cf9"
OTHER_TEMPLATE = "227a77b0-9360-443b-8795-c6dedc750cf9"
EVENT = {
    "customerTenantId": "14876998-c0dc-46e6-9d0c-65a57a6c32ec",
    "dateAgreed": "2018-06-14T00:00:00Z",
    "primaryContact": CONTACT,
}
DATAVERSE = {
    "PrimaryEntityName": "Planted",
    "MessageName": "Planted",
    "BusinessUnitId": "Planted",
    "InputParameters": [EVENT],
}
AGREEMENT = {
    "primaryContact": CONTACT,
    "dateAgreed": "2018-06-14T00:00:00",
    "type": TYPE,
    "templateId": TEMPLATE,
}
OTHER = {**AGREEMENT, "primaryContact": {**CONTACT, "firstName": "Planted"}}
LATER = {**OTHER, "dateAgreed": "2019-01-01T00:00:00"}

type Answer = Callable[[Asked], Say | Cut]


def echo(status: int, code: object = None, **headers: str) -> Answer:
    """Answer with all that was sent, in every place where a service might put it."""

    def answer(asked: Asked) -> Say:
        sent = f"{asked.line} {asked.headers} {asked.body.decode()}"
        refusal = {
            "code": code,
            "message": sent,
            "description": " ".join(PLANTED),
            "errorName": CONTACT["email"],
            "errorMessageExtended": sent,
            "data": [CONTACT, sent],
            "parameters": CONTACT,
        }
        everywhere = {
            "MS-CV": CONTACT["email"],
            "MS-RequestId": SECRETS["access token"],
            "MS-CorrelationId": CONTACT["phoneNumber"],
            "Set-Cookie": f"who={SECRETS['access token']}",
            "WWW-Authenticate": f'Bearer error="{SECRETS["access token"]}"',
            "Location": f"https://localhost:1/{CONTACT['lastName']}?token={SECRETS['access token']}",
            "X-Echo": asked.body.decode("latin-1"),
        }
        return Say(status=status, headers={**everywhere, **headers}, body=json.dumps(refusal).encode())

    return answer


def say(value: object, status: int = 200) -> Answer:
    return lambda _: Say(status=status, body=json.dumps(value).encode())


def text(body: str, status: int = 200, **headers: str) -> Answer:
    return lambda _: Say(status=status, body=body.encode(), headers=headers)


def slow(asked: Asked) -> Say:
    time.sleep(0.6)
    return Say()


def templates(*ids: str) -> Answer:
    return say({"items": [{"templateId": name, "agreementType": TYPE, "versionRank": 1} for name in ids]})


def in_turn(*answers: Answer) -> Answer:
    """Answer one way after the other."""
    left = list(answers)
    return lambda asked: left.pop(0)(asked)


def event(**changes: object) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


CREATED = say(AGREEMENT, 201)
NO_RECORDS = say([])
CURRENT = templates(TEMPLATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One delivery: what it brings, and what the service answers to it."""

    body: bytes = event()
    post: Answer = CREATED
    records: Answer = NO_RECORDS
    templates: Answer = CURRENT
    delivery_count: int = 1
    content_type: str = "application/json"
    enqueued: datetime = NOW
    properties: Mapping[str, object] = field(default_factory=dict)


AGAIN = {"mcaRetryingSince": "2018-01-01T00:00:00Z", "mcaRetryKind": "transient"}
OLD = NOW - timedelta(days=1)
# A message may have 256 KB: the event fits into one, with our properties it does not.
NEARLY_FULL = event(padding="x" * (261_500 - len(event(padding=""))))
PLAYS: Mapping[str, Play] = {
    "confirmed": Play(),
    "recovered": Play(delivery_count=2, records=say([AGREEMENT])),
    "superseded": Play(delivery_count=2, records=say([LATER])),
    "the same on record": Play(post=echo(400, 600061), records=say({"items": [AGREEMENT]})),
    "another on record": Play(post=echo(400, 600061), records=say([OTHER])),
    "the record unreadable": Play(post=echo(400, 600061), records=echo(500)),
    "the record no JSON": Play(post=echo(400, 600061), records=text(" ".join(PLANTED))),
    "recorded as another type": Play(post=say({**AGREEMENT, "type": "MicrosoftCloudAgreement"}, 201)),
    "recorded for someone else": Play(post=say(OTHER, 201)),
    "just too early": Play(post=echo(400, 600002)),
    "tomorrow": Play(body=event(dateAgreed=(NOW + timedelta(days=9)).isoformat())),
    "no relationship": Play(post=echo(403, 20002), enqueued=OLD),
    "unknown customer": Play(post=echo(404, "60002"), enqueued=OLD),
    "under review": Play(post=echo(403, 800073), enqueued=OLD),
    "refused": Play(post=echo(400, 800002)),
    "refused without a code": Play(post=echo(400, " ".join(PLANTED))),
    "template replaced": Play(post=echo(400, 1), templates=in_turn(CURRENT, templates(OTHER_TEMPLATE))),
    "token refused": Play(post=echo(401)),
    "role missing": Play(post=text(f"{PLANTED} may not", 403)),
    "redirected": Play(post=echo(307)),
    "redirected to nowhere": Play(post=echo(307, Location=f"//[{CONTACT['lastName']}")),
    "busy": Play(post=echo(409)),
    "too large to come back": Play(body=NEARLY_FULL, post=echo(503)),
    "failing": Play(post=echo(500)),
    "not implemented": Play(post=echo(501)),
    "strange status": Play(post=echo(299)),
    "exhausted": Play(post=echo(500), properties=AGAIN),
    "empty": Play(post=text("", 201)),
    "no JSON": Play(post=text(f"<html>{PLANTED}</html>", 201)),
    "too long": Play(post=text(f"{PLANTED}" * 20_000, 201)),
    "no such encoding": Play(post=text(f"{PLANTED}", 201, **{"Content-Encoding": "gzip"})),
    "headers that are none": Play(post=text("{}", 500, X="x\r\nZoraida Quintanilla")),
    "cut": Play(post=lambda _: Cut()),
    "slow": Play(post=slow),
    "throttled": Play(post=echo(429, **{"Retry-After": CONTACT["lastName"]})),
    "field wrong": Play(body=event(dateAgreed="Planted", primaryContact=dict.fromkeys(CONTACT, "Planted\n"))),
    "field missing": Play(body=json.dumps({"primaryContact": CONTACT, "Planted": "Planted"}).encode()),
    "field twice": Play(body=b'{"Planted": "Zoraida", "Planted": "Quintanilla"}'),
    "template of the event's own": Play(body=event(templateId=str(uuid4()))),
    "not JSON": Play(body=b"Zoraida Quintanilla"),
    "not an object": Play(body=b'["Zoraida Quintanilla"]'),
    "xml": Play(body=b"<Planted/>"),
    "binary xml": Play(body=wrapped(record(0x99, 1, b"Planted"))),
    "nothing": Play(body=b" "),
    "several": Play(body=json.dumps([EVENT, EVENT]).encode()),
    "bad cloud event": Play(body=json.dumps({"specversion": "Planted", "data": EVENT}).encode()),
    "dataverse": Play(body=json.dumps(DATAVERSE).encode()),
}
TOKEN_ANSWERS: Mapping[str, Answer] = {
    "refused": say(
        {"error": "invalid_grant", "error_codes": [70008], "error_description": " ".join(PLANTED)}, 400
    ),
    "no JSON": text(" ".join(PLANTED)),
    "failing": echo(500),
    "redirected": echo(307),
    "no token": say({"token_type": "Bearer", "Planted": list(PLANTED)}),
}
