"""From a function's bindings and the app's settings to what calls it: a queue, or the clock."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from croniter import croniter

from local.functions_host.errors import HostError
from local.functions_host.protocol import IndexedFunction

_SETTING = re.compile(r"%([^%]+)%")
# What the decorator writes when nothing is said, and what this host can do.
_ONLY = {
    "dataType": ("STRING", "BINARY"),
    "cardinality": ("ONE", "ONE"),
    "isSessionsEnabled": (False, False),
    "autoCompleteMessages": (True, True),
}


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """A function, the parameter that takes the message, and where messages come from."""

    function: IndexedFunction
    parameter: str
    queue: str
    connection_string: str = field(repr=False)

    @classmethod
    def of(cls, function: IndexedFunction, settings: Mapping[str, str]) -> Self | None:
        """Find a function's Service Bus queue trigger; none if something else triggers it.

        Raises:
            HostError: A setting that the trigger names is missing, or it asks for what this host cannot do.
        """
        for binding in function.bindings:
            if binding["type"] == "serviceBusTrigger" and "queueName" in binding:
                _check(function.name, binding)
                return cls(
                    function,
                    str(binding["name"]),
                    _resolved(function.name, "queueName", str(binding["queueName"]), settings),
                    _resolved(function.name, "connection", f"%{binding['connection']}%", settings),
                )
        return None


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """A function, the parameter that takes the request, and when it runs: NCRONTAB, in UTC."""

    function: IndexedFunction
    parameter: str
    schedule: str
    run_on_startup: bool

    @classmethod
    def of(cls, function: IndexedFunction, settings: Mapping[str, str]) -> Self | None:
        """Find a function's timer trigger; none if something else triggers it.

        Raises:
            HostError: A setting that the schedule names is missing, or it is no schedule.
        """
        for binding in function.bindings:
            if binding["type"] == "timerTrigger":
                schedule = _resolved(function.name, "schedule", str(binding["schedule"]), settings)
                if not croniter.is_valid(schedule, second_at_beginning=True):
                    raise HostError(f"{function.name}: {schedule} is no NCRONTAB expression")
                on_startup = binding.get("runOnStartup") is True
                return cls(function, str(binding["name"]), schedule, on_startup)
        return None


def _check(name: str, binding: Mapping[str, object]) -> None:
    for key, (default, supported) in _ONLY.items():
        if (value := binding.get(key, default)) != supported:
            raise HostError(f"{name}: {key} is {value}; this host knows only {supported}")


def _resolved(name: str, key: str, text: str, settings: Mapping[str, str]) -> str:
    def setting(match: re.Match[str]) -> str:
        try:
            return settings[match[1]]
        except KeyError:
            raise HostError(f"the setting {match[1]} is missing: {name} takes its {key} from it") from None

    return _SETTING.sub(setting, text)
