#!/bin/sh
# Before provisioning: the provider that no template names, and, once, the app registration.
set -eu
cd "$(dirname "$0")/../.."

field() { sed -n "s/.*\"$1\" *: *\"\\([^\"]*\\)\".*/\\1/p" | head -n 1; }

: "${AZURE_SUBSCRIPTION_ID:?is not set: run azd up, which asks for it}"

# The token goes in by standard input: arguments can be read by every process of the machine.
arm() {
    printf 'header = "Authorization: Bearer %s"\n' "$token" | curl --config - --silent --show-error --fail \
        --request "$1" --header 'Content-Length: 0' \
        "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/$2?api-version=2021-04-01"
}

# Flex Consumption needs it, but nothing in the template is of it, so Azure does not register it by itself.
token=$(azd auth token --output json | field token)
[ -n "$token" ] || { echo 'not signed in: azd auth login' >&2; exit 1; }
for wait in 5 10 15 30 60 60 0; do
    provider=$(arm GET providers/Microsoft.App)
    state=$(echo "$provider" | field registrationState)
    [ "$state" != Registered ] || break
    [ "$wait" -gt 0 ] || { echo "the provider Microsoft.App is still '$state': try again in a few minutes" >&2; exit 1; }
    [ "$state" = Registering ] || arm POST providers/Microsoft.App/register >/dev/null
    echo "waiting for the provider Microsoft.App to be registered" >&2
    sleep "$wait"
done

# Azure wants to know a budget's first month, and refuses ever to change it.
if [ "${BUDGET_AMOUNT:-0}" != 0 ] && [ -z "${BUDGET_START_DATE:-}" ]; then
    if [ -n "${CI:-}${TF_BUILD:-}" ]; then
        echo 'BUDGET_START_DATE is not set: give the pipeline the one that a person deployed with' >&2
        exit 1
    fi
    azd env set BUDGET_START_DATE "$(date -u +%Y-%m-01)"
fi

if [ -z "${PARTNER_CLIENT_ID:-}" ]; then
    if [ -n "${CI:-}${TF_BUILD:-}" ]; then
        echo 'PARTNER_CLIENT_ID is not set: deploy once from a machine of a person, then give its value to the pipeline' >&2
        exit 1
    fi
    if ! client_id=$(infra/scripts/app-registration.sh register "agreements-$AZURE_ENV_NAME-$AZURE_SUBSCRIPTION_ID"); then
        cat >&2 <<TEXT
The app registration could not be made with your rights. Let somebody who may run
    infra/scripts/app-registration.sh register agreements-$AZURE_ENV_NAME-$AZURE_SUBSCRIPTION_ID
then go on with the client id that it prints:
    azd env set PARTNER_CLIENT_ID <client id>
    azd up
TEXT
        exit 1
    fi
    azd env set PARTNER_CLIENT_ID "$client_id"
    echo "made the app registration $client_id" >&2
fi
