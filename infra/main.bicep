// Everything that the function app needs, in one resource group. Nothing is asked but environment name, subscription and location.
targetScope = 'subscription'

@description('Name of the azd environment; the resource group is named after it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region of everything: one that offers Flex Consumption.')
@allowed([
  'australiaeast'
  'australiasoutheast'
  'brazilsouth'
  'canadacentral'
  'centralindia'
  'centralus'
  'eastasia'
  'eastus'
  'eastus2'
  'francecentral'
  'germanywestcentral'
  'italynorth'
  'japaneast'
  'koreacentral'
  'northcentralus'
  'northeurope'
  'norwayeast'
  'southafricanorth'
  'southcentralus'
  'southeastasia'
  'southindia'
  'spaincentral'
  'swedencentral'
  'uaenorth'
  'uksouth'
  'ukwest'
  'westcentralus'
  'westeurope'
  'westus'
  'westus2'
  'westus3'
])
param location string

@description('Object id of whoever deploys, as azd gives it. A person is the operator when no operators\' group is named.')
param principalId string = ''

@description('Kind of principal that deploys, as azd gives it: a pipeline is a service principal and becomes no operator.')
param principalType string = 'User'

@description('Object id of the Entra group whose members operate the app: run its commands and see the workbook.')
param operatorsGroupId string = ''

@description('Object id of the Entra group whose members may publish acceptance events and nothing else.')
param publishersGroupId string = ''

@description('Tenant of the partner; empty for the tenant of the subscription.')
param partnerTenantId string = ''

@description('Client id of the app registration that asks for the partner\'s token; the preprovision hook makes it.')
param partnerClientId string = ''

@description('E-mail addresses that alerts go to, separated by commas; empty for the owners of the subscription.')
param alertEmails string = ''

@description('Highest number of instances of each function. With host.json it is the ceiling on concurrent calls to Partner Center, which throttles: keep it low.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 2

@description('Instances of each queue function that always run; 0 lets the app sleep, at no cost, between events.')
@minValue(0)
param alwaysReadyInstances int = 0

@description('Memory of an instance in megabytes.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Private networking: a network, private endpoints and a Premium namespace. To be chosen before the first deployment.')
param vnetEnabled bool = false

@description('Spreads instances and storage over the zones of the region. To be chosen before the first deployment.')
param zoneRedundant bool = false

@description('Keeps a deleted vault from being purged; can never be switched off again, and azd down --purge cannot purge then.')
param purgeProtection bool = false

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionInDays int = 90

@description('Gigabytes of telemetry a day after which no more is taken until the next day.')
@minValue(1)
param dailyTelemetryGb int = 1

@description('Events that wait in a queue above which there is a backlog.')
@minValue(1)
param backlogThreshold int = 100

@description('Events scheduled for another attempt above which retries pile up.')
@minValue(1)
param scheduledThreshold int = 100

@description('Duplicates within an hour below which a rise is not worth a look.')
@minValue(1)
param duplicatesThreshold int = 10

@description('Times within an hour that Partner Center may ask for fewer calls before somebody is told.')
@minValue(1)
param throttledThreshold int = 50

@description('Monthly budget in the currency of the subscription; 0 for none.')
@minValue(0)
param budgetAmount int = 0

@description('First day of the first month of the budget, as YYYY-MM-01; the preprovision hook keeps it, since it can never change.')
param budgetStartDate string = ''

var host = loadJsonContent('../host.json')
var settings = loadJsonContent('app-settings.json')
var entities = loadJsonContent('service-bus.json')

var triggerQueues = [
  settings.ACCEPTANCES_QUEUE
  settings.RETRIES_QUEUE
]
var queueFunctions = [
  'confirm_acceptance'
  'retry_acceptance'
]

var suffix = uniqueString(subscription().id, environmentName, location)
var identityName = 'id-${suffix}'
var workspaceName = 'log-${suffix}'
var insightsName = 'appi-${suffix}'
var storageName = 'st${suffix}'
var packageContainerName = 'app-package'
var namespaceName = 'sbns-${suffix}'
var vaultName = 'kv-${suffix}'
var networkName = 'vnet-${suffix}'
var tags = {
  'azd-env-name': environmentName
}

var operatorsType = empty(operatorsGroupId) ? 'User' : 'Group'
// Everything but a service principal is a person: an azd that gives no kind hands over an empty one.
var deployingPersonId = principalType == 'ServicePrincipal' ? '' : principalId
var operatorsId = empty(operatorsGroupId) ? deployingPersonId : operatorsGroupId
var tenantOfPartner = empty(partnerTenantId) ? tenant().tenantId : partnerTenantId

var queueNames = [for queue in entities.queues: queue.name]
var topicNames = [for topic in entities.topics: topic.name]

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    location: location
    tags: tags
    identityName: identityName
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceName: workspaceName
    insightsName: insightsName
    retentionInDays: logRetentionInDays
    dailyQuotaGb: dailyTelemetryGb
    identityName: identityName
    identityPrincipalId: identity.outputs.principalId
    operatorsId: operatorsId
    operatorsType: operatorsType
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    location: location
    tags: tags
    storageName: storageName
    packageContainerName: packageContainerName
    vnetEnabled: vnetEnabled
    zoneRedundant: zoneRedundant
    identityName: identityName
    identityPrincipalId: identity.outputs.principalId
  }
}

