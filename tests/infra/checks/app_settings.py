"""The settings of the function app: all that belong in Azure, no others, the defaults as in the code."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.infra.bicep import Access, Array, Expression, Literal, Member, Name, Object, walk
from tests.infra.product import ROOT, settings, triggered
from tests.infra.project import Project, Resource

_SITE = "Microsoft.Web/sites"
# Of the platform; without any one of them the app does not start, or nobody hears of it.
_PLATFORM = {
    "AZURE_CLIENT_ID",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
_ONE_MACHINE = {
    "PARTNER_CLIENT_CERTIFICATE",
    "PARTNER_CLIENT_SECRET",
    "PARTNER_REFRESH_TOKEN",
    "REQUESTS_CA_BUNDLE",
    "ServiceBus",
}
_AT_WILL = {
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    "PYTHON_ENABLE_OPENTELEMETRY",
}
# Flex Consumption refuses or ignores these, or breaks by them.
_FORBIDDEN = {
    "AzureWebJobsStorage",
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "TZ",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTOVERVNET",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER",
    "WEBSITE_LOAD_CERTIFICATES",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_MOUNT_ENABLED",
    "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_SKIP_CONTENTSHARE_VALIDATION",
    "WEBSITE_TIME_ZONE",
    "WEBSITE_VNET_ROUTE_ALL",
}
# What of a resource each of these must be.
_READ = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "ConnectionString",
    "AZURE_CLIENT_ID": "clientId",
    "AzureWebJobsStorage__clientId": "clientId",
    "KEY_VAULT_URL": "vaultUri",
    "ServiceBus__clientId": "clientId",
}
# Of older plans; an error on this one.
_OLD_PLANS = {
    "alwaysOn",
    "functionAppScaleLimit",
    "linuxFxVersion",
    "minimumElasticInstanceCount",
    "numberOfWorkers",
    "preWarmedInstanceCount",
    "pythonVersion",
    "remoteDebuggingEnabled",
    "use32BitWorkerProcess",
    "vnetRouteAllEnabled",
}


def names(project: Project) -> Iterator[str]:
    """Every setting that belongs in Azure is set once, and no other is."""
    for site in project.of(_SITE):
        given = list(_settings(site))
        at = (site.body.get("properties", "siteConfig", "appSettings") or site.body).at
        known = settings().keys() | _PLATFORM | _AT_WILL
        for name in sorted((settings().keys() | _PLATFORM) - _ONE_MACHINE - _AT_WILL - {n for n, _ in given}):
            yield f"{at}: the setting {name} is missing"
        for name, value in given:
            if name in _FORBIDDEN:
                yield f"{value.at}: {name} must not be set on Flex Consumption"
            elif name in _ONE_MACHINE:
                yield f"{value.at}: {name} is for one machine, not for Azure"
            elif name not in known:
                yield f"{value.at}: nothing reads the setting {name}"
        for name, count in Counter(name for name, _ in given).items():
            if count > 1:
                yield f"{at}: {name} is set {count} times"


def values(project: Project) -> Iterator[str]:
    """What is the same for every deployment is the default of the code; identities are managed ones."""
    host = json.loads((project.root / "host.json").read_text())
    calls = host["extensions"]["serviceBus"]["maxConcurrentCalls"]
    wanted = {
        name: str(value) for name, value in settings().items() if value is not None and name not in _AT_WILL
    }
    wanted |= {f"{one}__credential": "managedidentity" for one in ("AzureWebJobsStorage", "ServiceBus")}
    wanted |= {"PYTHON_THREADPOOL_THREAD_COUNT": str(calls)}
    for site in project.of(_SITE):
        for name, value in _settings(site):
            if name == "APPLICATIONINSIGHTS_AUTHENTICATION_STRING" and "Authorization=AAD" not in _text(
                value
            ):
                yield f"{value.at}: {name} does not say that an identity signs in"
            if isinstance(value, Literal) and str(value.value) != wanted.get(name, str(value.value)):
                yield f"{value.at}: {name} is {value.value} and should be {wanted[name]}"


def read(project: Project) -> Iterator[str]:
    """What is read of a resource is what the setting is meant to be, and the identity is the app's own."""
    for site in project.of(_SITE):
        for name, value in _settings(site):
            if name in _READ and not (isinstance(value, Access) and value.name == _READ[name]):
                yield f"{value.at}: {name} is not the {_READ[name]} of anything"
        identities = site.body.get("identity", "userAssignedIdentities")
        own = site.body.get("properties", *_PACKAGE, "userAssignedIdentityResourceId")
        given = {part.name for part in (walk(identities) if identities else ()) if isinstance(part, Name)}
        for part in walk(own) if own else ():
            if isinstance(part, Name) and part.name not in given:
                yield f"{part.at}: the app has no identity {part.name}"


_PACKAGE = ("functionAppConfig", "deployment", "storage", "authentication")


def plan(project: Project) -> Iterator[str]:
    """The app is a Flex Consumption one of the Python that is tested, and says nothing of older plans."""
    version = (ROOT / ".python-version").read_text().strip()
    for site in project.of(_SITE):
        for part in walk(site.body):
            if isinstance(part, Member) and part.name in _OLD_PLANS:
                yield f"{part.at}: {part.name} has no place on Flex Consumption"
        runtime = site.body.get("properties", "functionAppConfig", "runtime", "version")
        if not isinstance(runtime, Literal) or runtime.value != version:
            yield f"{(runtime or site.body).at}: the tests run on Python {version}"
        identity = site.body.get("identity", "type")
        if not isinstance(identity, Literal) or identity.value != "UserAssigned":
            yield f"{(identity or site.body).at}: the app has no user-assigned identity"
    for one in project.of("Microsoft.Web/serverfarms"):
        sku = one.body.get("sku", "name")
        if not isinstance(sku, Literal) or sku.value != "FC1":
            yield f"{(sku or one.body).at}: the plan is not Flex Consumption"


def functions(project: Project) -> Iterator[str]:
    """Instances that are always ready belong to functions that exist."""
    known = {f"function:{name}" for name in triggered()} | {"http", "blob", "durable"}
    for site in project.of(_SITE):
        ready = site.body.get("properties", "functionAppConfig", "scaleAndConcurrency", "alwaysReady")
        found = [part for part in (walk(ready) if ready else ()) if isinstance(part, Object)]
        for one in found:
            name = one.get("name")
            if isinstance(name, Literal) and name.value not in known:
                yield f"{name.at}: there is no {name.value}"
        told = {name.value for one in found if isinstance(name := one.get("name"), Literal)}
        for missing in sorted({f"function:{name}" for name in triggered()} - told):
            yield f"{(ready or site.body).at}: {missing} cannot be kept ready"


def _settings(site: Resource) -> Iterator[tuple[str, Expression]]:
    given = site.body.get("properties", "siteConfig", "appSettings")
    for one in given.items if isinstance(given, Array) else ():
        name = one.get("name") if isinstance(one, Object) else None
        if isinstance(one, Object) and isinstance(name, Literal):
            yield str(name.value), one.get("value") or one


def _text(value: Expression) -> str:
    return "".join(str(part.value) for part in walk(value) if isinstance(part, Literal))
