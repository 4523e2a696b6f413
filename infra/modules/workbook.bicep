// The workbook: what happened to events, how fast, what waits, and for how long the token lives.

@description('Azure region of the workbook.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the Log Analytics workspace.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Name of the Service Bus namespace.')
@minLength(6)
@maxLength(50)
param namespaceName string

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

// The queries are put into strings of a JSON text: line ends become \n there, and a test keeps
// double quotes, backslashes and tabs out of the files.
var deliveries = replace(replace(loadTextContent('../queries/deliveries.kql'), '\r', ''), '\n', '\\n')
var renewals = replace(replace(loadTextContent('../queries/renewals.kql'), '\r', ''), '\n', '\\n')
var withQueries = replace(replace(loadTextContent('../workbook.json'), '#deliveries#', deliveries), '#renewals#', renewals)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'agreements')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Agreements'
    category: 'workbook'
    sourceId: workspace.id
    serializedData: replace(replace(withQueries, '#workspace#', workspace.id), '#namespace#', namespace.id)
  }
}
