"""Everything by which an app signs in: Entra, the managed identity endpoint, and the Key Vault."""

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import trustme
from cryptography.x509 import load_pem_x509_certificate

from local import entra, key_vault, managed_identity, tls
from local.entra import Directory, Grants, Issuing, Registration, SigningKey
from local.faults import Faults
from local.secret_versions import Attributes, NewVersion, Secrets

type Credential = Literal["managed-identity", "certificate", "secret"]

CREDENTIALS: tuple[Credential, ...] = ("managed-identity", "certificate", "secret")
SECRET_NAME = "partner-refresh-token"  # noqa: S105 - the name of one
_HEADER = "a-header-for-this-machine-only"
_REFRESH_TOKEN_SECONDS = 90 * 86400


class Ports(NamedTuple):
    """Where each part listens; 0 takes a free port."""

    entra: int = 0
    key_vault: int = 0
    identity: int = 0


@asynccontextmanager
async def serve(
    context: ssl.SSLContext, folder: Path, ports: Ports, credential: Credential, seed: int | None
) -> AsyncIterator[tuple[Issuing, Mapping[str, str]]]:
    """Serve the parts; yield what knows the tokens, and the environment that leads an app to them.

    Args:
        context: what the https parts show.
        folder: where the key that signs tokens and the app's certificate are kept and found again.
        ports: where to listen.
        credential: what the environment lets the app prove itself by.
        seed: makes the chance of faults repeatable.

    Raises:
        OSError: ``EADDRINUSE`` when a port is taken.
    """
    registration, key = Registration(), SigningKey.kept_in(folder)
    directory = Directory(registration)
    certificate = _app_certificate(folder)
    directory.certificates.append(load_pem_x509_certificate(certificate.read_bytes()))
    issuing = Issuing(directory, key)
    vault = key_vault.application(_seeded(registration), key, registration.tenant_id, Faults(seed))
    identity = managed_identity.application(issuing, _HEADER, Faults(seed))
    authority = entra.application(Grants(directory, issuing, key), Faults(seed))
    async with AsyncExitStack() as stack:
        enter, listening = stack.enter_async_context, partial(tls.listening, context=context)
        urls = _Urls(
            await enter(listening(authority, port=ports.entra)),
            await enter(listening(vault, port=ports.key_vault)),
            # As in Azure, where it is the machine's own: an app reaches it before it trusts anybody.
            await enter(tls.listening(identity, None, port=ports.identity)),
        )
        yield issuing, _environment(urls, registration, credential, certificate)


class _Urls(NamedTuple):
    entra: str
    key_vault: str
    identity: str


def _environment(
    urls: _Urls, registration: Registration, credential: Credential, certificate: Path
) -> dict[str, str]:
    vault = {
        "KEY_VAULT_URL": urls.key_vault,
        "REFRESH_TOKEN_SECRET_NAME": SECRET_NAME,
        "IDENTITY_ENDPOINT": f"{urls.identity}{managed_identity.PATH}",
        "IDENTITY_HEADER": _HEADER,
        "AZURE_CLIENT_ID": registration.identity_client_id,
    }
    proofs: dict[Credential, dict[str, str]] = {
        "managed-identity": vault,
        "certificate": {**vault, "PARTNER_CLIENT_CERTIFICATE": str(certificate)},
        "secret": {
            "PARTNER_CLIENT_SECRET": registration.client_secret,
            "PARTNER_REFRESH_TOKEN": registration.refresh_token,
        },
    }
    return {
        "PARTNER_AUTHORITY_URL": urls.entra,
        "PARTNER_TENANT_ID": registration.tenant_id,
        "PARTNER_CLIENT_ID": registration.client_id,
        **proofs[credential],
    }


def _seeded(registration: Registration) -> Secrets:
    """Return a vault that holds the refresh token of the consent that exists."""
    secrets, ends = Secrets(), int(time.time()) + _REFRESH_TOKEN_SECONDS
    secrets.set(SECRET_NAME, NewVersion(value=registration.refresh_token, attributes=Attributes(exp=ends)))
    return secrets


def _app_certificate(folder: Path) -> Path:
    """Return the app's certificate with its private key, in PEM, made when there is none."""
    file = folder / "app-certificate.pem"
    with tls.alone(folder):
        if not file.exists():
            rsa = trustme.KeyType.RSA
            made = trustme.CA(key_type=rsa).issue_cert("agreements.example", key_type=rsa)
            tls.write(file, [made.private_key_pem.bytes(), made.cert_chain_pems[0].bytes()], mode=0o600)
    return file
