// What the Functions host needs a storage account for: its package, its leases, the timer's schedule. No event is in it.

@description('Azure region of the account.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the storage account, unique in all of Azure.')
@minLength(3)
@maxLength(24)
param storageName string

@description('Name of the container that holds the app package.')
@minLength(3)
@maxLength(63)
param packageContainerName string

@description('Whether the account is reached through a private endpoint only.')
param vnetEnabled bool

@description('Whether the account is spread over the zones of the region.')
param zoneRedundant bool

@description('Name of the identity of the function app; part of the names of its role assignments.')
param identityName string

@description('Object id of the identity of the function app.')
param identityPrincipalId string

var roles = loadJsonContent('../roles.json')

// Blob Data Owner, not Contributor: the host takes leases and keeps its own files. Table Data Contributor: its diagnostic events.
var appRoles = [
  roles.storageBlobDataOwner
  roles.storageTableDataContributor
]

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: vnetEnabled ? 'Deny' : 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: storage
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: packageContainerName
  properties: {
    publicAccess: 'None'
  }
}

resource appUsesStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in appRoles: {
  name: guid(storage.id, identityName, role)
  scope: storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: identityPrincipalId
    principalType: 'ServicePrincipal'
  }
}]
