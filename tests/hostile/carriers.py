"""Every way in which publishers carry an event, and ways in which they try to."""

import base64
import codecs
import gzip
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.test_dotnet import record, wrapped

STRUCTURED = "application/cloudevents+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Carried:
    """The body of a message, with what it says about its body."""

    body: bytes
    content_type: str | None = "application/json"
    properties: Mapping[str, object] | None = None


type Carrier = Callable[[str, random.Random], Carried]


def encoded(text: str) -> bytes:
    """Return the text in UTF-8; surrogates that came from an escape stay what they are."""
    return text.encode("utf-8", "surrogatepass")


def _in_another_encoding(text: str, chance: random.Random) -> Carried:
    name = chance.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
    errors = "surrogatepass"
    return Carried(
        codecs.BOM_UTF8 + text.encode("utf-8", errors) if name == "utf-8-sig" else text.encode(name, errors)
    )


def _in_a_string(text: str, chance: random.Random) -> Carried:
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        text = json.dumps(text)
    return Carried(encoded(text), "text/plain")


def _in_an_array(text: str, chance: random.Random) -> Carried:
    copies = chance.choice([1, 1, 1, 0, 2, 500 if len(text) < 2000 else 3])
    return Carried(encoded(f"[{', '.join([text] * copies)}]"))


def _structured(text: str, chance: random.Random) -> Carried:
    version = chance.choice(['"1.0"', '"1.0"', '"1.1"', '"0.3"', "1.0", "1", "null", "[1]"])
    event_id = chance.choice(['"7"', '"7"', "7", '"\\ud800"', '"\\u0000"', "null", "{}", f'"{"7" * 5000}"'])
    name = chance.choice(["data", "data", "data", "Data", "data_base64"])
    data = json.dumps(base64.b64encode(encoded(text)).decode()) if name == "data_base64" else text
    envelope = (
        f'{{"specversion": {version}, "id": {event_id}, "source": "/crm", "type": "t", "{name}": {data}}}'
    )
    return Carried(encoded(envelope), chance.choice([STRUCTURED, STRUCTURED, None, "application/json"]))


def _binary(text: str, chance: random.Random) -> Carried:
    prefix = chance.choice(["cloudEvents_", "cloudEvents:"])
    given: dict[str, object] = {
        "specversion": chance.choice(["1.0", "1.0", 1.0, 1, "2.0", "", None, True, -(2**63), 1e400]),
        "id": chance.choice(["7", 7, "", "\ud800", "\x00", None, 2**63, "7" * 5000]),
        "source": chance.choice(["/crm", "/crm", None, 0, False]),
        "data": text[:20],
    }
    return Carried(encoded(text), properties={prefix + name: value for name, value in given.items()})


def _dotnet(text: str, chance: random.Random) -> Carried:
    body, at, records = encoded(text), 0, b""
    sizes = [0, 1, 3, 80, 255, len(body)]
    while at < len(body):
        size = chance.choice(sizes) if len(body) < 2000 else len(body) - at
        piece = body[at : at + size]
        records += record(0x9C, 4, piece) if len(piece) > 255 else record(0x98, 1, piece)
        at += len(piece)
    ending = chance.choice([b"\x01", b"\x01", b"", b"\x00", b"\x99\xff", b"\x9d\xff\xff\xff\xff"])
    return Carried(wrapped(records + ending, chance.choice([b"string", b"base64Binary"])), None)


def _xml(text: str, chance: random.Random) -> Carried:
    element = f'<?xml version="1.0"?><event>{escape(text)}</event>'
    return Carried(chance.choice([b"", codecs.BOM_UTF8, b" \n"]) + encoded(element), "application/xml")


def _dataverse(text: str, chance: random.Random) -> Carried:
    inputs = f'[{{"key": "Target", "value": {text}}}]'
    told = '"PrimaryEntityName": "account", "MessageName": "Update", "BusinessUnitId": "b"'
    context = f'{{{told}, "InputParameters": {inputs}}}'
    return Carried(encoded(context), chance.choice(["application/json", "application/msbin1"]))


CARRIERS: Mapping[str, Carrier] = {
    "plain": lambda text, _: Carried(encoded(text)),
    "other encoding": _in_another_encoding,
    "in a string": _in_a_string,
    "in an array": _in_an_array,
    "structured": _structured,
    "binary": _binary,
    "dotnet": _dotnet,
    "xml": _xml,
    "dataverse": _dataverse,
    "gzip": lambda text, _: Carried(gzip.compress(encoded(text), 1)),
}
