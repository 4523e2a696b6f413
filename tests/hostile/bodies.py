"""Hostile bodies: each made from a seed and its number alone, so that any of them can be made again.

Every value that could be a person's is planted: it holds one of ``MARKERS``, which no error may show.
"""

import json
import random
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

from tests.hostile.carriers import CARRIERS, Carried, encoded

MARKERS = ("planted", "Planted", "8675309", "facade00", "1931-07")
_LONG = 200_000
_DEPTHS = (40, 900, 5_000, 9_000, 100_000)
_SCALARS = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), -0.0,
    10**30, -(10**30), 2**63, 10**300, 8675309,
)  # fmt: skip
_STRINGS = (
    "", " ", "planted", "\x00planted", "planted\ud800", "\udfff", "planted\n", "\u2028",
    "1931-07-32", "1931-07-14T25:00", "0000-07-14", "9999-12-31T23:59:59-14:00", "8675309",
    "\u0661\u0669\u0663\u0661-\u0660\u0667-\u0661\u0664", "planted@", "@planted", "a@b@planted",
    "facade00", "{facade00}",
)  # fmt: skip
_CONTAINERS: tuple[object, ...] = ([], {}, [[]], [{}], {"": None}, ["planted"], {"planted": "planted"})
_NAMES = (
    "customerTenantId", "dateAgreed", "primaryContact", "type", "templateId", "CUSTOMERTENANTID",
    "primarycontact", "firstName", "lastName", "email", "phoneNumber", "specversion", "data", "data_base64",
    "id", "source",
)  # fmt: skip
_CONTENT_TYPES = (
    "application/json", "text/plain", "", ";", "application/cloudevents+json",
    "APPLICATION/CLOUDEVENTS", "application/cloudevents-batch+json", "application/msbin1", "\ud800planted",
    "application/json; charset=planted", "a" * 5000, "\x00",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A message, and what kind of hostility it shows."""

    kind: str
    carried: Carried


def event(chance: random.Random) -> dict[str, object]:
    """Return a good event whose every value is planted."""
    digits = f"{chance.getrandbits(32):08x}"
    contact = {
        "firstName": chance.choice(["Planted Zoë", "Planted\u00a0Ō\u02bb", "planted 李小龍"]) + digits,
        "lastName": chance.choice(["O'Planted", "van der Planted", "planted\u202e\u200b"]),
        "email": f"planted.{digits}@planted.example",
        "phoneNumber": "+49 8675309",
    }
    return {
        "customerTenantId": f"facade00-c0dc-46e6-9d0c-{chance.getrandbits(48):012x}",
        "dateAgreed": chance.choice(
            ["1931-07-14", "1931-07-14T09:30:00Z", "1931-07-14T09:30:00.123456+02:00"]
        ),
        "primaryContact": contact,
    }


def _strange(chance: random.Random) -> object:
    """Return a value that no publisher should send, with a marker wherever one fits."""
    match chance.randrange(7):
        case 0:
            return chance.choice(_SCALARS)
        case 1 | 2:
            return chance.choice(_STRINGS)
        case 3:
            return deepcopy(chance.choice(_CONTAINERS))
        case 4:
            return [_strange(chance) for _ in range(chance.randrange(4))]
        case 5:
            names = [chance.choice([*_NAMES, "planted", "\ud800"]) for _ in range(chance.randrange(4))]
            return {name: _strange(chance) for name in names}
    return event(chance)


def _part(chance: random.Random, found: dict[str, object]) -> dict[str, object]:
    """Return where a field of an event is to be changed: the event itself or its contact."""
    contact = found["primaryContact"]
    return contact if isinstance(contact, dict) and chance.random() < 0.5 else found


def _wrong_values(chance: random.Random) -> str:
    found = event(chance)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        part = _part(chance, found) if "primaryContact" in found else found
        part[chance.choice(_NAMES)] = _strange(chance)
    return json.dumps(found, ensure_ascii=chance.random() < 0.5)


def _swapped(chance: random.Random) -> str:
    found = event(chance)
    part = _part(chance, found)
    first, second = chance.sample(sorted(part), 2)
    part[first], part[second] = part[second], part[first]
    return json.dumps(found)


def _missing(chance: random.Random) -> str:
    found = event(chance)
    part = _part(chance, found)
    del part[chance.choice(sorted(part))]
    return json.dumps(found)


def _twice(chance: random.Random) -> str:
    name = chance.choice(["dateAgreed", "firstName", "email", "primaryContact"])
    spelt = chance.choice([name, name.upper(), name.lower(), name.replace("a", "\\u0061")])
    return json.dumps(event(chance)).replace(
        f'"{name}"', f'"{spelt}": {json.dumps(_strange(chance))}, "{name}"'
    )


def _numbers(chance: random.Random) -> str:
    digits = "8675309" * chance.choice([1, 100, 613, 616, _LONG // 7])
    number = chance.choice(["{}", "-{}", "{}.0", "0.{}", "1e{}", "-1e-{}", "{}e5"]).format(digits)
    return _with_raw(chance, number)


def _deep(chance: random.Random) -> str:
    depth = chance.choice(_DEPTHS)
    opening, closing = chance.choice([("[", "]"), ('{"planted":', "}"), ('{"primaryContact":', "}")])
    middle = chance.choice(['"planted"', "[]", "8675309"])
    closed = depth if chance.random() < 0.7 else chance.randrange(depth)
    return _with_raw(chance, opening * depth + middle + closing * closed)


def _long(chance: random.Random) -> str:
    piece = chance.choice(
        [
            "planted",
            "@planted",
            "planted@a.",
            " ",
            "\\u0020",
            "\\ud800",
            "1931-07-",
            "\\\\",
            '\\"',
            "é",
            "facade00",
            "(",
        ]
    )
    return _with_raw(chance, f'"{piece * (_LONG // len(piece))}"')


def _wide(chance: random.Random) -> str:
    many = chance.choice(['{"planted": 1}', "8675309", '"planted"', "null", "[]", '{"a": {"b": {}}}'])
    if chance.random() < 0.5:
        return _with_raw(chance, f"[{','.join([many] * (_LONG // (len(many) + 1)))}]")
    return json.dumps(event(chance) | {f"planted{number}": None for number in range(10_000)})


def _with_raw(chance: random.Random, raw: str) -> str:
    """Return an event with raw text for a value, or the raw text alone."""
    if chance.random() < 0.2:
        return raw
    found = event(chance)
    _part(chance, found)[chance.choice(_NAMES)] = "@raw@"
    return json.dumps(found).replace('"@raw@"', raw)


def _random_json(chance: random.Random) -> str:
    return json.dumps(_strange(chance), ensure_ascii=chance.random() < 0.5)


# The heavy ones are rare: each is as big as a message may be.
TEXTS: Mapping[str, tuple[int, Callable[[random.Random], str]]] = {
    "good event": (300, lambda chance: json.dumps(event(chance), ensure_ascii=chance.random() < 0.5)),
    "wrong values": (250, _wrong_values),
    "swapped fields": (60, _swapped),
    "missing field": (60, _missing),
    "field twice": (100, _twice),
    "huge number": (20, _numbers),
    "any JSON": (120, _random_json),
    "deep nesting": (5, _deep),
    "long string": (5, _long),
    "wide object": (2, _wide),
}
_KINDS, _WEIGHTS = zip(*((kind, weight) for kind, (weight, _) in TEXTS.items()), strict=True)


def make(seed: int, number: int) -> Case:
    """Return one case; the same for the same seed and number."""
    chance = random.Random(seed << 64 | number)  # noqa: S311 - repeatable, and nothing is kept secret by it
    if chance.random() < 0.08:
        return Case("random bytes", _hostile_around(_noise(chance), chance))
    [kind] = chance.choices(_KINDS, _WEIGHTS)
    text = TEXTS[kind][1](chance)
    carrier = chance.choice(list(CARRIERS)) if chance.random() < 0.8 else "plain"
    carried = CARRIERS[carrier](text, chance)
    if chance.random() < 0.4:
        carried = _hostile_around(_mutated(carried.body, chance), chance, carried)
    return Case(f"{kind}, {carrier}", carried)


def _noise(chance: random.Random) -> bytes:
    body = bytearray(chance.randbytes(chance.choice([0, 1, 2, 3, 4, 16, 300, 5_000])))
    at = chance.randrange(len(body) + 1)
    body[at:at] = chance.choice(
        [b"", b"planted", b'{"planted":', b'"planted"', b"\xff\xfe", b"<planted", b"@\x06string"]
    )
    return bytes(body)


def _mutated(body: bytes, chance: random.Random) -> bytes:
    """Return the body with some bytes flipped, cut, doubled or put in."""
    changed = bytearray(body)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at : at + chance.choice([1, 2, 50])]
            case 2:
                del changed[at:]
            case 3:
                changed[at:at] = changed[at : at + 40]
            case _:
                changed[at:at] = chance.choice(
                    [b"\x00", b"\xff", b'"', b"{", b"]", b",", b"\\u", b"NaN", encoded("é")]
                )
    return bytes(changed)


def _hostile_around(body: bytes, chance: random.Random, carried: Carried | None = None) -> Carried:
    """Return the body, sometimes with a content type and properties that have nothing to do with it."""
    content_type, properties = (carried.content_type, carried.properties) if carried else (None, None)
    if chance.random() < 0.3:
        content_type = chance.choice(_CONTENT_TYPES)
    if chance.random() < 0.2:
        names = [
            "specversion",
            "cloudEvents_specversion",
            "cloudEvents:specversion",
            "cloudEvents_id",
            "planted",
            "",
        ]
        properties = {name: _strange(chance) for name in chance.sample(names, 3)}
    return Carried(body, content_type, properties)
