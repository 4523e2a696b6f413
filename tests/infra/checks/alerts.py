"""Every alert reaches somebody and names a runbook that is there, and what must be watched is watched."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.infra.bicep import Access, Array, Expression, Interpolated, Literal, Name, Object, Operation, walk
from tests.infra.product import CONSUMED, QUEUES
from tests.infra.project import Project, Resource

_METRIC, _LOG = "Microsoft.Insights/metricAlerts", "Microsoft.Insights/scheduledQueryRules"
_GROUP = "Microsoft.Insights/actionGroups"
_TOPIC = "Microsoft.ServiceBus/namespaces/topics"
_RUNBOOK = re.compile(r"(docs/[\w-]+\.md)#([\w-]+)")
_BUS_METRICS = {
    "AbandonMessage",
    "ActiveMessages",
    "CompleteMessage",
    "DeadletteredMessages",
    "IncomingMessages",
    "Messages",
    "OutgoingMessages",
    "ScheduledMessages",
    "ServerErrors",
    "Size",
    "ThrottledRequests",
    "UserErrors",
}
# A depth is a level; of these alone a total means something.
_COUNTED = {"AbandonMessage", "IncomingMessages", "OutgoingMessages", "CompleteMessage"} | {
    "ServerErrors",
    "ThrottledRequests",
    "UserErrors",
}
_WATCHED_METRICS = {
    "ActiveMessages",
    "DeadletteredMessages",
    "ScheduledMessages",
    "Size",
    "ThrottledRequests",
}
# What some query of a log alert must look for, by what it is.
_WATCHED = {
    "rejections": r'outcome == "Rejected"',
    "duplicates": r'outcome == "Duplicate"',
    "refusals of the app itself": r'retryKind == "service"',
    "what nobody could be told": r"isnotempty\(untold\)",
    "throttling": r'retryKind == "throttled"',
    "the refresh token's last 14 days": r"daysLeft < 14\b",
    "failed executions": r"AppRequests\s*\|\s*where\s+Success == false",
}
_FREQUENCIES = {_METRIC: {1, 5, 15, 30, 60}, _LOG: {1, 5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440}}
_DAY = 24 * 60
_WINDOWS = {
    _METRIC: {1, 5, 15, 30, 60, 360, 720, _DAY},
    _LOG: {1, 5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, _DAY, 2 * _DAY},
}


def told(project: Project) -> Iterator[str]:
    """Every alert is on and has an action group, and the action group has somebody in it."""
    for one in _alerts(project):
        actions = one.body.get("properties", "actions")
        groups = {group.declared.name for group in project.of(_GROUP) if group.source is one.source}
        if not any(_symbol(part) in groups for part in (walk(actions) if actions else ())):
            yield f"{one.declared.at}: {_name(one)} tells nobody"
    for one in [*_alerts(project), *project.of(_GROUP)]:
        if not _on(one.declared.object.get("properties", "enabled")):
            yield f"{one.declared.at}: {_name(one)} is not on"
    for one in project.of(_GROUP):
        properties = one.body.get("properties")
        members = properties.members if isinstance(properties, Object) else ()
        receivers = [member for member in members if str(member.name).endswith("Receivers")]
        if not any(_holds(member.value) for member in receivers):
            yield f"{one.declared.at}: nobody is in {one.declared.name}"


def runbooks(project: Project) -> Iterator[str]:
    """Every alert's description names a runbook, and that has a section of that name."""
    for one in _alerts(project):
        description = one.body.get("properties", "description")
        text = _text(description) if description else ""
        found = _RUNBOOK.search(text)
        at = description.at if description else one.declared.at
        if found is None:
            yield f"{at}: {_name(one)} names no runbook"
        elif found[2] not in _anchors(project.root / found[1]):
            yield f"{at}: {_name(one)} names the runbook {found[0]}, which does not exist"


def windows(project: Project) -> Iterator[str]:
    """Every alert is evaluated at least once in each window, and Azure knows both lengths."""
    for type_ in (_METRIC, _LOG):
        for one in project.of(type_):
            minutes = {}
            for name, lengths in (("evaluationFrequency", _FREQUENCIES), ("windowSize", _WINDOWS)):
                given = one.body.get("properties", name)
                minutes[name] = _minutes(given)
                if minutes[name] not in lengths[type_]:
                    yield f"{(given or one.declared).at}: {name} of {_name(one)} is no length of Azure's"
            if minutes["evaluationFrequency"] > minutes["windowSize"]:
                yield f"{one.declared.at}: {_name(one)} looks away between its windows"


def metrics(project: Project) -> Iterator[str]:
    """What metrics tell is watched: on the namespace, for every entity it is about."""
    seen = set()
    for one in project.of(_METRIC):
        for criterion in _criteria(one):
            metric = _plain(criterion.get("metricName"))
            seen.add(metric)
            if metric not in _BUS_METRICS:
                yield f"{criterion.at}: Service Bus has no metric {metric}"
            if metric == "DeadletteredMessages" and _plain(criterion.get("threshold")) != 0:
                yield f"{criterion.at}: one dead letter is enough"
            if metric == "Size" and not _below(criterion.get("threshold"), *_room(project)):
                yield f"{criterion.at}: nobody hears of it before the topic is full"
            yield from _entities(criterion, str(metric), _watched(project, str(metric)))
    for missing in sorted(_WATCHED_METRICS - seen):
        yield f"infra/modules/alerts.bicep:1: nobody watches {missing}"


