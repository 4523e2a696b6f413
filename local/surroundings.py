"""The environment in which parts and commands run: this machine's, with nothing that would lead elsewhere."""

import os

# Beside those of the stack they would be two ways to sign in, which is one too many.
_SIGN_IN = (
    "AZURE_CLIENT_ID",
    "KEY_VAULT_URL",
    "PARTNER_CLIENT_CERTIFICATE",
    "PARTNER_CLIENT_SECRET",
    "PARTNER_REFRESH_TOKEN",
    "REFRESH_TOKEN_SECRET_NAME",
)


def surroundings() -> dict[str, str]:
    """Return this process's environment, without ways to sign in, and with no proxy before this machine."""
    aside = ",".join(filter(None, (os.environ.get("NO_PROXY"), "localhost,127.0.0.1")))
    kept = {name: value for name, value in os.environ.items() if name not in _SIGN_IN}
    return {**kept, "NO_PROXY": aside, "no_proxy": aside}
