#!/bin/sh
# After provisioning: the federated credential, and time for new roles to take effect. Both once for each new identity.
set -eu
cd "$(dirname "$0")/../.."

[ "${SETTLED_IDENTITY:-}" != "$APP_IDENTITY_PRINCIPAL_ID" ] || exit 0

if [ -n "${CI:-}${TF_BUILD:-}" ]; then
    echo 'a pipeline may not change app registrations: if the identity is new, run azd provision once as a person' >&2
elif ! infra/scripts/app-registration.sh federate \
    "$PARTNER_CLIENT_ID" "agreements-$AZURE_ENV_NAME" "$APP_IDENTITY_PRINCIPAL_ID" "$AZURE_TENANT_ID"; then
    cat >&2 <<TEXT
The app registration could not be changed with your rights. Let an owner of it run
    infra/scripts/app-registration.sh federate \\
        $PARTNER_CLIENT_ID agreements-$AZURE_ENV_NAME $APP_IDENTITY_PRINCIPAL_ID $AZURE_TENANT_ID
then go on:
    azd env set SETTLED_IDENTITY $APP_IDENTITY_PRINCIPAL_ID
    azd deploy
TEXT
    exit 1
fi

# Deploying copies the package with the roles of the identity, and Azure takes a moment to know them everywhere.
echo 'waiting a minute for the new roles to take effect' >&2
sleep 60
azd env set SETTLED_IDENTITY "$APP_IDENTITY_PRINCIPAL_ID"
