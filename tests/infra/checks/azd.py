"""Two commands are enough: azure.yaml, its hooks and the parameters fit together and ask for nothing more."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.infra.bicep import Expression, Literal, Member, walk
from tests.infra.product import settings, triggered
from tests.infra.project import MAIN, Project

_ASKED = {"environmentName", "location"}
_BY_AZD = {
    "AZURE_ENV_NAME",
    "AZURE_LOCATION",
    "AZURE_PRINCIPAL_ID",
    "AZURE_PRINCIPAL_TYPE",
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_TENANT_ID",
}
_ROLES = {
    "environmentName": "AZURE_ENV_NAME",
    "location": "AZURE_LOCATION",
    "principalId": "AZURE_PRINCIPAL_ID",
    "principalType": "AZURE_PRINCIPAL_TYPE",
}
_ALIASES = {"logRetentionInDays": "LOG_RETENTION_DAYS"}
# What both of a pair of scripts must say alike.
_ALIKE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|api://\w+|api-version=[\d-]+|localhost:\d+")
_OUTPUTS = {"AZURE_LOCATION", "AZURE_RESOURCE_GROUP", "AZURE_TENANT_ID"}
_READ = {".sh": r"\$\{?([A-Z][A-Z0-9_]{3,})", ".ps1": r"\$env:([A-Za-z]\w{3,})"}
_KEPT = re.compile(r"(?:\bazd env set |(?<![\w-]))([A-Z][A-Z0-9_]{3,})(?:=| [\"'$])")
_BY_PIPELINES = {"GITHUB_ACTIONS", "TF_BUILD"}
_VARIABLE = re.compile(r"^\$\{([A-Z][A-Z0-9_]*)(?:=([^}]*))?\}$")


def parameters(project: Project) -> Iterator[str]:
    """main.parameters.json gives every parameter, and only name and region have no default."""
    path = "infra/main.parameters.json"
    text = (project.root / path).read_text()
    given = json.loads(text).get("parameters", {})
    main = project.sources.get(MAIN)
    declared = main.of("param") if main else {}
    for name in sorted(declared.keys() - given.keys()):
        yield f"{path}:1: {name} is not among the parameters"
    for name in sorted(given.keys() - declared.keys()):
        yield f"{path}:{_line(text, name)}: {MAIN} has no parameter {name}"
    for name, value in declared.items():
        if name not in _ASKED and value.value is None:
            yield f"{value.at}: azd would ask for {name}"
        if name in _ASKED and value.value is not None:
            yield f"{value.at}: azd would not ask for {name}"
    for name, value in given.items():
        variable = _VARIABLE.match(str(value.get("value")))
        if variable is None or variable[1] != _ROLES.get(name, variable[1]):
            yield f"{path}:{_line(text, name)}: {name} does not come from azd's environment"
        elif name not in _ROLES and variable[1] != _ALIASES.get(name, _upper(name)):
            yield f"{path}:{_line(text, name)}: {variable[1]} is not the variable of {name}"
        elif variable[1] in _BY_AZD and name not in {*_ROLES, "partnerTenantId"}:
            yield f"{path}:{_line(text, name)}: {variable[1]} means something else to azd"


def outputs(project: Project) -> Iterator[str]:
    """Azd finds what it deploys to, and commands what they need, in the outputs."""
    main = project.sources.get(MAIN)
    services = _yaml(project).get("services", {})
    wanted = _OUTPUTS | {f"SERVICE_{name.upper().replace('-', '_')}_NAME" for name in services}
    for name in sorted(wanted - (main.of("output").keys() if main else set())):
        yield f"{MAIN}:1: there is no output {name}"
    read = settings().keys() | wanted | {*re.findall(r"\w+", _told(project))}
    for name, value in main.of("output").items() if main else ():
        if name not in read:
            yield f"{value.at}: nothing reads the output {name}"


def pipeline(project: Project) -> Iterator[str]:
    """Azd takes every option along when it sets up a pipeline: one left behind has its default there."""
    text = (project.root / "infra/main.parameters.json").read_text()
    wanted = {*re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text)} - _BY_AZD
    for name in sorted(wanted ^ {*_yaml(project).get("pipeline", {}).get("variables", ())}):
        yield f"azure.yaml:1: {name} is either no option or not given to pipelines"


def tags(project: Project) -> Iterator[str]:
    """Azd finds the resource group by its tag."""
    for one in project.of("Microsoft.Resources/resourceGroups"):
        if not one.body.get("tags", "azd-env-name"):
            yield f"{one.declared.at}: the resource group is not tagged with azd-env-name"


def services(project: Project) -> Iterator[str]:
    """The one service is this project, a Python function app, and one site carries its name."""
    found = _yaml(project).get("services", {})
    tags = [str(tag) for site in project.of("Microsoft.Web/sites") for tag in _tags(site.body)]
    if sorted(tags) != sorted(found):
        yield f"azure.yaml:1: the services are {sorted(found)}, and sites are tagged {sorted(tags)}"
    for name, service in found.items():
        told = {key: service.get(key) for key in ("host", "language", "project")}
        if told != {"host": "function", "language": "python", "project": "."}:
            yield f"azure.yaml:1: {name} is not this project's function app"


def hooks(project: Project) -> Iterator[str]:
    """Every hook exists for both kinds of shell, and runs what is called like it."""
    found = _yaml(project).get("hooks") or {}
    for name in sorted({"postprovision", "preprovision"} - found.keys()):
        yield f"azure.yaml:1: there is no hook {name}"
    for name, hook in found.items():
        for system, shell in (("posix", "sh"), ("windows", "pwsh")):
            told = hook.get(system, {})
            run = str(told.get("run", ""))
            if told.get("shell") != shell or not run:
                yield f"azure.yaml:1: the hook {name} says nothing to {shell}"
            elif run != f"./infra/hooks/{name}.{'sh' if shell == 'sh' else 'ps1'}":
                yield f"azure.yaml:1: the hook {name} runs {run}, which is not its own"
            elif not (project.root / run).is_file():
                yield f"azure.yaml:1: the hook {name} runs {run}, which does not exist"


def scripts(project: Project) -> Iterator[str]:
    """Every script can be run, can at least be read by the shell, and is there for PowerShell too."""
    for script in _scripts(project, "*.sh"):
        place = script.relative_to(project.root)
        if not os.access(script, os.X_OK) or not script.read_text().startswith("#!"):
            yield f"{place}:1: this cannot be run"
        ran = subprocess.run(["/bin/sh", "-n", script], capture_output=True, text=True, check=False)
        if ran.returncode:
            yield f"{place}:1: {ran.stderr.strip()}"
        if not script.with_suffix(".ps1").is_file():
            yield f"{place}:1: there is no such script for PowerShell"


def twins(project: Project) -> Iterator[str]:
    """Both of a pair of scripts ask for the same."""
    for script in _scripts(project, "*.sh"):
        other = script.with_suffix(".ps1")
        said = [{*_ALIKE.findall(one.read_text())} if one.is_file() else set() for one in (script, other)]
        for text in sorted(said[0] ^ said[1]):
            yield f"{other.relative_to(project.root)}:1: {text} is in one of the two scripts only"


def options(project: Project) -> Iterator[str]:
    """docs/deploy.md lists every option with its default, and reckons with the defaults."""
    path, main = "docs/deploy.md", project.sources.get(MAIN)
    text = (project.root / path).read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ?([^|]*)\|", text, re.MULTILINE))
    for name, value in (main.of("param") if main else {}).items():
        variable = _ALIASES.get(name, _upper(name))
        default = value.value.value if isinstance(value.value, Literal) else ""
        if name in _ROLES:
            continue
        if variable not in rows:
            yield f"{path}:1: the option {variable} is not told of"
        elif not rows[variable].startswith(str(default).lower()):
            yield f"{path}:1: the default of {variable} is {str(default).lower()}"
    if _ceiling(project) not in text:
        yield f"{path}:1: the ceiling is {_ceiling(project)}"


def _ceiling(project: Project) -> str:
    main = project.sources.get(MAIN)
    given = main.of("param").get("maximumInstanceCount") if main else None
    most = given.value.value if given and isinstance(given.value, Literal) else 0
    host = json.loads((project.root / "host.json").read_text())
    calls, functions = host["extensions"]["serviceBus"]["maxConcurrentCalls"], len(triggered())
    return f"{functions} x ({most} + 0) x {calls} = {functions * int(most or 0) * calls}".replace(
        "x", "\N{MULTIPLICATION SIGN}"
    )


def _upper(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def variables(project: Project) -> Iterator[str]:
    """What a script reads of its environment is an output, a parameter's variable, or somebody else's own."""
    main = project.sources.get(MAIN)
    text = (project.root / "infra/main.parameters.json").read_text()
    given = re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text)
    known = {*(main.of("output") if main else ()), *given, *_BY_AZD, *_BY_PIPELINES}
    for script in [*_scripts(project, "*.sh"), *_scripts(project, "*.ps1")]:
        code = re.sub(r"(?m)^\s*#.*$", "", script.read_text())
        kept = {*_KEPT.findall(code)}
        for name in sorted({*re.findall(_READ[script.suffix], code)} - known - kept):
            yield f"{script.relative_to(project.root)}:1: nothing gives {name}"


def _told(project: Project) -> str:
    """Return all that scripts and documents say."""
    documents = sorted((project.root / "docs").glob("*.md"))
    scripts = [*_scripts(project, "*.sh"), *_scripts(project, "*.ps1")]
    return "\n".join(path.read_text() for path in [*documents, *scripts])


def _yaml(project: Project) -> Mapping[str, Any]:
    path = project.root / "azure.yaml"
    loaded = yaml.safe_load(path.read_text()) if path.is_file() else None
    return loaded if isinstance(loaded, dict) else {}


def _tags(body: Expression) -> Iterator[object]:
    for part in walk(body):
        if isinstance(part, Member) and part.name == "azd-service-name" and isinstance(part.value, Literal):
            yield part.value.value


def _scripts(project: Project, pattern: str) -> list[Path]:
    return sorted((project.root / "infra").rglob(pattern))


def _line(text: str, name: str) -> int:
    return text[: text.find(f'"{name}"')].count("\n") + 1
