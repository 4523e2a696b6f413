"""Who may do what: roles of the table only, each on a resource of its own module and no wider than needed."""

import json
import re
from collections.abc import Iterator

from tests.infra.bicep import Access, Call, Expression, Index, Literal, Name, walk
from tests.infra.product import CONSUMED, QUEUES
from tests.infra.project import MAIN, Project, Resource

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_BUS, _STORAGE = "Microsoft.ServiceBus/namespaces", "Microsoft.Storage/storageAccounts"
_GROUP = "the resource group"

# Azure's built-in roles by our names for them, with their ids.
IDS = {
    "keyVaultSecretsOfficer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "logAnalyticsReader": "73c42c96-874c-492b-b04d-ab87d138a893",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "monitoringReader": "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
    "owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "serviceBusDataOwner": "090c5cfd-751d-490a-894a-3ce6f1109419",
    "serviceBusDataReceiver": "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
    "serviceBusDataSender": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageTableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "websiteContributor": "de139f84-1756-47ae-9be6-808fbbe84772",
}
# On what each may be given: what it protects, and no more than that.
_SCOPES = {
    "keyVaultSecretsOfficer": {"Microsoft.KeyVault/vaults"},
    "keyVaultSecretsUser": {"Microsoft.KeyVault/vaults"},
    "logAnalyticsReader": {"Microsoft.OperationalInsights/workspaces"},
    "monitoringMetricsPublisher": {"Microsoft.Insights/components"},
    "monitoringReader": {"Microsoft.Insights/components", _GROUP},
    "serviceBusDataOwner": {f"{_BUS}/queues"},
    "serviceBusDataReceiver": {f"{_BUS}/queues", f"{_BUS}/topics/subscriptions"},
    "serviceBusDataSender": {f"{_BUS}/queues", f"{_BUS}/topics"},
    "storageBlobDataOwner": {_STORAGE},
    "storageTableDataContributor": {_STORAGE},
    "websiteContributor": {"Microsoft.Web/sites"},
}
# Without one of these the app does not start, or loses what it should keep.
_APP_NEEDS = {
    "keyVaultSecretsOfficer",
    "monitoringMetricsPublisher",
    "serviceBusDataOwner",
    "serviceBusDataSender",
    "storageBlobDataOwner",
}


def ids(project: Project) -> Iterator[str]:
    """Every role is one of the table, and has there the id that it is given here."""
    path = project.root / "infra" / "roles.json"
    for name, id_ in json.loads(path.read_text()).items() if path.is_file() else ():
        if IDS.get(name) != id_:
            yield f"infra/roles.json:1: {id_} is not the id of {name}"
    for one in project.of(ASSIGNMENT):
        if _role(one) not in _SCOPES:
            yield f"{one.declared.at}: {one.declared.name} gives a role that nobody here needs"


def scopes(project: Project) -> Iterator[str]:
    """A role is given on the resource that it is about, declared in the same module."""
    for one in project.of(ASSIGNMENT):
        scope, role, target = one.body.get("scope"), _role(one), _target(project, one)
        type_ = target.type if target else _GROUP if scope is None else ""
        at = scope.at if scope else one.declared.at
        if role in _SCOPES and type_ not in _SCOPES[role]:
            yield f"{at}: {role} is given on {type_ or 'something else'}"
        if target and target.declared.existing:
            yield f"{at}: {role} is given outside the module of {target.declared.name}"


def names(project: Project) -> Iterator[str]:
    """An assignment's name is made of where, who and what, and it says what kind of principal it is for."""
    for one in project.of(ASSIGNMENT):
        name, properties = one.body.get("name"), one.body.get("properties", "principalType")
        if not isinstance(name, Call) or name.function != "guid" or len(name.arguments) != 3:  # so
            yield f"{one.declared.at}: {one.declared.name} is not named by scope, principal and role"
        elif _role(one) not in {_known(part) for part in walk(name)}:
            yield f"{name.at}: the name of {one.declared.name} is not made of its own role"
        elif (scope := one.body.get("scope")) and _symbol(scope) not in map(_symbol, walk(name)):
            yield f"{name.at}: the name of {one.declared.name} is not made of its own scope"
        if properties is None or (_of_app(one) and _value(properties) != "ServicePrincipal"):
            yield f"{one.declared.at}: {one.declared.name} does not say which kind of principal it is for"


def people(project: Project) -> Iterator[str]:
    """Nobody is given a role when no group is named, and a group is called one."""
    for one in project.of(ASSIGNMENT):
        given = one.body.get("properties", "principalId")
        own = one.declared.object.get("properties", "principalId")
        if given is not None and not _of_app(one) and not one.conditions:
            yield f"{one.declared.at}: {one.declared.name} is given to nobody where no group is named"
        kind = one.body.get("properties", "principalType")
        if isinstance(own, Name) and own.name.endswith("GroupId") and (not kind or _value(kind) != "Group"):
            yield f"{one.declared.at}: {one.declared.name} is for a group"


