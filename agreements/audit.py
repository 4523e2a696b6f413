"""The audit trail: every change that a person makes is one line in a local file, and one log line."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from agreements import telemetry

if sys.platform == "win32":  # pragma: no cover - the suites run elsewhere
    import getpass
else:
    import pwd


def record(path: Path, entry: Mapping[str, object], *, log: bool = True) -> None:
    """Append an entry to the file, made for its owner alone, and log it; it is on disk when this returns.

    An entry names who, when, what, why, which plan and how many; never a value of an event.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as file:
        file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if log:
        telemetry.log_audit(entry)


def operator() -> str:
    """Return who is at work: the user of this machine, whatever the environment says, and which machine."""
    return f"{_user()}@{platform.node()}"


if sys.platform == "win32":  # pragma: no cover - the suites run elsewhere

    def _user() -> str:
        return getpass.getuser()
else:

    def _user() -> str:
        user = os.getuid()
        try:
            return pwd.getpwuid(user).pw_name
        except KeyError:  # as in a container that was given a number
            return str(user)
