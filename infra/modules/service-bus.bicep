// The namespace with the entities of service-bus.json, the only list of them, and who may do what on each.

@description('Azure region of the namespace.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the Service Bus namespace, unique in all of Azure.')
@minLength(6)
@maxLength(50)
param namespaceName string

@description('Names of the queues that trigger a function.')
param triggerQueues array

@description('Name of the queue that publishers send to.')
param acceptancesQueue string

@description('Whether the namespace is reached through a private endpoint only, which makes it Premium.')
param vnetEnabled bool

@description('Name of the Log Analytics workspace that takes the logs.')
param workspaceName string

@description('Name of the identity of the function app; part of the names of its role assignments.')
param identityName string

@description('Object id of the identity of the function app.')
param identityPrincipalId string

@description('Object id of the group or person that operates the app; empty for nobody.')
param operatorsId string

@description('Kind of principal that operatorsId is.')
@allowed(['Group', 'User'])
param operatorsType string

@description('Object id of the group that publishes acceptance events; empty for nobody.')
param publishersGroupId string

var entities = loadJsonContent('../service-bus.json')
var roles = loadJsonContent('../roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

// Standard cannot become Premium later: choose vnetEnabled before the first deployment.
resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: {
    name: vnetEnabled ? 'Premium' : 'Standard'
    tier: vnetEnabled ? 'Premium' : 'Standard'
    capacity: vnetEnabled ? 1 : null
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
  }
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for queue in entities.queues: {
  parent: namespace
  name: queue.name
  properties: queue.properties
}]

module topics 'topic.bicep' = [for topic in entities.topics: {
  name: 'topic-${topic.name}'
  params: {
    namespaceName: namespaceName
    topicName: topic.name
    topicProperties: topic.properties
    subscriptions: topic.subscriptions
    identityName: identityName
    identityPrincipalId: identityPrincipalId
    operatorsId: operatorsId
    operatorsType: operatorsType
    publishersGroupId: publishersGroupId
  }
  // By name: a module cannot be given the namespace itself.
  dependsOn: [
    namespace
  ]
}]

// Owner, because the scale controller reads the length of the queue, which needs Manage; on the two trigger queues only.
resource appConsumes 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in entities.queues: if (contains(triggerQueues, queue.name)) {
  name: guid(queues[i].id, identityName, roles.serviceBusDataOwner)
  scope: queues[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource appSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in entities.queues: if (!contains(triggerQueues, queue.name)) {
  name: guid(queues[i].id, identityName, roles.serviceBusDataSender)
  scope: queues[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

// Operators peek and take from every queue and its dead-letter queue.
resource operatorsReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in entities.queues: if (!empty(operatorsId)) {
  name: guid(queues[i].id, operatorsId, roles.serviceBusDataReceiver)
  scope: queues[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: operatorsId
    principalType: operatorsType
  }
}]

// Operators replay to the acceptances queue and release what is scheduled on the retries queue.
resource operatorsSend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in entities.queues: if (!empty(operatorsId) && contains(triggerQueues, queue.name)) {
  name: guid(queues[i].id, operatorsId, roles.serviceBusDataSender)
  scope: queues[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: operatorsId
    principalType: operatorsType
  }
}]

resource publishersSend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in entities.queues: if (!empty(publishersGroupId) && queue.name == acceptancesQueue) {
  name: guid(queues[i].id, publishersGroupId, roles.serviceBusDataSender)
  scope: queues[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: publishersGroupId
    principalType: 'Group'
  }
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: namespace
  properties: {
    workspaceId: workspace.id
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

@description('Host name of the namespace.')
output hostName string = split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]
