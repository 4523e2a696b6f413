"""Where plans and their journals lie, and how a plan gets there: whole, or not at all."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from agreements.dead_letters import Action, Plan
from agreements.journal import locked


def write(path: Path, lines: Iterable[str]) -> None:
    """Write a plan for its owner alone; nobody finds half of it.

    Raises:
        OSError: it cannot be written.
    """
    with _beside(path) as file:
        half = Path(file.name)
        try:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            half.unlink()
            raise
    half.replace(path)


def _beside(path: Path) -> IO[str]:
    try:
        return NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def journal_of(plan: Path) -> Path:
    """Return where the journal of a plan lies."""
    return plan.with_name(f"{plan.name}.journal")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Have the place of a plan for oneself: who gives the same command meanwhile is refused.

    Raises:
        JournalError: another process has it.
    """
    with locked(path.with_name(f"{path.name}.lock"), "another process is applying this plan"):
        yield


def plan_of(folder: Path, action: Action, told: str) -> Path:
    """Return where the plan for some filters lies: the same for the same, so that it is found again."""
    digest = hashlib.sha256(f"{action} {told}".encode()).hexdigest()[:8]
    return folder / f"{action}-{digest}.jsonl"


def put_away(plan: Plan) -> None:
    """Move a plan of our own that is done with, and its journal, out of the way."""
    kept = plan.path.with_name(f"{plan.path.stem}-{plan.order.run}.jsonl")
    # The journal first: one without its plan would be in the way of the next plan that is made here.
    with suppress(FileNotFoundError):
        journal_of(plan.path).replace(journal_of(kept))
    plan.path.replace(kept)
