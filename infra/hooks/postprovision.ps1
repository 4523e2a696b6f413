# After provisioning: the federated credential, and time for new roles to take effect. Both once for each new identity.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '../..')

$identity = $env:APP_IDENTITY_PRINCIPAL_ID
if ($env:SETTLED_IDENTITY -eq $identity) { exit 0 }

if ($env:CI -or $env:TF_BUILD) {
    Write-Host 'a pipeline may not change app registrations: if the identity is new, run azd provision once as a person'
} else {
    $arguments = @($env:PARTNER_CLIENT_ID, "agreements-$env:AZURE_ENV_NAME", $identity, $env:AZURE_TENANT_ID)
    try {
        & ./infra/scripts/app-registration.ps1 federate @arguments
    } catch {
        Write-Host $_
        throw @"
The app registration could not be changed with your rights. Let an owner of it run
    infra/scripts/app-registration.ps1 federate $arguments
then go on:
    azd env set SETTLED_IDENTITY $identity
    azd deploy
"@
    }
}

# Deploying copies the package with the roles of the identity, and Azure takes a moment to know them everywhere.
Write-Host 'waiting a minute for the new roles to take effect'
Start-Sleep -Seconds 60
& azd env set SETTLED_IDENTITY $identity
if ($LASTEXITCODE -ne 0) { throw 'azd could not keep SETTLED_IDENTITY' }
