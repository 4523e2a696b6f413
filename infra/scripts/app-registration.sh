#!/bin/sh
# The app registration that asks for the partner's token, and its trust in the app's managed identity: no secret anywhere.
# Every step makes what is missing and corrects what is there, so it may be run again at any time.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: app-registration.sh register NAME
           Make or update the app registration NAME; print its client id.
       app-registration.sh federate CLIENT_ID NAME IDENTITY_OBJECT_ID TENANT_ID
           Let the managed identity with that object id, in that tenant, be the registration's credential.

Sign in first: azd auth login. It takes an Application Developer for a new registration, its owner to change it.
TEXT
    exit 2
}

graph=https://graph.microsoft.com/v1.0
# Microsoft Partner Center, and its delegated permission user_impersonation.
partner_center=fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd
user_impersonation=1cebfa2a-fb4d-419e-b5f9-839b4383e05a

field() { sed -n "s/.*\"$1\" *: *\"\\([^\"]*\\)\".*/\\1/p" | head -n 1; }

# ask METHOD PATH [BODY]: prints the answer. Asked again for a while after 404: what was just made is not everywhere at once.
ask() {
    answer=$(mktemp)
    for wait in 5 10 15 0; do
        # The token goes in by standard input: arguments can be read by every process of the machine.
        status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" | curl --config - --silent --show-error \
            --request "$1" --header 'Content-Type: application/json' --header 'Prefer: create-if-missing' \
            ${3:+--data "$3"} --output "$answer" --write-out '%{http_code}' "$graph/$2")
        [ "$status" = 404 ] && [ "$wait" -gt 0 ] || break
        sleep "$wait"
    done
    case $status in
        2*) cat "$answer"; rm -f "$answer" ;;
        *)
            echo "Microsoft Graph answered $status to $1 $2: $(field message <"$answer")" >&2
            rm -f "$answer"
            return 1
            ;;
    esac
}

# sign_in [TENANT_ID]
sign_in() {
    token=$(azd auth token --scope https://graph.microsoft.com/.default ${1:+--tenant-id "$1"} --output json | field token)
    [ -n "$token" ] || { echo 'not signed in: azd auth login' >&2; exit 1; }
}

register() {
    sign_in "${AZURE_TENANT_ID:-}"
    # Where `agreements consent` waits for the person who signs in, on their own machine.
    ask PATCH "applications(uniqueName='$1')" "{
        \"displayName\": \"$1\",
        \"signInAudience\": \"AzureADMyOrg\",
        \"web\": {\"redirectUris\": [\"http://localhost:8400\"]},
        \"requiredResourceAccess\": [{
            \"resourceAppId\": \"$partner_center\",
            \"resourceAccess\": [{\"id\": \"$user_impersonation\", \"type\": \"Scope\"}]
        }]
    }" >/dev/null
    found=$(ask GET "applications(uniqueName='$1')?\$select=appId")
    client_id=$(echo "$found" | field appId)
    ask PATCH "servicePrincipals(appId='$client_id')" "{\"displayName\": \"$1\"}" >/dev/null
    echo "$client_id"
}

federate() {
    sign_in "$4"
    ask PATCH "applications(appId='$1')/federatedIdentityCredentials(name='$2')" "{
        \"issuer\": \"https://login.microsoftonline.com/$4/v2.0\",
        \"subject\": \"$3\",
        \"audiences\": [\"api://AzureADTokenExchange\"],
        \"description\": \"The managed identity of the function app\"
    }" >/dev/null
}

case "${1:-} $#" in
    'register 2' | 'federate 5') "$@" ;;
    *) usage ;;
esac
