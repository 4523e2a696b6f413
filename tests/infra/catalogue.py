"""All checks: each takes a project and yields what is wrong, as ``path:line: what``."""

from collections.abc import Callable, Iterator, Mapping
from inspect import isfunction

from tests.infra.checks import (
    alerts,
    app_settings,
    azd,
    deployment,
    entities,
    keyless,
    platform,
    queries,
    resources,
    roles,
    style,
    symbols,
    workflows,
)
from tests.infra.project import Project

type Check = Callable[[Project], Iterator[str]]

_MODULES = (
    symbols,
    deployment,
    resources,
    platform,
    style,
    entities,
    app_settings,
    keyless,
    roles,
    alerts,
    queries,
    azd,
    workflows,
)
CHECKS: Mapping[str, Check] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": check
    for module in _MODULES
    for name, check in vars(module).items()
    if isfunction(check) and check.__module__ == module.__name__ and not name.startswith("_")
}


def findings(project: Project) -> list[str]:
    """Return what any check finds, each thing once."""
    return sorted({found for check in CHECKS.values() for found in check(project)})
