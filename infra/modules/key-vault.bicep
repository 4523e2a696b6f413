// The vault of this app alone: it holds the refresh token of the partner's consent and nothing else.

@description('Azure region of the vault.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the vault, unique in all of Azure.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Whether a deleted vault can be purged by nobody before its retention ends; can never be switched off again.')
param purgeProtection bool

@description('Whether the vault is reached through a private endpoint only.')
param vnetEnabled bool

@description('Name of the Log Analytics workspace that takes the audit log.')
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

var roles = loadJsonContent('../roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Azure refuses an explicit false.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: vnetEnabled ? 'Deny' : 'Allow'
    }
  }
}

// Officer, not User: the app stores the refresh token that each renewal gives it.
resource appKeepsToken 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identityName, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// `agreements consent` stores the first refresh token, `agreements doctor` reads its age.
resource operatorsKeepToken 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorsId)) {
  name: guid(vault.id, operatorsId, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
    principalId: operatorsId
    principalType: operatorsType
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}
