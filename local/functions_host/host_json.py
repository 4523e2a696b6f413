"""The settings of host.json that this host obeys."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local.functions_host.errors import HostError

# What this host does in one way only: the real host's defaults.
_ONLY = {"autoCompleteMessages": True, "prefetchCount": 0}
_TIME_SPAN = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJson:
    """How many calls run at once, and how long they and their locks may last.

    Durations are in seconds; the defaults are the real host's (its own functionTimeout depends on the plan:
    this is Flex Consumption's).
    """

    function_timeout: float = 30 * 60
    max_concurrent_calls: int = 16
    max_lock_renewal: float = 5 * 60

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a host.json.

        Raises:
            HostError: There is no such file, it is not JSON, or a value is not what the real host takes.
        """
        try:
            return cls._from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise HostError(f"{path} cannot be used: {error}") from error

    @classmethod
    def _from_json(cls, root: dict[str, object]) -> Self:
        service_bus = _section(_section(root, "extensions"), "serviceBus")
        for name, only in _ONLY.items():
            if (value := service_bus.get(name, only)) != only:
                raise ValueError(f"{name} is {json.dumps(value)}; this host knows only {json.dumps(only)}")
        return cls(
            function_timeout=_seconds(root.get("functionTimeout", "00:30:00")),
            max_concurrent_calls=_count(service_bus.get("maxConcurrentCalls", 16)),
            max_lock_renewal=_seconds(service_bus.get("maxAutoLockRenewalDuration", "00:05:00")),
        )


def _section(parent: dict[str, object], name: str) -> dict[str, object]:
    section = parent.get(name, {})
    if not isinstance(section, dict):
        raise TypeError(f"{name} is not an object")
    return section


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is not a number of calls")
    return value


def _seconds(value: object) -> float:
    match = _TIME_SPAN.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a time span (hh:mm:ss)")
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
