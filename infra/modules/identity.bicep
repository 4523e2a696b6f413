// The one identity of the function app: created first, so that its roles exist before the app does.

@description('Azure region of the identity.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the user-assigned identity.')
@minLength(3)
@maxLength(128)
param identityName string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: identityName
  location: location
  tags: tags
}

@description('Object id of the identity: the principal of its role assignments and the subject of its federation.')
output principalId string = identity.properties.principalId
