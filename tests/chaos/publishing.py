"""A file of good and bad rows that is published and killed on the way, and an audit of what became of each.

Each bad row is bad in one of many ways; some good ones come twice.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from local import control
from local.bus import Bus
from tests.chaos.chaos import settled
from tests.stacks import ROOT, Stack, empty

HEADER = "Customer Tenant ID;Date Agreed;First Name;last_name;E-Mail;primaryContact.phoneNumber;Type;Notes\n"
LONGEST_SECONDS = 3600.0
_TURN_SECONDS = 0.005
# Less than any line of a receipt has.
_LINE_BYTES = 250

type Cells = list[str]


def change(at: int, value: str) -> Callable[[Cells], str]:
    def changed(cells: Cells) -> str:
        return ";".join(value if index == at else cell for index, cell in enumerate(cells))

    return changed


# How a row can be bad, with what the receipt must say of it.
BAD: list[tuple[Callable[[Cells], str], str, str | None]] = [
    (change(0, "contoso.onmicrosoft.example"), "FieldInvalid", "customerTenantId"),
    (change(0, ""), "FieldMissing", "customerTenantId"),
    (change(1, "03/04/2026"), "FieldInvalid", "dateAgreed"),
    (change(1, "46115"), "FieldInvalid", "dateAgreed"),
    (change(1, "9999-01-01"), "DateInFuture", "dateAgreed"),
    (change(2, "   "), "FieldInvalid", "primaryContact.firstName"),
    (change(3, ""), "FieldMissing", "primaryContact.lastName"),
    (change(3, "#N/A"), "SpreadsheetDamage", "primaryContact.lastName"),
    (change(3, "O\0Brien"), "NulByte", "primaryContact.lastName"),
    (change(4, "nobody"), "FieldInvalid", "primaryContact.email"),
    (change(5, "4.93E+11"), "SpreadsheetDamage", "primaryContact.phoneNumber"),
    (change(6, "MicrosoftCloudAgreement"), "FieldInvalid", "type"),
    (change(3, "O\udcff"), "NotText", "primaryContact.lastName"),
    (change(7, '"a" b'), "QuotesDoNotMatch", None),
    (lambda cells: ";".join(cells[:5]), "CellsDoNotMatch", None),
    (lambda cells: ";".join([*cells, "more"]), "CellsDoNotMatch", None),
]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file: where it begins, whose it is, and what must become of it."""

    line: int
    customer: str
    status: str
    reason: str | None = None
    field: str | None = None
    text: str = ""


def make_rows(count: int, bad: int, chance: random.Random) -> Iterator[Row]:
    """Make the rows; each good one of a customer of its own, but for one in 500, which comes twice."""
    line, damaged = 2, set(chance.sample(range(count), bad))
    ways = cycle(BAD)
    for number in range(count):
        customer = f"{chance.getrandbits(28):08x}-beef-4000-8000-{number:012x}"
        notes = '"signed\nby hand"' if number % 7 == 0 else ""
        cells = [
            customer,
            "2026-10-01",
            f"Zoë {number}",
            "O'Brien",
            f"z{number}@contoso.example",
            "",
            "",
            notes,
        ]
        if number in damaged:
            way, reason, field = next(ways)
            yield Row(line, customer, "refused", reason, field, way(cells))
            line += way(cells).count("\n") + 1
            continue
        text = ";".join(cells)
        for status in ("sent", "repeated") if number % 500 == 3 else ("sent",):
            yield Row(line, customer, status, text=text)
            line += text.count("\n") + 1


def write(rows: list[Row], file: Path) -> None:
    text = HEADER + "".join(f"{row.text}\n" for row in rows)
    # With the mark that Excel writes; a byte that is no UTF-8 stands for itself.
    file.write_bytes(b"\xef\xbb\xbf" + text.encode(errors="surrogateescape"))


def command(stack: Stack, file: Path, *options: str) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-m", "agreements", "publish", str(file), "--yes", *options]
    with (file.parent / "told.txt").open("ab") as told:
        return subprocess.Popen(
            arguments, cwd=ROOT, env={**os.environ, **stack.environment}, stdout=subprocess.PIPE, stderr=told
        )


def kill_at(stack: Stack, file: Path, size: int, later: float, *options: str) -> bool:
    """Publish until the receipt has so many bytes, kill it soon after; return whether it was at work."""
    receipt = file.with_name(f"{file.name}.receipt.jsonl")
    with command(stack, file, *options) as process:
        while process.poll() is None:
            if receipt.exists() and receipt.stat().st_size >= size:
                time.sleep(later)  # wherever in a batch that is
                process.kill()
                return process.wait() < 0
            time.sleep(_TURN_SECONDS)
    return False


def publish_and_kill(
    folder: Path, *, count: int, bad: int, kills: int, seed: int, rate: str | None = None
) -> dict[str, object]:
    """Publish a file, killed so many times on the way; audit receipt and ledger; return the figures."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, and nothing is kept secret by it
    rows = list(make_rows(count, bad, chance))
    file = folder / "acceptances.csv"
    write(rows, file)
    pace = ["--rate", rate] if rate else []
    with empty(folder, "--seed", str(seed)) as stack:
        began = time.monotonic()
        sizes = [int(chance.uniform(0.05, 0.8) * _LINE_BYTES * count) for _ in range(kills)]
        killed = sum(kill_at(stack, file, size, chance.uniform(0, 0.03), *pace) for size in sorted(sizes))
        with command(stack, file, "--wait") as process:
            out, _ = process.communicate()
        seconds = time.monotonic() - began
        assert process.returncode == 1, "some are refused"
        tally, endings = map(json.loads, out.splitlines())
        with command(stack, file) as process:
            again, _ = process.communicate()

        async def rest() -> list[str]:
            async with asyncio.timeout(LONGEST_SECONDS), Bus(stack.environment["ServiceBus"]) as opened:
                return [message.reason for message in await settled(stack, opened)]

        parked = Counter(asyncio.run(rest()))
        ledger = Counter(str(one["customerTenantId"]) for one in control.ledger(stack.environment))
    audit(rows, file, tally, ledger)
    good = len(ledger)
    assert endings == {"confirmed": good, "duplicate": 0, "rejected": 0, "underWay": 0}, "and was told so"
    assert json.loads(again)["sent"] == 0, "the same file again sends nothing"
    assert killed == kills, "each kill met a run at work"
    return {
        "rows": len(rows),
        "refused": bad,
        "kills": killed,
        "confirmed": good,
        "parkedSinceSentTwice": dict(parked),
        "secondsUntilAllWereTold": round(seconds, 1),
    }


def audit(rows: list[Row], file: Path, tally: dict[str, int], ledger: Counter[str]) -> None:
    """Compare what the receipt tells, and what is on record, with what must be."""
    told = [
        json.loads(line) for line in file.with_name(f"{file.name}.receipt.jsonl").read_bytes().splitlines()
    ]
    expected = Counter((row.line, row.status, row.reason, row.field) for row in rows)
    found = Counter((one["line"], one["status"], one.get("reason"), one.get("field")) for one in told)
    assert found == expected, "one line for each record, with its line, and the field of a bad one"
    good = {row.customer for row in rows if row.status == "sent"}
    assert {one["customerTenantId"] for one in told if one["status"] == "sent"} == good
    assert set(ledger) == good, "every good row is on record, and nothing else"
    assert set(ledger.values()) == {1}, "once"
    assert all(
        one["told"]["outcome"] in ("confirmed", "recovered") for one in told if one["status"] == "sent"
    )
    assert tally["read"] == len(rows)
    assert sum(tally.values()) == 2 * len(rows), "the counts add up to the records read"