def _watched(project: Project, metric: str) -> set[str]:
    """Return the names of the entities of which a metric is to be watched."""
    match metric:
        case "DeadletteredMessages":
            return set(QUEUES.values())
        case "Size":
            return {str(_plain(one.body.get("name"))) for one in project.of(_TOPIC)}
    return CONSUMED


def _room(project: Project) -> list[Expression | None]:
    return [one.body.get("properties", "maxSizeInMegabytes") for one in project.of(_TOPIC)]


def _below(threshold: Expression | None, *room: Expression | None) -> bool:
    """Tell whether a number of bytes is less than each number of megabytes."""
    given, sizes = _plain(threshold), [_plain(one) for one in room]
    return isinstance(given, int) and all(isinstance(one, int) and given < one * 2**20 for one in sizes)


def _entities(criterion: Object, metric: str, wanted: set[str]) -> Iterator[str]:
    dimensions = criterion.get("dimensions")
    for one in dimensions.items if isinstance(dimensions, Array) else ():
        values = one.get("values") if isinstance(one, Object) else None
        if isinstance(one, Object) and _plain(one.get("name")) != "EntityName":
            yield f"{one.at}: {metric} has no dimension {_plain(one.get('name'))}"
        if isinstance(values, Array):
            for missing in sorted(wanted - {str(_plain(value)) for value in values.items}):
                if "*" not in map(_plain, values.items):
                    yield f"{values.at}: {metric} of {missing} is not watched"


def criteria(project: Project) -> Iterator[str]:
    """An alert fires when there is more than its threshold, of what can be counted so."""
    for one in [*_alerts(project)]:
        for criterion in _criteria(one):
            metric, counted = _plain(criterion.get("metricName")), _plain(criterion.get("timeAggregation"))
            if _plain(criterion.get("operator")) != "GreaterThan":
                yield f"{criterion.at}: {_name(one)} does not fire when there is more"
            if one.type == _METRIC and (counted == "Total") != (metric in _COUNTED):
                yield f"{criterion.at}: {metric} has no sensible {counted}"
            space = _plain(criterion.get("metricNamespace"))
            if one.type == _METRIC and space != "Microsoft.ServiceBus/namespaces":
                yield f"{criterion.at}: {space} has no metrics"
            if one.type == _LOG:
                yield from _rows(one, criterion)


def _rows(one: Resource, criterion: Object) -> Iterator[str]:
    """Yield what is wrong with an alert that is meant to fire on every row of its query."""
    if (_plain(criterion.get("timeAggregation")), _plain(criterion.get("threshold"))) != ("Count", 0):
        yield f"{criterion.at}: {_name(one)} does not fire on every row of its query"
    least, most = (
        _plain(criterion.get("failingPeriods", name))
        for name in ("minFailingPeriodsToAlert", "numberOfEvaluationPeriods")
    )
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield f"{criterion.at}: {_name(one)} waits for {least} of {most} periods"
    dimensions, query = criterion.get("dimensions"), criterion.get("query")
    for dimension in dimensions.items if isinstance(dimensions, Array) else ():
        column = _plain(dimension.get("name")) if isinstance(dimension, Object) else None
        if not re.search(rf"\b{column}\s*=", _text(query) if query else ""):
            yield f"{dimension.at}: the query of {_name(one)} gives no column {column}"


def queries(project: Project) -> Iterator[str]:
    """What only the log tells is watched: each such thing by a query of its own."""
    found = [criterion.get("query") for one in project.of(_LOG) for criterion in _criteria(one)]
    texts = [_text(query) for query in found if query]
    for what, pattern in _WATCHED.items():
        if not any(re.search(pattern, text) for text in texts):
            yield f"infra/modules/alerts.bicep:1: nobody watches {what}"


def _alerts(project: Project) -> list[Resource]:
    return [*project.of(_METRIC), *project.of(_LOG)]


def _name(one: Resource) -> object:
    return _plain(one.body.get("name")) or one.declared.name


def _criteria(one: Resource) -> list[Object]:
    criteria = one.body.get("properties", "criteria", "allOf")
    return (
        [item for item in criteria.items if isinstance(item, Object)] if isinstance(criteria, Array) else []
    )


def _plain(value: Expression | None) -> object:
    return value.value if isinstance(value, Literal) else None


def _on(value: Expression | None) -> bool:
    return _plain(value) is True


def _symbol(part: Expression) -> str:
    match part:
        case Access(of=Name(name=name), name="id"):
            return name
    return ""


def _holds(value: Expression) -> bool:
    """Tell whether a list of receivers may hold one."""
    match value:
        case Array(items=items):
            return bool(items)
        case Operation(operator="?", operands=(_, *branches)):
            return any(map(_holds, branches))
    return True


def _text(value: Expression) -> str:
    parts = value.parts if isinstance(value, Interpolated) else (value,)
    return "".join(str(part.value) if isinstance(part, Literal) else "0" for part in parts)


def _minutes(value: Expression | None) -> int:
    """Return an ISO 8601 duration of days, hours or minutes in minutes; 0 for anything else."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?", str(_plain(value)))
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return (days * 24 + hours) * 60 + minutes


def _anchors(path: Path) -> set[str]:
    """Return what can be linked to in a Markdown file: headings, as GitHub names them, and named anchors."""
    if not path.is_file():
        return set()
    text = path.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = re.findall(r'<a (?:id|name)="([\w-]+)"', text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings} | {
        *named
    }
