# Before provisioning: the provider that no template names, and, once, the app registration.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '../..')

if (-not $env:AZURE_SUBSCRIPTION_ID) { throw 'AZURE_SUBSCRIPTION_ID is not set: run azd up, which asks for it' }

# Flex Consumption needs it, but nothing in the template is of it, so Azure does not register it by itself.
$answer = & azd auth token --output json
if ($LASTEXITCODE -ne 0) { throw 'not signed in: azd auth login' }
$headers = @{ Authorization = "Bearer $(($answer | Out-String | ConvertFrom-Json).token)" }
$provider = "https://management.azure.com/subscriptions/$env:AZURE_SUBSCRIPTION_ID/providers/Microsoft.App"
foreach ($wait in 5, 10, 15, 30, 60, 60, 0) {
    $state = (Invoke-RestMethod -Headers $headers -Uri "${provider}?api-version=2021-04-01").registrationState
    if ($state -eq 'Registered') { break }
    if ($wait -eq 0) { throw "the provider Microsoft.App is still '$state': try again in a few minutes" }
    if ($state -ne 'Registering') {
        Invoke-RestMethod -Method POST -Headers $headers -Uri "$provider/register?api-version=2021-04-01" | Out-Null
    }
    Write-Host 'waiting for the provider Microsoft.App to be registered'
    Start-Sleep -Seconds $wait
}

# Azure wants to know a budget's first month, and refuses ever to change it.
if ($env:BUDGET_AMOUNT -and $env:BUDGET_AMOUNT -ne '0' -and -not $env:BUDGET_START_DATE) {
    if ($env:CI -or $env:TF_BUILD) {
        throw 'BUDGET_START_DATE is not set: give the pipeline the one that a person deployed with'
    }
    & azd env set BUDGET_START_DATE ([DateTime]::UtcNow.ToString('yyyy-MM-01', [cultureinfo]::InvariantCulture))
    if ($LASTEXITCODE -ne 0) { throw 'azd could not keep BUDGET_START_DATE' }
}

if (-not $env:PARTNER_CLIENT_ID) {
    if ($env:CI -or $env:TF_BUILD) {
        throw 'PARTNER_CLIENT_ID is not set: deploy once from a machine of a person, then give its value to the pipeline'
    }
    $name = "agreements-$env:AZURE_ENV_NAME-$env:AZURE_SUBSCRIPTION_ID"
    try {
        $clientId = & ./infra/scripts/app-registration.ps1 register $name
    } catch {
        Write-Host $_
        throw @"
The app registration could not be made with your rights. Let somebody who may run
    infra/scripts/app-registration.ps1 register $name
then go on with the client id that it prints:
    azd env set PARTNER_CLIENT_ID <client id>
    azd up
"@
    }
    & azd env set PARTNER_CLIENT_ID $clientId
    if ($LASTEXITCODE -ne 0) { throw 'azd could not keep PARTNER_CLIENT_ID' }
    Write-Host "made the app registration $clientId"
}
