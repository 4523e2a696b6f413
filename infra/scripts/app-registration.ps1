# The app registration that asks for the partner's token, and its trust in the app's managed identity: no secret anywhere.
# Every step makes what is missing and corrects what is there, so it may be run again at any time.
#
#   app-registration.ps1 register NAME
#       Make or update the app registration NAME; print its client id.
#   app-registration.ps1 federate CLIENT_ID NAME IDENTITY_OBJECT_ID TENANT_ID
#       Let the managed identity with that object id, in that tenant, be the registration's credential.
#
# Sign in first: azd auth login. It takes an Application Developer for a new registration, its owner to change it.
param(
    [Parameter(Mandatory)][ValidateSet('register', 'federate')][string] $Command,
    [Parameter(Mandatory)][string] $First,
    [string] $Name,
    [string] $IdentityObjectId,
    [string] $TenantId
)
$ErrorActionPreference = 'Stop'

$graph = 'https://graph.microsoft.com/v1.0'
# Microsoft Partner Center, and its delegated permission user_impersonation.
$partnerCenter = 'fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd'
$userImpersonation = '1cebfa2a-fb4d-419e-b5f9-839b4383e05a'

function Get-Token([string] $Tenant) {
    $arguments = @('auth', 'token', '--scope', 'https://graph.microsoft.com/.default', '--output', 'json')
    if ($Tenant) { $arguments += @('--tenant-id', $Tenant) }
    $answer = & azd @arguments
    if ($LASTEXITCODE -ne 0) { throw 'not signed in: azd auth login' }
    return ($answer | Out-String | ConvertFrom-Json).token
}

# Asked again for a while after 404: what was just made is not everywhere at once.
function Invoke-Graph([string] $Token, [string] $Method, [string] $Path, $Body) {
    $request = @{
        Method      = $Method
        Uri         = "$graph/$Path"
        Headers     = @{ Authorization = "Bearer $Token"; Prefer = 'create-if-missing' }
        ContentType = 'application/json'
    }
    if ($Body) { $request.Body = $Body | ConvertTo-Json -Depth 5 }
    foreach ($wait in 5, 10, 15, 0) {
        try {
            return Invoke-RestMethod @request
        } catch {
            $status = [int] $_.Exception.Response.StatusCode
            if ($status -ne 404 -or $wait -eq 0) {
                throw "Microsoft Graph answered $status to $Method ${Path}: $($_.ErrorDetails.Message)"
            }
            Start-Sleep -Seconds $wait
        }
    }
}

if ($Command -eq 'register') {
    $token = Get-Token $env:AZURE_TENANT_ID
    # Where `agreements consent` waits for the person who signs in, on their own machine.
    Invoke-Graph $token PATCH "applications(uniqueName='$First')" @{
        displayName            = $First
        signInAudience         = 'AzureADMyOrg'
        web                    = @{ redirectUris = @('http://localhost:8400') }
        requiredResourceAccess = @(
            @{
                resourceAppId  = $partnerCenter
                resourceAccess = @(@{ id = $userImpersonation; type = 'Scope' })
            }
        )
    } | Out-Null
    $clientId = (Invoke-Graph $token GET "applications(uniqueName='$First')?`$select=appId").appId
    Invoke-Graph $token PATCH "servicePrincipals(appId='$clientId')" @{ displayName = $First } | Out-Null
    Write-Output $clientId
} else {
    if (-not ($Name -and $IdentityObjectId -and $TenantId)) {
        throw 'usage: app-registration.ps1 federate CLIENT_ID NAME IDENTITY_OBJECT_ID TENANT_ID'
    }
    $token = Get-Token $TenantId
    Invoke-Graph $token PATCH "applications(appId='$First')/federatedIdentityCredentials(name='$Name')" @{
        issuer      = "https://login.microsoftonline.com/$TenantId/v2.0"
        subject     = $IdentityObjectId
        audiences   = @('api://AzureADTokenExchange')
        description = 'The managed identity of the function app'
    } | Out-Null
}
