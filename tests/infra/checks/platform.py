"""What Azure refuses, or lets fail later, though the published types allow it."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from tests.infra.bicep import Access, Array, Call, Expression, Index, Interpolated, Literal, Object, walk
from tests.infra.project import Project, Resource

_INSIGHTS, _NETWORK = "Microsoft.Insights", "Microsoft.Network"
_GLOBAL = {"location": {"global"}}
_VALUES: dict[str, dict[str, set[str]]] = {
    f"{_INSIGHTS}/actionGroups": _GLOBAL,
    f"{_INSIGHTS}/metricAlerts": _GLOBAL,
    f"{_INSIGHTS}/scheduledQueryRules": {"kind": {"LogAlert"}},
    f"{_NETWORK}/privateDnsZones": _GLOBAL,
    f"{_NETWORK}/privateDnsZones/virtualNetworkLinks": _GLOBAL,
    "Microsoft.Storage/storageAccounts/blobServices": {"name": {"default"}},
    "Microsoft.Web/serverfarms": {"kind": {"functionapp"}, "sku.tier": {"FlexConsumption"}},
    "Microsoft.Web/sites": {
        "kind": {"functionapp,linux"},
        "properties.functionAppConfig.deployment.storage.type": {"blobContainer"},
        "properties.functionAppConfig.runtime.name": {"python"},
    },
}
_RANGES = {
    f"{_INSIGHTS}/metricAlerts": {"properties.severity": (0, 4)},
    f"{_INSIGHTS}/scheduledQueryRules": {"properties.severity": (0, 4)},
    "Microsoft.KeyVault/vaults": {"properties.softDeleteRetentionInDays": (7, 90)},
    "Microsoft.OperationalInsights/workspaces": {"properties.retentionInDays": (30, 730)},
}
# Where a resource is meant by its id, and by nothing else of it.
_IDS = {
    f"{_INSIGHTS}/components": ("properties.WorkspaceResourceId",),
    f"{_INSIGHTS}/diagnosticSettings": ("properties.workspaceId",),
    "Microsoft.Web/sites": (
        "properties.serverFarmId",
        "properties.functionAppConfig.deployment.storage.authentication.userAssignedIdentityResourceId",
    ),
}
# For each kind of private endpoint, how the name of its zone begins.
_ZONES = {
    "blob": "privatelink.blob.",
    "namespace": "privatelink.servicebus.windows.net",
    "queue": "privatelink.queue.",
    "table": "privatelink.table.",
    "vault": "privatelink.vaultcore.azure.net",
}
_SHORT_NAME = 12


def values(project: Project) -> Iterator[str]:
    """Values that must be the one that Azure takes are."""
    for type_, wanted in _VALUES.items():
        for one in project.of(type_):
            for path, known in wanted.items():
                given = one.body.get(*path.split("."))
                at = (one.declared.object.get(*path.split(".")) or one.declared).at
                if not isinstance(given, Literal) or given.value not in known:
                    yield f"{at}: {path} of {one.declared.name} must be {min(known)}"


def ranges(project: Project) -> Iterator[str]:
    """Numbers lie where Azure takes them, and a short name is short."""
    for type_, wanted in _RANGES.items():
        for one in project.of(type_):
            for path, (least, most) in wanted.items():
                given = one.body.get(*path.split("."))
                if isinstance(given, Literal) and not least <= int(given.value or 0) <= most:
                    yield f"{given.at}: {path} must be between {least} and {most}"
    for one in project.of(f"{_INSIGHTS}/actionGroups"):
        given = one.body.get("properties", "groupShortName")
        if isinstance(given, Literal) and len(str(given.value)) > _SHORT_NAME:
            yield f"{given.at}: a short name has {_SHORT_NAME} characters at most"


def ids(project: Project) -> Iterator[str]:
    """Where a resource's id is meant, nothing else of it is given."""
    for type_, paths in _IDS.items():
        for one in project.of(type_):
            for path in paths:
                given = one.body.get(*path.split("."))
                if not isinstance(given, Access) or given.name != "id":
                    yield f"{(given or one.declared).at}: {path} of {one.declared.name} is no resource's id"
    for one in project.of(f"{_INSIGHTS}/workbooks"):
        name = one.body.get("name")
        if not isinstance(name, Call) or name.function != "guid":
            yield f"{(name or one.declared).at}: the name of a workbook is a guid"


def container(project: Project) -> Iterator[str]:
    """The app's package lies at the full address of a container that is deployed."""
    path = ("properties", "functionAppConfig", "deployment", "storage", "value")
    containers = {repr(_plain(one.body.get("name"))) for one in project.of(_CONTAINER)}
    for one in project.of("Microsoft.Web/sites"):
        match one.body.get(*path):
            case Interpolated(parts=(Access(name="blob"), name)) if repr(_plain(name)) in containers:
                continue
            case given:
                yield f"{(given or one.declared).at}: this is not the address of the package's container"


_CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"


def network(project: Project) -> Iterator[str]:
    """The app's subnet is Flex Consumption's, subnets lie in the network, endpoints meet their zones."""
    for one in project.of(f"{_NETWORK}/virtualNetworks"):
        spaces = one.body.get("properties", "addressSpace", "addressPrefixes")
        around = [IPv4Network(text) for text in _texts(spaces)]
        subnets = _objects(one.body.get("properties", "subnets"))
        for subnet in subnets:
            prefix = subnet.get("properties", "addressPrefix")
            inner = IPv4Network(str(_plain(prefix)))
            if not any(inner.subnet_of(outer) for outer in around):
                yield f"{(prefix or subnet).at}: the subnet lies outside of its network"
        delegated = [subnet for subnet in subnets if subnet.get("properties", "delegations")]
        if [_service(subnet) for subnet in delegated] != ["Microsoft.App/environments"]:
            at = delegated[0].at if delegated else one.declared.at
            yield f"{at}: the app's subnet is delegated to Microsoft.App/environments"
    zones = [_text(one.body.get("name")) for one in project.of(f"{_NETWORK}/privateDnsZones")]
    for one in project.of(f"{_NETWORK}/privateEndpoints"):
        yield from _endpoint(one, zones)


def _endpoint(one: Resource, zones: list[str]) -> Iterator[str]:
    for connection in _objects(one.body.get("properties", "privateLinkServiceConnections")):
        for group in _texts(connection.get("properties", "groupIds")):
            zone = _ZONES.get(group)
            if zone is None:
                yield f"{connection.at}: there are no private endpoints of the kind {group}"
            elif not any(name.startswith(zone) for name in zones):
                yield f"{connection.at}: the private endpoint of {group} has no zone {zone}"


def placed(project: Project) -> Iterator[str]:
    """A private endpoint lies in a subnet of the network beside it."""
    networks = project.of(f"{_NETWORK}/virtualNetworks")
    subnets = [
        _plain(one.get("name")) for net in networks for one in _objects(net.body.get("properties", "subnets"))
    ]
    for one in project.of(f"{_NETWORK}/privateEndpoints"):
        given = one.body.get("properties", "subnet", "id")
        if _text(given).rpartition("/subnets/")[2] not in subnets:
            yield f"{(given or one.declared).at}: there is no such subnet"


def zoned(project: Project) -> Iterator[str]:
    """The zone group of each private endpoint is of that endpoint's own zone."""
    for one in project.of(f"{_NETWORK}/privateEndpoints/privateDnsZoneGroups"):
        parent = one.body.get("parent")
        for config in _objects(one.body.get("properties", "privateDnsZoneConfigs")):
            match parent, config.get("properties", "privateDnsZoneId"):
                case Index(index=Literal(value=end)), Access(of=Index(index=Literal(value=zone))) if (
                    end != zone
                ):
                    yield f"{config.at}: the zone of another private endpoint"


def told(project: Project) -> Iterator[str]:
    """A budget tells somebody."""
    for one in project.of("Microsoft.Consumption/budgets"):
        notifications = one.body.get("properties", "notifications")
        for member in notifications.members if isinstance(notifications, Object) else ():
            value = member.value if isinstance(member.value, Object) else one.body
            lists = [value.get(name) for name in ("contactEmails", "contactGroups", "contactRoles")]
            if not any(isinstance(several, Array) and several.items for several in lists):
                yield f"{member.at}: the budget tells nobody"


def logs(project: Project) -> Iterator[str]:
    """Diagnostic settings name groups of logs that exist."""
    for one in project.of(f"{_INSIGHTS}/diagnosticSettings"):
        for log in _objects(one.body.get("properties", "logs")):
            group = log.get("categoryGroup")
            if _plain(group) not in {"allLogs", "audit"}:
                yield f"{(group or log).at}: there is no such group of logs"


def _service(subnet: Object) -> object:
    [delegation] = _objects(subnet.get("properties", "delegations")) or [subnet]
    return _plain(delegation.get("properties", "serviceName"))


def _plain(value: Expression | None) -> object:
    return value.value if isinstance(value, Literal) else getattr(value, "name", None)


def _text(value: Expression | None) -> str:
    parts = walk(value) if value else ()
    return "".join(str(part.value) for part in parts if isinstance(part, Literal))


def _texts(value: Expression | None) -> list[str]:
    return [str(_plain(item)) for item in value.items] if isinstance(value, Array) else []


def _objects(value: Expression | None) -> list[Object]:
    return [item for item in value.items if isinstance(item, Object)] if isinstance(value, Array) else []
