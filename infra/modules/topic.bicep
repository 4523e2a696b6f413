// One topic of service-bus.json with its subscriptions; a module, because a loop in a loop is one.

@description('Name of the Service Bus namespace.')
@minLength(6)
@maxLength(50)
param namespaceName string

@description('Name of the topic.')
@minLength(1)
@maxLength(260)
param topicName string

@description('Properties of the topic, named as Azure Resource Manager names them.')
param topicProperties object

@description('Subscriptions of the topic: objects with name and properties.')
param subscriptions array

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

var roles = loadJsonContent('../roles.json')

// The subscription into which the commands look, and from which nobody takes.
var receipts = 'receipts'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = {
  parent: namespace
  name: topicName
  properties: topicProperties
}

resource topicSubscriptions 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' = [for subscription in subscriptions: {
  parent: topic
  name: subscription.name
  properties: subscription.properties
}]

resource appSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, identityName, roles.serviceBusDataSender)
  scope: topic
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Whoever published learns from it what became of it; whoever operates can answer for it. Every other subscription
// is its subscriber's own: who may take from that is granted by hand.
resource operatorsReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (subscription, i) in subscriptions: if (!empty(operatorsId) && subscription.name == receipts) {
  name: guid(topicSubscriptions[i].id, operatorsId, roles.serviceBusDataReceiver)
  scope: topicSubscriptions[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: operatorsId
    principalType: operatorsType
  }
}]

resource publishersReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (subscription, i) in subscriptions: if (!empty(publishersGroupId) && subscription.name == receipts) {
  name: guid(topicSubscriptions[i].id, publishersGroupId, roles.serviceBusDataReceiver)
  scope: topicSubscriptions[i]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: publishersGroupId
    principalType: 'Group'
  }
}]
