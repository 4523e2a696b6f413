"""Every kind of fault that a template can have is found where it is: what cannot fail proves nothing."""

import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.infra.catalogue import CHECKS, findings
from tests.infra.product import ROOT
from tests.infra.project import Project

MODULES = "infra/modules"
COPIED = ("infra", "docs", ".github", "azure.yaml", "host.json")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to seed.

    Attributes:
        file: where it is seeded.
        pattern: what is replaced, its first occurrence; a regular expression.
        replacement: what stands there then.
        check: which check must find it.
        found_in: the file that the finding names, where it is another one.
    """

    name: str
    file: str
    pattern: str
    replacement: str
    check: str
    found_in: str = ""


def module(name: str, file: str, pattern: str, replacement: str, check: str, found_in: str = "") -> Fault:
    return Fault(name, f"{MODULES}/{file}.bicep", pattern, replacement, check, found_in)


def main(name: str, pattern: str, replacement: str, check: str, found_in: str = "") -> Fault:
    return Fault(name, "infra/main.bicep", pattern, replacement, check, found_in)


SYNTAX = [
    main("a brace is missing", r"\n}\n", "\n\n", "symbols.parsed"),
    module("a quote is missing", "storage", r"name: 'default'", "name: 'default", "symbols.parsed"),
    module("a loop's bracket is missing", "service-bus", r"\n}\]", "\n}", "symbols.parsed"),
    module("newer syntax", "identity", r"tags: tags", "tags: map(tags, x => x)", "symbols.parsed"),
]
SYMBOLS = [
    main("an undeclared symbol", r"tags: tags", "tags: tag", "symbols.resolved"),
    main(
        "an unused parameter", r"\A", "@description('Of no use.')\nparam idle bool = true\n", "symbols.used"
    ),
    module("an unused variable", "identity", r"\A", "var idle = 1\n", "symbols.used"),
    module(
        "an unused existing resource", "network", r"target: vault\.id", "target: storage.id", "symbols.used"
    ),
    module(
        "a parameter declared twice",
        "budget",
        r"\A",
        "@description('')\nparam amount int\n",
        "symbols.declared",
    ),
    module("no description", "budget", r"@description\('Amount[^\n]*\n", "", "symbols.declared"),
    module("an unknown type", "budget", r"param amount int", "param amount integer", "symbols.declared"),
    main("a module's parameter misspelt", r"vaultName: vaultName", "vaultname: vaultName", "symbols.modules"),
    main("a module's parameter forgotten", r"\n    zoneRedundant: zoneRedundant", "", "symbols.modules"),
    main("a module's parameter of another kind", r"amount: budgetAmount", "amount: '5'", "symbols.modules"),
    main("an unknown module", r"modules/storage\.bicep", "modules/storages.bicep", "symbols.modules"),
    main("a module without a name", r"  name: 'monitoring'\n", "", "symbols.modules"),
    main("an unknown output", r"outputs\.principalId", "outputs.principal", "symbols.outputs"),
    module(
        "an output that is gone",
        "service-bus",
        r"output hostName",
        "output host",
        "symbols.outputs",
        "infra/main.bicep",
    ),
    main(
        "dependsOn an unknown symbol", r"(dependsOn: \[\s+)monitoring", r"\1monitor", "symbols.dependencies"
    ),
    main("dependsOn in vain", r"(dependsOn: \[\s+)monitoring", r"\1identity", "symbols.dependencies"),
    module("an unknown function", "storage", r"guid\(", "newGuid(", "symbols.calls"),
    module("too few arguments", "alerts", r"split\(emails, ','\)", "split(emails)", "symbols.calls"),
    main("an unknown decorator", r"@minLength", "@minimumLength", "symbols.calls"),
    main("a default beyond what is allowed", r"MB int = 2048", "MB int = 1024", "symbols.defaults"),
    main("a default of another kind", r"budgetAmount int = 0", "budgetAmount int = '0'", "symbols.defaults"),
]
ORDER = [
    main("a condition that decides nothing", r"if \(vnetEnabled\)", "if (networkName)", "symbols.tests"),
    main("a key twice", r"(\n +tags: tags)", r"\1\1", "symbols.keys"),
    main("two names exchanged", r"storageName: storageName", "storageName: vaultName", "symbols.modules"),
    module("a member misspelt", "key-vault", r"tenant\(\)\.tenantId", "tenant().tenant", "symbols.members"),
    main("an app that starts without its vault", r"(    storage\n)    keyVault\n", r"\1", "symbols.order"),
    main("an app that starts before its roles", r"(    storage\n)    keyVault\n", r"\1", "roles.first"),
    main("a module in no resource group", r"\n  scope: group", "", "symbols.modules"),
    main("a file to load that is not there", r"'service-bus\.json'", "'servicebus.json'", "symbols.calls"),
    main("a decorator's argument of another kind", r"@minValue\(1\)", "@minValue('1')", "symbols.calls"),
    main(
        "a setting read that is not there",
        r"settings\.RETRIES_QUEUE",
        "settings.RETRY_QUEUE",
        "symbols.members",
    ),
]
PLATFORM = [
    module("an unknown group of logs", "service-bus", r"'allLogs'", "'all'", "platform.logs"),
    module(
        "an endpoint in no subnet", "network", r"/subnets/endpoints", "/subnets/endpoint", "platform.placed"
    ),
    module("an endpoint without a subnet", "network", r"(subnet: \{\n +)id:", r"\1name:", "platform.placed"),
    module(
        "a metric alert in a region", "alerts", r"location: 'global'", "location: location", "platform.values"
    ),
    module(
        "a site of another kind", "function-app", r"'functionapp,linux'", "'app,linux'", "platform.values"
    ),
    module("a severity of 9", "alerts", r"severity: 2", "severity: 9", "platform.ranges"),
    module(
        "a long short name", "alerts", r"Name: 'agreements'", "Name: 'agreements-alerts'", "platform.ranges"
    ),
    module("a name for an id", "function-app", r"plan\.id", "plan.name", "platform.ids"),
    module(
        "a package that lies nowhere",
        "function-app",
        r"\$\{packageContainerName\}",
        "app",
        "platform.container",
    ),
    module(
        "the subnet of older plans", "network", r"Microsoft\.App/env", "Microsoft.Web/env", "platform.network"
    ),
    module("a subnet outside", "network", r"'10\.0\.2\.0/24'", "'10.1.2.0/24'", "platform.network"),
    module(
        "an endpoint without a zone", "network", r"privatelink\.vault", "private.vault", "platform.network"
    ),
    module("the Basic tier", "service-bus", r"'Standard'", "'Basic'", "entities.tier"),
]
SHAPES = [
    module("one thing deployed twice", "alerts", r"name: 'backlog'", "name: 'waiting'", "resources.names"),
    module(
        "an unpublished version", "key-vault", r"vaults@2024-11-01", "vaults@2024-11-31", "resources.types"
    ),
    module("an unpublished type", "storage", r"/containers@", "/buckets@", "resources.types"),
    module("a misspelt property", "storage", r"minimumTlsVersion", "minTlsVersion", "resources.properties"),
    module(
        "a property one level too high",
        "function-app",
        r"    siteConfig: \{\n",
        "    ftpsState: 'Disabled'\n    siteConfig: {\n",
        "resources.properties",
    ),
    module(
        "a wrong enumeration", "storage", r"accessTier: 'Hot'", "accessTier: 'Warm'", "resources.properties"
    ),
    module(
        "a wrong enumeration in one branch",
        "key-vault",
        r"'Deny' : 'Allow'",
        "'Denied' : 'Allow'",
        "resources.properties",
    ),
    module("a required property missing", "key-vault", r"\n    tenantId: [^\n]*", "", "resources.properties"),
    module("a location missing", "monitoring", r"\n  location: location", "", "resources.properties"),
    module(
        "a string for a boolean",
        "function-app",
        r"reserved: true",
        "reserved: 'true'",
        "resources.properties",
    ),
    module(
        "a string for a number",
        "alerts",
        r"threshold: 0\n    dim",
        "threshold: '0'\n    dim",
        "resources.properties",
    ),
    module("a number out of range", "storage", r"days: 7", "days: 700", "resources.properties"),
    module(
        "a read-only property",
        "storage",
        r"accessTier: 'Hot'",
        "provisioningState: 'Succeeded'",
        "resources.properties",
    ),
    module(
        "an alert's kind misspelt",
        "alerts",
        r"StaticThresholdCriterion",
        "StaticThreshold",
        "resources.properties",
    ),
    module(
        "an action group's name missing",
        "alerts",
        r"\n    groupShortName: [^\n]*",
        "",
        "resources.properties",
    ),
    module(
        "a private endpoint's property misspelt", "network", r"groupIds:", "groupId:", "resources.properties"
    ),
    Fault(
        "a queue's property misspelt",
        "infra/service-bus.json",
        r'"lockDuration"',
        '"lockDurations"',
        "resources.properties",
    ),
    module("another parent", "storage", r"parent: blobs", "parent: storage", "resources.parents"),
    module("no parent", "storage", r"\n  parent: blobs", "", "resources.parents"),
    module(
        "a resource at another scope",
        "key-vault",
        r"\A",
        "targetScope = 'subscription'\n",
        "resources.scopes",
    ),
    module(
        "a property read that is not there",
        "identity",
        r"properties\.principalId",
        "properties.objectId",
        "resources.reads",
    ),
    main(
        "a host of one cloud",
        r"\$\{environment\(\)\.suffixes\.keyvaultDns\}",
        ".vault.azure.net",
        "style.hosts",
    ),
    module(
        "a string around one value",
        "identity",
        r"name: identityName",
        "name: '${identityName}'",
        "style.strings",
    ),
    module(
        "a region written down", "storage", r"location: location", "location: 'westeurope'", "style.locations"
    ),
]
ACCESS = [
    module("a role looked up elsewhere", "storage", r"subscriptionResourceId", "resourceId", "roles.ids"),
    main("a secret handed out", r"output KEY_VAULT_URL", "output PARTNER_CLIENT_SECRET", "keyless.secrets"),
    module(
        "storage keys left on",
        "storage",
        r"allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
        "keyless.switches",
    ),
    module(
        "the bus's keys left on",
        "service-bus",
        r"disableLocalAuth: true",
        "disableLocalAuth: false",
        "keyless.switches",
    ),
    module("telemetry's key left on", "monitoring", r"\n    DisableLocalAuth: true", "", "keyless.switches"),
    module(
        "a key that a parameter turns on",
        "service-bus",
        r"disableLocalAuth: true",
        "disableLocalAuth: vnetEnabled",
        "keyless.switches",
    ),
    module(
        "access policies",
        "key-vault",
        r"enableRbacAuthorization: true",
        "accessPolicies: []",
        "keyless.switches",
    ),
    module(
        "old TLS", "service-bus", r"minimumTlsVersion: '1.2'", "minimumTlsVersion: '1.0'", "keyless.switches"
    ),
    module("plain http", "function-app", r"httpsOnly: true", "httpsOnly: false", "keyless.switches"),
    module(
        "a key read",
        "storage",
        r"name: packageContainerName",
        "name: storage.listKeys().keys[0].value",
        "symbols.calls",
    ),
    module("purge protection refused", "key-vault", r"\? true : null", "? true : false", "keyless.purge"),
    module(
        "no audit log",
        "key-vault",
        r"scope: vault\n  properties: \{\n    workspaceId",
        "properties: {\n    workspaceId",
        "keyless.audited",
    ),
    Fault("a wrong role id", "infra/roles.json", r"b86a8fe4", "b86a8fe5", "roles.ids"),
    Fault(
        "two role ids exchanged",
        "infra/roles.json",
        r"4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        "roles.ids",
    ),
    module("a role on the whole group", "storage", r"\n  scope: storage", "", "roles.scopes"),
    module(
        "a role on another resource", "monitoring", r"scope: insights", "scope: workspace", "roles.scopes"
    ),
    module(
        "a role on the whole namespace",
        "service-bus",
        r"scope: queues\[i\]",
        "scope: namespace",
        "roles.scopes",
    ),
    module(
        "the wrong role",
        "service-bus",
        r"(?s)(appConsumes.*?roleDefinitions', roles\.)serviceBusDataOwner",
        r"\1serviceBusDataReceiver",
        "roles.app",
        f"{MODULES}/identity.bicep",
    ),
    module(
        "every queue owned", "service-bus", r"(appConsumes[^\n]*)if \(contains[^\n]*\{", r"\1{", "roles.app"
    ),
    module("no kind of principal", "storage", r"\n    principalType: 'ServicePrincipal'", "", "roles.names"),
    module(
        "a role of the app forgotten",
        "monitoring",
        r"(?s)resource appPublishesTelemetry.*?\n}\n",
        "",
        "roles.app",
        f"{MODULES}/identity.bicep",
    ),
]
CONTRACT = [
    Fault(
        "a queue missing",
        "infra/service-bus.json",
        r"agreement-rejections",
        "agreement-rejected",
        "entities.named",
    ),
    Fault(
        "events that expire",
        "infra/service-bus.json",
        r'"lockDuration": "PT1M",',
        '"lockDuration": "PT1M", "defaultMessageTimeToLive": "P14D",',
        "entities.lasting",
    ),
    Fault(
        "expired events that vanish",
        "infra/service-bus.json",
        r'(OnMessageExpiration": )true',
        r"\1false",
        "entities.lasting",
    ),
    Fault(
        "a topic that is not there",
        "infra/app-settings.json",
        r'"agreement-outcomes"',
        '"agreement-outcome"',
        "entities.named",
    ),
    Fault(
        "a topic that fills up",
        "infra/service-bus.json",
        r'"defaultMessageTimeToLive": "P14D",',
        "",
        "entities.ending",
    ),
    Fault(
        "a subscription that fills up",
        "infra/service-bus.json",
        r',\s*"defaultMessageTimeToLive": "P7D"',
        "",
        "entities.ending",
    ),
    Fault(
        "dead letters of what is told",
        "infra/service-bus.json",
        r'(OnMessageExpiration": )false',
        r"\1true",
        "entities.ending",
    ),
    module(
        "other subscriptions than listed",
        "topic",
        r"properties: subscription\.properties",
        "properties: {\n    maxDeliveryCount: 5\n  }",
        "entities.listed",
    ),
    module(
        "a topic that the app cannot send to",
        "topic",
        r"(?s)resource appSends.*?\n}\n",
        "",
        "roles.app",
        f"{MODULES}/identity.bicep",
    ),
    module(
        "other queues than listed",
        "service-bus",
        r"properties: queue\.properties",
        "properties: {\n    maxDeliveryCount: 5\n  }",
        "entities.listed",
    ),
    module(
        "a forbidden setting",
        "function-app",
        r"'AZURE_CLIENT_ID'",
        "'FUNCTIONS_WORKER_RUNTIME'",
        "app_settings.names",
    ),
    module(
        "a setting missing",
        "function-app",
        r"(?s)\n  \{\n    name: 'PARTNER_CLIENT_ID'.*?\n  \}",
        "",
        "app_settings.names",
    ),
    module(
        "a setting misspelt", "function-app", r"'PARTNER_TENANT_ID'", "'PARTNER_TENANT'", "app_settings.names"
    ),
    module(
        "the host's credential missing",
        "function-app",
        r"'AzureWebJobsStorage__credential'",
        "'AzureWebJobsStorage__kind'",
        "app_settings.names",
    ),
    Fault(
        "a queue's setting missing",
        "infra/app-settings.json",
        r'\n *"RETRIES_QUEUE"[^\n]*',
        "",
        "app_settings.names",
        f"{MODULES}/function-app.bicep",
    ),
    Fault(
        "a setting for one machine",
        "infra/app-settings.json",
        r'"RETRY_BASE_SECONDS"',
        '"PARTNER_CLIENT_SECRET": "x", "RETRY_BASE_SECONDS"',
        "app_settings.names",
    ),
    Fault("another default", "infra/app-settings.json", r'"900"', '"90"', "app_settings.values"),
    module(
        "threads that do not match",
        "function-app",
        r"string\(maxConcurrentCalls\)",
        "'4'",
        "app_settings.values",
    ),
    module("another Python", "function-app", r"version: '3\.13'", "version: '3.11'", "app_settings.plan"),
    module(
        "a property of older plans",
        "function-app",
        r"(\n      )http20Enabled: true",
        r"\1http20Enabled: true\1alwaysOn: true",
        "app_settings.plan",
    ),
    module("another plan", "function-app", r"'FC1'", "'Y1'", "app_settings.plan"),
    main(
        "a function that does not exist",
        r"'retry_acceptance'",
        "'retry_acceptances'",
        "app_settings.functions",
        f"{MODULES}/function-app.bicep",
    ),
]
WATCHED = [
    Fault(
        "a workbook without the token's days",
        "infra/workbook.json",
        r"min\(daysLeft\)",
        "count()",
        "queries.workbook",
    ),
    module(
        "a metric alert without action",
        "alerts",
        r"(?s)actions: \[\n.*?\n    \]\n  \}\n\}\]",
        "actions: []\n  }\n}]",
        "alerts.told",
    ),
    module(
        "a log alert without action",
        "alerts",
        r"actionGroups: \[\s+actionGroup\.id\s+\]",
        "actionGroups: []",
        "alerts.told",
    ),
    module(
        "an alert that is off",
        "alerts",
        r"(?s)(resource logRules.*?enabled: )true",
        r"\1false",
        "alerts.told",
    ),
    module(
        "nobody to tell",
        "alerts",
        r"(?s)armRoleReceivers: .*?\n    \}\]\n",
        "armRoleReceivers: []\n",
        "alerts.told",
    ),
    module(
        "a runbook that is not there", "alerts", r"#alert-dead-lettered", "#alert-dead", "alerts.runbooks"
    ),
    module("an alert without a runbook", "alerts", r" Runbook: \$\{alert\.runbook\}", "", "alerts.runbooks"),
    module("a metric misspelt", "alerts", r"'ScheduledMessages'", "'ScheduleMessages'", "alerts.metrics"),
    module(
        "dead letters that may pile up",
        "alerts",
        r"(?s)('DeadletteredMessages'.*?threshold: )0",
        r"\g<1>100",
        "alerts.metrics",
    ),
    module(
        "a topic that is full before anybody hears of it",
        "alerts",
        r"4294967296",
        "5368709120",
        "alerts.metrics",
    ),
    module("a topic unwatched", "alerts", r"values: topicNames", "values: []", "alerts.metrics"),
    module("a dimension misspelt", "alerts", r"'EntityName'", "'QueueName'", "alerts.metrics"),
    module(
        "a window that Azure does not know", "alerts", r"window: 'PT15M'", "window: 'PT17M'", "alerts.windows"
    ),
    module(
        "an alert that looks away",
        "alerts",
        r"window: 'PT5M'\n    frequency: 'PT1M'",
        "window: 'PT5M'\n    frequency: 'PT1H'",
        "alerts.windows",
    ),
    module(
        "rejections unwatched", "alerts", r'outcome == "Rejected"', 'outcome == "Retry"', "alerts.queries"
    ),
    module(
        "nobody hears that publishers are not told",
        "alerts",
        r"isnotempty\(untold\)",
        "true",
        "alerts.queries",
    ),
    module(
        "an outcome misspelt",
        "alerts",
        r'outcome == "Duplicate"',
        'outcome == "Duplicated"',
        "queries.values",
    ),
    module(
        "a column misspelt", "alerts", r"outcome == \"Rejected\"", 'result == "Rejected"', "queries.names"
    ),
    module("a Kusto function misspelt", "alerts", r"countif\(", "count_if(", "queries.names"),
    Fault(
        "a field misspelt",
        "infra/queries/deliveries.kql",
        r"Line\.retryKind",
        "Line.retrykind",
        "queries.fields",
    ),
    Fault(
        "a field of the workbook misspelt",
        "infra/workbook.json",
        r"percentile\(secondsSinceEnqueued",
        "percentile(secondsSincePublished",
        "queries.names",
    ),
    Fault("a workbook that is not JSON", "infra/workbook.json", r"\}\s*\Z", "", "queries.names"),
    Fault(
        "a quote that ends a string of the workbook",
        "infra/queries/renewals.kql",
        r"'renewed'",
        '"renewed"',
        "queries.embedded",
    ),
    Fault(
        "a tab in a query",
        "infra/queries/deliveries.kql",
        r"\n    outcome",
        "\n\toutcome",
        "queries.embedded",
    ),
]
DEPLOYED = [
    main("an output that nobody reads", r"output PARTNER_TENANT_ID", "output PARTNER_TENANT", "azd.outputs"),
    main("a group that azd does not find", r"'azd-env-name'", "'azd-environment'", "azd.tags"),
    Fault(
        "a workflow with a secret",
        ".github/workflows/ci.yml",
        r"- run: .ci/run",
        "- run: .ci/run ${{ secrets.AZURE_KEY }}",
        "workflows.secrets",
    ),
    Fault("a hook that does not exist", "azure.yaml", r"preprovision\.sh", "before.sh", "azd.hooks"),
    Fault(
        "a script that the shell cannot read",
        "infra/hooks/preprovision.sh",
        r"\Z",
        "if true; then\n",
        "azd.scripts",
    ),
    Fault(
        "a script that reads what nobody gives",
        "infra/hooks/postprovision.sh",
        r"APP_IDENTITY_PRINCIPAL_ID",
        "APP_PRINCIPAL_ID",
        "azd.variables",
    ),
    Fault("another service", "azure.yaml", r"(services:\n  )agreements", r"\1app", "azd.services"),
    Fault("another host", "azure.yaml", r"host: function", "host: appservice", "azd.services"),
    Fault(
        "a parameter not given",
        "infra/main.parameters.json",
        r'\n *"vnetEnabled"[^\n]*',
        "",
        "azd.parameters",
    ),
    Fault(
        "a parameter that is not there",
        "infra/main.parameters.json",
        r'"vnetEnabled"',
        '"privateNetwork"',
        "azd.parameters",
    ),
    Fault(
        "a parameter's variable",
        "infra/main.parameters.json",
        r"\$\{AZURE_LOCATION\}",
        "${LOCATION}",
        "azd.parameters",
    ),
    main("a question more", r"vnetEnabled bool = false", "vnetEnabled bool", "azd.parameters"),
    main("an output that azd needs", r"output AZURE_RESOURCE_GROUP", "output RESOURCE_GROUP", "azd.outputs"),
    Fault(
        "a workflow with every right",
        ".github/workflows/ci.yml",
        r"permissions: \{\}\n",
        "",
        "workflows.permissions",
    ),
    Fault(
        "a job that may write",
        ".github/workflows/ci.yml",
        r"contents: read",
        "contents: write",
        "workflows.permissions",
    ),
    Fault(
        "an action that is not pinned",
        ".github/workflows/ci.yml",
        r"checkout@v\d+",
        "checkout@main",
        "workflows.steps",
    ),
]
BEFOREHAND = [
    module(
        "a name that only Azure can tell",
        "monitoring",
        r"guid\(insights\.id, identityName",
        "guid(insights.properties.AppId, identityName",
        "deployment.known",
    ),
    main("two modules of one name", r"name: 'workbook'", "name: 'alerts'", "deployment.apart"),
    main("an app before its endpoints", r"    network\n  \]", "  ]", "deployment.reachable"),
    main("a name too long", r"var vaultName = 'kv-", "var vaultName = 'agreements-kv-", "deployment.lengths"),
    main(
        "one name for all environments",
        r"uniqueString\(subscription\(\)\.id, environmentName, location\)",
        "uniqueString(subscription().id)",
        "deployment.own",
    ),
    module("a role for nobody", "key-vault", r" = if \(!empty\(operatorsId\)\)", " =", "roles.people"),
    module("a group that is a user", "service-bus", r"'Group'\n  }\n}\]", "'User'\n  }\n}]", "roles.people"),
    module(
        "one role twice",
        "storage",
        r"roles\.storageTableDataContributor\n\]",
        "roles.storageBlobDataOwner\n]",
        "roles.once",
    ),
    module(
        "an object id for a client id",
        "function-app",
        r"identity\.properties\.clientId",
        "identity.properties.principalId",
        "app_settings.read",
    ),
    module(
        "a zone of another endpoint",
        "network",
        r"zones\[i\]\.id",
        "zones[0].id",
        "platform.zoned",
    ),
    module("a budget for nobody", "budget", r"\[\n *actionGroupId\n *\]", "[]", "platform.told"),
    module(
        "a tier that is not its name", "service-bus", r"tier: [^\n]*", "tier: 'Standard'", "entities.tier"
    ),
    Fault(
        "a queue with sessions",
        "infra/service-bus.json",
        r'"lockDuration"',
        '"requiresSession": true, "lockDuration"',
        "entities.lasting",
    ),
]
MEANT = [
    module("an alert on too few", "alerts", r"'GreaterThan'", "'LessThan'", "alerts.criteria"),
    module("a total of a depth", "alerts", r"'Maximum'", "'Total'", "alerts.criteria"),
    module(
        "metrics of nothing",
        "alerts",
        r"metricNamespace: 'Microsoft.ServiceBus/namespaces'",
        "metricNamespace: 'Microsoft.ServiceBus/namespace'",
        "alerts.criteria",
    ),
    module(
        "a log alert that overlooks five",
        "alerts",
        r"('Count'\n[^\n]*\n *threshold:) 0",
        r"\1 5",
        "alerts.criteria",
    ),
    module(
        "a log alert that waits for ever",
        "alerts",
        r"minFailingPeriodsToAlert: 1",
        "minFailingPeriodsToAlert: 2",
        "alerts.criteria",
    ),
    module(
        "a dimension without its column",
        "alerts",
        r"FunctionName = Name",
        "Function = Name",
        "alerts.criteria",
    ),
    module("a bracket that stays open", "alerts", r"ago\(1h\)\)", "ago(1h)", "queries.balanced"),
    Fault(
        "an option's variable exchanged",
        "infra/main.parameters.json",
        r"BACKLOG_THRESHOLD",
        "SCHEDULED_THRESHOLD",
        "azd.parameters",
    ),
    Fault("an option not told of", "docs/deploy.md", r"\| `SCHEDULED_THRESHOLD`[^\n]*\n", "", "azd.options"),
    Fault(
        "a default told wrong",
        "docs/deploy.md",
        r"`LOG_RETENTION_DAYS` \| 90",
        "`LOG_RETENTION_DAYS` | 30",
        "azd.options",
    ),
    Fault("a ceiling reckoned wrong", "docs/deploy.md", r"16 = 64", "8 = 32", "azd.options"),
    Fault("an option left behind", "azure.yaml", r"    - ALERT_EMAILS\n", "", "azd.pipeline"),
    Fault(
        "another hook's script",
        "azure.yaml",
        r"hooks/postprovision\.ps1",
        "hooks/preprovision.ps1",
        "azd.hooks",
    ),
    Fault(
        "another permission for PowerShell",
        "infra/scripts/app-registration.ps1",
        r"1cebfa2a",
        "1cebfa2b",
        "azd.twins",
    ),
    Fault(
        "a deployment cut off",
        ".github/workflows/azure-dev.yml",
        r"cancel-in-progress: false",
        "cancel-in-progress: true",
        "workflows.whole",
    ),
]
FAULTS = [
    *SYNTAX,
    *SYMBOLS,
    *ORDER,
    *SHAPES,
    *PLATFORM,
    *ACCESS,
    *CONTRACT,
    *WATCHED,
    *DEPLOYED,
    *BEFOREHAND,
    *MEANT,
]


def copied(to: Path) -> Path:
    """Copy all that the checks look at."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name)
        elif source.exists():
            shutil.copy(source, to / name)
    return to


@cache
def before() -> frozenset[str]:
    """Return what is found without any fault."""
    return frozenset(findings(Project(ROOT)))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_seeded_fault_is_found(fault: Fault, tmp_path: Path) -> None:
    """A fault in a copy of infra/ is found by the check that is there for it, in the file where it is."""
    target = copied(tmp_path) / fault.file
    seeded, count = re.subn(fault.pattern, fault.replacement, target.read_text(), count=1)
    assert count == 1, f"{fault.file} has nothing like {fault.pattern}"
    assert seeded != target.read_text()
    target.write_text(seeded)
    new = set(CHECKS[fault.check](Project(tmp_path))) - before()
    assert any(found.startswith(f"{fault.found_in or fault.file}:") for found in new), new


def test_a_copy_is_as_good_as_the_original(tmp_path: Path) -> None:
    """What is found in a seeded copy is found because of the seed."""
    assert set(findings(Project(copied(tmp_path)))) == before()


def test_every_check_bites() -> None:
    """Each check has a fault that it finds."""
    assert {fault.check for fault in FAULTS} == set(CHECKS)
