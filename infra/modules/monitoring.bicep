// Workspace and Application Insights. No ingestion sampling here: host.json samples, and leaves the outcome lines alone.

@description('Azure region of the resources.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the Log Analytics workspace.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Name of the Application Insights component.')
@minLength(1)
@maxLength(255)
param insightsName string

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param retentionInDays int

@description('Gigabytes of telemetry a day after which the workspace takes no more until the next day.')
@minValue(1)
param dailyQuotaGb int

@description('Name of the identity of the function app; part of the names of its role assignments.')
param identityName string

@description('Object id of the identity of the function app.')
param identityPrincipalId string

@description('Object id of the group or person that operates the app; empty for nobody.')
param operatorsId string

@description('Kind of principal that operatorsId is.')
@allowed(['Group', 'User'])
param operatorsType string

var roles = loadJsonContent('../roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionInDays
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
    workspaceCapping: {
      dailyQuotaGb: dailyQuotaGb
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: insightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
  }
}

resource appPublishesTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, identityName, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// On the whole group: the workbook shows the metrics of the bus beside the logs of the workspace. It reads no message and no secret.
resource operatorsReadMonitoring 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorsId)) {
  name: guid(resourceGroup().id, operatorsId, roles.monitoringReader)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringReader)
    principalId: operatorsId
    principalType: operatorsType
  }
}
