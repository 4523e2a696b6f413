"""Bicep's functions and decorators: how many arguments each takes, and what it returns."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """A function; ``returns`` is empty where that depends on what it is given, ``takes`` for anything."""

    least: int
    most: float
    returns: str = ""
    takes: str = ""


def _functions(returns: str, **counts: tuple[int, float]) -> dict[str, Function]:
    return {name: Function(least, most, returns) for name, (least, most) in counts.items()}


# The Bicep language's reference, in so far as our templates may use it.
FUNCTIONS = {
    **_functions(
        "string",
        base64=(1, 1),
        dateTimeAdd=(2, 3),
        format=(1, math.inf),
        guid=(1, math.inf),
        join=(2, 2),
        loadTextContent=(1, 2),
        replace=(3, 3),
        resourceId=(2, math.inf),
        string=(1, 1),
        subscriptionResourceId=(2, math.inf),
        substring=(2, 3),
        tenantResourceId=(2, math.inf),
        toLower=(1, 1),
        toUpper=(1, 1),
        trim=(1, 1),
        uniqueString=(1, math.inf),
        uri=(2, 2),
        utcNow=(0, 1),
    ),
    **_functions("bool", bool=(1, 1), contains=(2, 2), empty=(1, 1), endsWith=(2, 2), startsWith=(2, 2)),
    **_functions("int", indexOf=(2, 2), int=(1, 1), lastIndexOf=(2, 2), length=(1, 1)),
    **_functions("array", items=(1, 1), range=(2, 2), split=(2, 2), flatten=(1, 1), objectKeys=(1, 1)),
    **_functions(
        "object",
        deployment=(0, 0),
        environment=(0, 0),
        resourceGroup=(0, 2),
        subscription=(0, 1),
        tenant=(0, 0),
    ),
    **_functions(
        "",
        any=(1, 1),
        concat=(1, math.inf),
        first=(1, 1),
        intersection=(2, math.inf),
        json=(1, 1),
        last=(1, 1),
        loadJsonContent=(1, 3),
        max=(1, math.inf),
        min=(1, math.inf),
        reference=(1, 3),
        skip=(2, 2),
        take=(2, 2),
        union=(2, math.inf),
    ),
}

# What the functions that describe the place of a deployment return.
MEMBERS = {
    "deployment": {"id", "location", "name", "properties", "scope", "type"},
    "environment": {
        "activeDirectoryDataLake",
        "authentication",
        "name",
        "portal",
        "resourceManager",
        "suffixes",
    },
    "resourceGroup": {"id", "location", "managedBy", "name", "properties", "tags", "type"},
    "subscription": {"displayName", "id", "subscriptionId", "tenantId"},
    "tenant": {"countryCode", "displayName", "id", "tenantId"},
}

DECORATORS = {
    "allowed": Function(1, 1, takes="array"),
    "batchSize": Function(1, 1, takes="int"),
    "description": Function(1, 1, takes="string"),
    "maxLength": Function(1, 1, takes="int"),
    "maxValue": Function(1, 1, takes="int"),
    "metadata": Function(1, 1, takes="object"),
    "minLength": Function(1, 1, takes="int"),
    "minValue": Function(1, 1, takes="int"),
    "secure": Function(0, 0),
}
