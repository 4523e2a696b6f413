"""Commands that take messages out to a file and back, so that an event can be mended by hand."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agreements import events
from agreements.cli import output, talk
from agreements.cli.applying import Wish, Yes, apply, confirm
from agreements.cli.options import Filters, Reveal, Why, filtered
from agreements.cli.parked import EVERYWHERE, found, operations
from agreements.cli.planning import audit_file, folder, own_plan
from agreements.dead_letters import Action
from agreements.errors import EventError
from agreements.exports import from_record, to_record
from agreements.messages import ParkedMessage, Place
from agreements.operations import Operations
from agreements.pacing import Pace
from agreements.selection import Selection

# A person mended it: how often it was replayed as it was does not count.
_ANY = 2**31 - 1


def write(path: Path, messages: Iterable[ParkedMessage]) -> int:
    """Write messages to a new file for its owner alone; return how many.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    count = 0
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
    try:
        with file:
            for message in messages:
                count += 1
                file.write(json.dumps(to_record(message), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        # Half of it looks like all of it, and holds personal data that nobody asked for.
        path.unlink()
        raise
    return count


@filtered
def export(
    chosen: Filters,
    *,
    file: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A file that is not there yet.")
    ],
) -> None:
    """Write messages to a file, without loss: body, kind of body, properties with their types; a line each.

    Looks only. The file holds personal data: it is made for its owner alone, delete it when it is not needed.
    Needs the role Azure Service Bus Data Receiver. Exit code 3 when nothing is found.

    Example: agreements parked export --from rejections --reason FieldInvalid -o mend.jsonl
    """
    with operations() as at:
        count = write(file, found(at, chosen, EVERYWHERE))
    talk.say(f"{count} written to {file}: personal data, delete it when it is not needed")
    raise typer.Exit(0 if count else output.NOTHING)


@dataclass(frozen=True, slots=True)
class Mended:
    """A message as a file has it, and the fingerprint of what was exported."""

    message: ParkedMessage
    fingerprint: str


def import_(
    file: Annotated[Path, typer.Argument(help="A file that export or discard wrote, mended or not.")],
    *,
    why: Why,
    restore: Annotated[
        bool, typer.Option("--restore", help="Send also events whose message is gone, as after discard.")
    ] = False,
    reveal: Reveal = False,
    yes: Yes = False,
) -> None:
    """Send exported events again, mended by hand: each takes the place of its message.

    Every body is checked against the contract first, and what was changed is shown by field. Resumes and
    reports as `parked replay` does; the same file is sent once, however often it is given. Needs the roles
    Azure Service Bus Data Receiver and Data Sender. Exit codes: 0 all done, 1 an event is not valid, 3
    nothing to do, 4 partly done, 5 refused.

    Example: agreements parked import mend.jsonl --why "address corrected with the customer"
    """
    wish = Wish(why=why, pace=Pace(), yes=yes, checked=False)
    mended = _read(file)
    with operations() as at:
        raise typer.Exit(_import(at, file, mended, wish, restore=restore, reveal=reveal))


def _read(file: Path) -> list[Mended]:
    problems, mended = 0, []
    seen: dict[tuple[Place, int], int] = {}
    with output.failures():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise output.end(output.FAILED, f"{file}: not UTF-8: nothing was sent") from None
    # Not by splitlines: a name may hold a character that it takes for the end of a line.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        try:
            message, fingerprint = from_record(line)
            events.parse(message.body, message.content_type, message.plain_properties)
            mended.append(Mended(message, fingerprint))
        except (ValueError, EventError) as error:
            talk.say(f"{file}, line {number}: {error}")
            problems += 1
        else:
            if (first := seen.setdefault((message.place, message.sequence_number), number)) != number:
                talk.say(f"{file}, line {number}: the sequenceNumber of line {first}: give each its own")
                problems += 1
    if problems:
        raise output.end(output.FAILED, "nothing was sent")
    return mended


def _import(
    at: Operations, file: Path, mended: list[Mended], wish: Wish, *, restore: bool, reveal: bool
) -> int:
    at.store.open({one.message.place for one in mended})
    lying = {
        one.message.position: at.store.find(one.message.place, one.message.sequence_number) for one in mended
    }
    originals = [
        (one, original)
        for one in mended
        if (original := lying[one.message.position]) and original.fingerprint == one.fingerprint
    ]
    for one, original in originals:
        for change in differences(original, one.message, reveal=reveal):
            talk.say(f"{one.message.place}, {one.message.sequence_number}: {change}")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    chosen = Filters(sources=(), selection=Selection(), limit=None, told=f"import {digest}")
    bodies = {one.message.position: one.message for one in mended}
    lie = [each for _, each in originals]
    with own_plan(at, Action.REPLAY, chosen, lambda: iter(lie), _ANY, once=True) as plan:
        code = apply(at, plan, wish, mend=lambda message: bodies[message.position]) if plan.count else 0
        left = at.left_out(plan, (one.message for one in mended))
        # They come by themselves: beside a mended copy two different events would be confirmed.
        coming = {message.position for message in lie if not plan.names(message)}
    if coming:
        talk.say(f"{len(coming)} cannot be replaced where they lie, and are not sent: scheduled, or deferred")
        code = output.PARTLY
    gone = [message for message in left if message.position not in coming]
    if not gone:
        return code
    if not restore:
        talk.say(f"{len(gone)} are gone or changed where they lay, and not sent: see --restore")
        return output.PARTLY if plan.count else output.NOTHING
    restored = _restore(at, [one.message for one in mended], gone, wish, digest)
    return max({code, restored} - {output.NOTHING}, default=output.NOTHING)


def _restore(
    at: Operations, messages: list[ParkedMessage], gone: list[ParkedMessage], wish: Wish, digest: str
) -> int:
    confirm(f"send {len(gone)} events whose message is gone to {at.names.acceptances}", yes=wish.yes)
    digest = hashlib.sha256(f"{at.store.namespace} {digest}".encode()).hexdigest()
    journal = folder() / f"restore-{digest[:8]}.journal"
    restored = at.restore(messages, gone, file=journal, digest=digest, why=wish.why, audit_file=audit_file())
    if not restored.chosen:
        talk.say(f"nothing to do: they were sent before, as {journal} tells")
        return output.NOTHING
    talk.say(f"restored: {restored.chosen - restored.refused} of {restored.chosen}")
    talk.say(f"audit record: {audit_file()}")
    return output.PARTLY if restored.refused else 0


def differences(before: ParkedMessage, after: ParkedMessage, *, reveal: bool) -> Iterator[str]:
    """Yield what was changed: in the body by field, where both are JSON objects."""
    if before.body != after.body:
        old, new = _fields(before.body), _fields(after.body)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                values = f": {old.get(name)} → {new.get(name)}" if reveal else ""
                yield f"changed {name}{values}"
    for name in sorted({*before.properties, *after.properties}):
        if before.properties.get(name) != after.properties.get(name):
            yield f"changed property {name}"


def _fields(body: bytes, prefix: str = "") -> dict[str, str]:
    """Return the values of a JSON object by their paths; of anything else, that it is a body."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {"the body": "not JSON"}
    return dict(_paths(value, prefix))


def _paths(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _paths(item, f"{path}.{name}" if path else name)
    else:
        yield path or "the body", output.dumps(value)