// Modules get names, not each other's outputs: a preview can then show every resource. Where only a name leads to a resource of
// another module, dependsOn keeps the order.
module serviceBus 'modules/service-bus.bicep' = {
  name: 'service-bus'
  scope: group
  params: {
    location: location
    tags: tags
    namespaceName: namespaceName
    triggerQueues: triggerQueues
    acceptancesQueue: settings.ACCEPTANCES_QUEUE
    vnetEnabled: vnetEnabled
    workspaceName: workspaceName
    identityName: identityName
    identityPrincipalId: identity.outputs.principalId
    operatorsId: operatorsId
    operatorsType: operatorsType
    publishersGroupId: publishersGroupId
  }
  dependsOn: [
    monitoring
  ]
}

module keyVault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    location: location
    tags: tags
    vaultName: vaultName
    purgeProtection: purgeProtection
    vnetEnabled: vnetEnabled
    workspaceName: workspaceName
    identityName: identityName
    identityPrincipalId: identity.outputs.principalId
    operatorsId: operatorsId
    operatorsType: operatorsType
  }
  dependsOn: [
    monitoring
  ]
}

module network 'modules/network.bicep' = if (vnetEnabled) {
  name: 'network'
  scope: group
  params: {
    location: location
    tags: tags
    networkName: networkName
    storageName: storageName
    namespaceName: namespaceName
    vaultName: vaultName
  }
  dependsOn: [
    storage
    serviceBus
    keyVault
  ]
}

// After everything that it reaches, roles and private endpoints included.
module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: group
  params: {
    location: location
    tags: tags
    planName: 'plan-${suffix}'
    appName: 'func-${suffix}'
    identityName: identityName
    storageName: storageName
    packageContainerName: packageContainerName
    insightsName: insightsName
    vaultName: vaultName
    serviceBusHostName: serviceBus.outputs.hostName
    partnerTenantId: tenantOfPartner
    partnerClientId: partnerClientId
    queueFunctions: queueFunctions
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    instanceMemoryMB: instanceMemoryMB
    maxConcurrentCalls: host.extensions.serviceBus.maxConcurrentCalls
    zoneRedundant: zoneRedundant
    subnetId: vnetEnabled ? '${group.id}/providers/Microsoft.Network/virtualNetworks/${networkName}/subnets/app' : ''
  }
  dependsOn: [
    monitoring
    storage
    keyVault
    network
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    actionGroupName: 'ag-${suffix}'
    emails: alertEmails
    namespaceName: namespaceName
    entityNames: concat(queueNames, topicNames)
    topicNames: topicNames
    triggerQueues: triggerQueues
    workspaceName: workspaceName
    backlogThreshold: backlogThreshold
    scheduledThreshold: scheduledThreshold
    duplicatesThreshold: duplicatesThreshold
    throttledThreshold: throttledThreshold
  }
  dependsOn: [
    monitoring
    serviceBus
  ]
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceName: workspaceName
    namespaceName: namespaceName
  }
  dependsOn: [
    monitoring
    serviceBus
  ]
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0) {
  name: 'budget'
  scope: group
  params: {
    budgetName: 'agreements'
    amount: budgetAmount
    startDate: budgetStartDate
    actionGroupId: alerts.outputs.actionGroupId
  }
}

// azd keeps the outputs in its environment. Those that are named like a setting are read by the commands on a person's machine.

@description('Azure region of everything.')
output AZURE_LOCATION string = location

@description('Tenant of the subscription.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('Name of the resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Name of the function app.')
output SERVICE_AGREEMENTS_NAME string = 'func-${suffix}'

@description('Object id of the app\'s identity: the subject of the federated credential.')
output APP_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId

@description('Host name of the Service Bus namespace.')
output ServiceBus__fullyQualifiedNamespace string = serviceBus.outputs.hostName

@description('Name of the queue that publishers send to.')
output ACCEPTANCES_QUEUE string = settings.ACCEPTANCES_QUEUE

@description('Name of the queue of events that wait for another attempt.')
output RETRIES_QUEUE string = settings.RETRIES_QUEUE

@description('Name of the queue of events that were on record already.')
output DUPLICATES_QUEUE string = settings.DUPLICATES_QUEUE

@description('Name of the queue of events that need a person.')
output REJECTIONS_QUEUE string = settings.REJECTIONS_QUEUE

@description('Name of the topic to which every outcome is told.')
output OUTCOMES_TOPIC string = settings.OUTCOMES_TOPIC

@description('Address of the key vault.')
output KEY_VAULT_URL string = 'https://${vaultName}${environment().suffixes.keyvaultDns}/'

@description('Name of the vault\'s entry that holds the refresh token; not the token.')
output REFRESH_TOKEN_SECRET_NAME string = settings.REFRESH_TOKEN_SECRET_NAME

@description('Tenant of the partner.')
output PARTNER_TENANT_ID string = tenantOfPartner

@description('The most calls to Partner Center that can be under way at once: queue functions, times instances of each (always-ready ones come on top), times maxConcurrentCalls of host.json.')
output CONCURRENT_CALLS_CEILING int = length(queueFunctions) * (maximumInstanceCount + alwaysReadyInstances) * host.extensions.serviceBus.maxConcurrentCalls
