// The function app on Flex Consumption. It comes last: every role that it needs exists before it starts.

@description('Azure region of the app.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the hosting plan.')
@minLength(1)
@maxLength(40)
param planName string

@description('Name of the function app, unique in all of Azure.')
@minLength(2)
@maxLength(60)
param appName string

@description('Name of the identity of the function app.')
@minLength(3)
@maxLength(128)
param identityName string

@description('Name of the storage account.')
@minLength(3)
@maxLength(24)
param storageName string

@description('Name of the container that holds the app package.')
@minLength(3)
@maxLength(63)
param packageContainerName string

@description('Name of the Application Insights component.')
@minLength(1)
@maxLength(255)
param insightsName string

@description('Name of the key vault.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Host name of the Service Bus namespace.')
param serviceBusHostName string

@description('Tenant of the partner.')
param partnerTenantId string

@description('Client id of the app registration that asks for the partner\'s token.')
param partnerClientId string

@description('Names of the functions that a queue triggers; each scales on instances of its own.')
param queueFunctions array

@description('Highest number of instances of each function.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Instances of each queue function that are always running.')
@minValue(0)
param alwaysReadyInstances int

@description('Memory of an instance in megabytes.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Calls that an instance handles at once, as host.json says.')
@minValue(1)
param maxConcurrentCalls int

@description('Whether the instances are spread over the zones of the region.')
param zoneRedundant bool

@description('Resource id of the subnet of the app; empty without private networking.')
param subnetId string

var settings = loadJsonContent('../app-settings.json')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

// The same for every deployment; to change one, edit the file.
var fixedSettings = [for setting in items(settings): {
  name: setting.key
  value: setting.value
}]

// Of this deployment.
var ownSettings = [
  {
    name: 'AzureWebJobsStorage__accountName'
    value: storage.name
  }
  {
    name: 'AzureWebJobsStorage__credential'
    value: 'managedidentity'
  }
  {
    name: 'AzureWebJobsStorage__clientId'
    value: identity.properties.clientId
  }
  {
    name: 'ServiceBus__fullyQualifiedNamespace'
    value: serviceBusHostName
  }
  {
    name: 'ServiceBus__credential'
    value: 'managedidentity'
  }
  {
    name: 'ServiceBus__clientId'
    value: identity.properties.clientId
  }
  {
    name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
    value: insights.properties.ConnectionString
  }
  {
    name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
    value: 'ClientId=${identity.properties.clientId};Authorization=AAD'
  }
  {
    name: 'AZURE_CLIENT_ID'
    value: identity.properties.clientId
  }
  {
    name: 'KEY_VAULT_URL'
    value: vault.properties.vaultUri
  }
  {
    name: 'PARTNER_AUTHORITY_URL'
    value: environment().authentication.loginEndpoint
  }
  {
    name: 'PARTNER_TENANT_ID'
    value: partnerTenantId
  }
  {
    name: 'PARTNER_CLIENT_ID'
    value: partnerClientId
  }
  {
    // A thread for each call, or deliveries wait inside the worker, locked.
    name: 'PYTHON_THREADPOOL_THREAD_COUNT'
    value: string(maxConcurrentCalls)
  }
]

var alwaysReady = [for name in queueFunctions: {
  name: 'function:${name}'
  instanceCount: alwaysReadyInstances
}]

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: appName
  location: location
  tags: union(tags, { 'azd-service-name': 'agreements' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // azd deploys through the app's own endpoint; the app itself serves nothing over http.
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      appSettings: concat(ownSettings, fixedSettings)
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? alwaysReady : []
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
    }
  }
}
