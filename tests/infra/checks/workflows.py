"""Workflows get no more rights than a job needs, and run what they were written against."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.infra.project import Project

_PINNED = re.compile(r"@(v\d+(\.\d+)*|[0-9a-f]{40})$")
_RIGHTS = {"contents": {"read"}, "id-token": {"write"}, "pull-requests": {"write"}}


def permissions(project: Project) -> Iterator[str]:
    """A workflow has no rights, each of its jobs the few that it names."""
    for place, workflow in _workflows(project):
        if workflow.get("permissions") != {}:
            yield f"{place}:1: the workflow does not begin with no permissions"
        for name, job in workflow.get("jobs", {}).items():
            if "permissions" not in job:
                yield f"{place}:1: the job {name} does not say what it may"
            for right, level in (job.get("permissions") or {}).items():
                if level not in _RIGHTS.get(right, ()):
                    yield f"{place}:1: the job {name} may {level} {right}"


def steps(project: Project) -> Iterator[str]:
    """Actions are pinned, a checkout leaves no credentials, and Azure is met without a secret."""
    for place, workflow in _workflows(project):
        for name, job in workflow.get("jobs", {}).items():
            for step in job.get("steps", ()):
                uses, given = str(step.get("uses", "")), step.get("with") or {}
                if uses and not _PINNED.search(uses):
                    yield f"{place}:1: {uses} of {name} is not pinned"
                if uses.startswith("actions/checkout@") and given.get("persist-credentials") is not False:
                    yield f"{place}:1: the checkout of {name} leaves its credentials behind"
                signs_in = "azure/login@" in uses or "azd auth login" in str(step.get("run", ""))
                if signs_in and (job.get("permissions") or {}).get("id-token") != "write":
                    yield f"{place}:1: {name} cannot sign in by federation"


def whole(project: Project) -> Iterator[str]:
    """A deployment is neither cut off half-way nor joined by a second."""
    for place, workflow in _workflows(project):
        for name, job in workflow.get("jobs", {}).items():
            ran = [str(step.get("run", "")) for step in job.get("steps", ())]
            deploys = any(re.search(r"azd (up|deploy|provision)\b(?!.*--preview)", one) for one in ran)
            if deploys and (job.get("concurrency") or {}).get("cancel-in-progress") is not False:
                yield f"{place}:1: {name} may be cut off half-way"


def secrets(project: Project) -> Iterator[str]:
    """No workflow holds a secret of Azure's."""
    for place, workflow in _workflows(project):
        for found in sorted(set(re.findall(r"secrets\.(\w+)", str(workflow))) - {"GITHUB_TOKEN"}):
            yield f"{place}:1: {found} is a secret; identities are federated"


def _workflows(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((project.root / ".github" / "workflows").glob("*.y*ml")):
        yield str(path.relative_to(project.root)), yaml.safe_load(path.read_text())
