"""No keys anywhere: whoever comes shows an identity, over TLS, and no secret is written or handed out."""

import re
from collections.abc import Iterator

from tests.infra.bicep import Call, Expression, Literal, Operation, expressions
from tests.infra.project import Project

_DEPLOYMENT = "functionAppConfig.deployment.storage.authentication"
_ALWAYS: dict[str, dict[str, object]] = {
    "Microsoft.ServiceBus/namespaces": {"disableLocalAuth": True, "minimumTlsVersion": "1.2"},
    "Microsoft.Storage/storageAccounts": {
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"publicAccess": "None"},
    "Microsoft.Insights/components": {"DisableLocalAuth": True},
    "Microsoft.OperationalInsights/workspaces": {"features.disableLocalAuth": True},
    "Microsoft.KeyVault/vaults": {"enableRbacAuthorization": True, "enableSoftDelete": True},
    "Microsoft.Web/sites": {
        "httpsOnly": True,
        "siteConfig.ftpsState": "Disabled",
        "siteConfig.minTlsVersion": "1.2",
        "siteConfig.scmMinTlsVersion": "1.2",
        f"{_DEPLOYMENT}.type": "UserAssignedIdentity",
    },
}
_NEVER = {
    "Microsoft.KeyVault/vaults": {"accessPolicies"},
    "Microsoft.Web/sites": {
        "functionAppConfig.deployment.storage.authentication.storageAccountConnectionStringName"
    },
}
_SECRETS = {
    "Microsoft.KeyVault/vaults/secrets",
    "Microsoft.ServiceBus/namespaces/authorizationRules",
    "Microsoft.ServiceBus/namespaces/queues/authorizationRules",
    "Microsoft.ServiceBus/namespaces/topics/authorizationRules",
}
_SECRET = re.compile(
    r"(secret|password|connectionstring|accountkey|sastoken)(?!_?(?:name|id))", re.IGNORECASE
)


def switches(project: Project) -> Iterator[str]:
    """Local authentication is off and TLS is on, in so many words and whatever the parameters are."""
    for type_, wanted in _ALWAYS.items():
        if not project.of(type_):
            yield f"infra/main.bicep:1: nothing deploys a {type_}"
        for one in project.of(type_):
            declared = one.declared.object
            for path, value in wanted.items():
                given = declared.get("properties", *path.split("."))
                if not isinstance(given, Literal) or given.value != value:
                    yield f"{(given or one.declared).at}: {path} of {one.declared.name} must be {value}"
            for path in _NEVER.get(type_, ()):
                if given := declared.get("properties", *path.split(".")):
                    yield f"{given.at}: {path} is a way around the identity"


def secrets(project: Project) -> Iterator[str]:
    """Nothing here makes, reads or hands out a secret."""
    for one in project.resources:
        if one.type in _SECRETS:
            yield f"{one.declared.at}: {one.declared.name} is a secret or makes one"
    for source in project.sources.values():
        for part in expressions(source):
            if isinstance(part, Call) and part.function.startswith("list"):
                yield f"{part.at}: {part.function} reads a key"
        for value in source.values:
            if value.kind == "output" and _SECRET.search(value.name):
                yield f"{value.at}: the output {value.name} hands out a secret"
            if value.decorator("secure"):
                yield f"{value.at}: {value.name} is a secret: there is none to hand in"


def purge(project: Project) -> Iterator[str]:
    """Purge protection is true or nothing at all: Azure refuses an explicit false."""
    for one in project.of("Microsoft.KeyVault/vaults"):
        given = one.declared.object.get("properties", "enablePurgeProtection")
        if given and not _true_or_null(given):
            yield f"{given.at}: enablePurgeProtection must be true or null"


def _true_or_null(value: Expression) -> bool:
    match value:
        case Literal(value=plain):
            return plain in {True, None}
        case Operation(operator="?", operands=(_, *branches)):
            return all(map(_true_or_null, branches))
    return False


def audited(project: Project) -> Iterator[str]:
    """The bus and the vault send their logs to the workspace."""
    settings = [
        (one.source, getattr(one.declared.object.get("scope"), "name", ""))
        for one in project.of("Microsoft.Insights/diagnosticSettings")
        if one.body.get("properties", "workspaceId") and one.body.get("properties", "logs")
    ]
    for type_ in ("Microsoft.ServiceBus/namespaces", "Microsoft.KeyVault/vaults"):
        for one in project.of(type_):
            if (one.source, one.declared.name) not in settings:
                yield f"{one.declared.at}: the logs of {one.declared.name} go nowhere"