def once(project: Project) -> Iterator[str]:
    """No two assignments have one name, by which Azure would refuse the second."""
    seen: set[tuple[object, ...]] = set()
    for one in project.of(ASSIGNMENT):
        name, scope = one.body.get("name"), one.body.get("scope")
        parts = walk(name) if name else ()
        made = tuple(str(_value(part) or _symbol(part)) for part in parts)
        if (key := (one.source.path, scope and _symbol(scope), _entity(project, one), made)) in seen:
            yield f"{one.declared.at}: {one.declared.name} is there twice"
        seen.add(key)


def app(project: Project) -> Iterator[str]:
    """The app owns the queues it consumes, sends to every other entity, and has what else it needs."""
    given = [one for one in project.of(ASSIGNMENT) if _of_app(one) and _applies(one)]
    main = project.of("Microsoft.ManagedIdentity/userAssignedIdentities")
    at = main[0].declared.at if main else "infra/main.bicep:1"
    for role in sorted(_APP_NEEDS - {_role(one) for one in given}):
        yield f"{at}: the app is not given {role}"
    owned = {_entity(project, one) for one in given if _role(one) == "serviceBusDataOwner"}
    sent = {_entity(project, one) for one in given if _role(one) == "serviceBusDataSender"}
    for one in given:
        if _role(one) == "serviceBusDataOwner" and _entity(project, one) not in CONSUMED:
            yield f"{one.declared.at}: the app owns {_entity(project, one)}, which it does not consume"
    for queue in sorted(CONSUMED - owned):
        yield f"{at}: the app does not own {queue}, which it consumes"
    topics = {one.body.get("name") for one in project.of(f"{_BUS}/topics")}
    told = {str(_value(name)) for name in topics if name}
    for entity in sorted({*QUEUES.values(), *told} - sent - owned):
        yield f"{at}: the app cannot send to {entity}"


def first(project: Project) -> Iterator[str]:
    """The app starts when it has its roles: its module waits for every module that gives it one."""
    main = project.sources.get(MAIN)
    modules = {one.name: project.module(main, one) for one in main.deployables} if main else {}
    giving = {one.source.path for one in project.of(ASSIGNMENT) if _of_app(one)}
    sites = {one.source.path for one in project.of("Microsoft.Web/sites")}
    for name, source in modules.items():
        app = main.deployable(name) if main and source and source.path in sites else None
        mentioned = {part.name for part in (walk(app.body) if app else ()) if isinstance(part, Name)}
        for other, given in modules.items():
            if app and given and given.path in giving and other not in mentioned:
                yield f"{app.at}: {name} does not wait for {other}, which gives it a role"


def _role(one: Resource) -> str:
    match one.body.get("properties", "roleDefinitionId"):
        case Call(function="subscriptionResourceId", arguments=(Literal(value=kind), Literal() as id_)):
            return _known(id_) if kind == "Microsoft.Authorization/roleDefinitions" else ""
    return ""


def _known(part: Expression) -> str:
    value = _value(part)
    if not isinstance(value, str) or not _GUID.match(value):
        return ""
    return next((name for name, id_ in IDS.items() if id_ == value), value)


def _value(part: Expression) -> object:
    return part.value if isinstance(part, Literal) else None


def _symbol(part: Expression) -> str:
    match part:
        case Index(of=of):
            return _symbol(of)
        case Name(name=name) | Access(name=name, nested=True):
            return name
    return ""


def _target(project: Project, one: Resource) -> Resource | None:
    """Return the resource that is a role's scope: of those from a loop, the one that is meant."""
    scope = one.body.get("scope")
    symbol = _symbol(scope) if scope else ""
    around = [other for other in project.resources if other.source is one.source]
    found = [other for other in around if other.declared.name == symbol]
    match scope:
        case Index(index=Literal(value=int(number))) if number < len(found):
            return found[number]
    return found[0] if found else None


def _entity(project: Project, one: Resource) -> object:
    target = _target(project, one)
    return _value(name) if target and (name := target.body.get("name")) else None


def _of_app(one: Resource) -> bool:
    """Tell the identity's roles: its principal alone is an output, a group's is a parameter."""
    given = one.body.get("properties", "principalId")
    return any(
        isinstance(part, Access) and part.name == "principalId" for part in (walk(given) if given else ())
    )


def _applies(one: Resource) -> bool:
    return not any(isinstance(test, Literal) and test.value is False for test in one.conditions)
