"""A stand-in for Microsoft Entra ID: one tenant, one app registration, one person who signs in.

It authenticates the app by secret, by certificate or by the assertion of its managed identity, signs the
person in without asking, exchanges codes and refresh tokens, and refuses with the errors of the real one.
"""

from local.entra.application import application
from local.entra.denials import DeniedError
from local.entra.directory import PARTNER_CENTER, Directory, Registration
from local.entra.grants import Grants
from local.entra.issuing import EXCHANGE_AUDIENCE, Issued, Issuing
from local.entra.signing import SigningKey

__all__ = [
    "EXCHANGE_AUDIENCE",
    "PARTNER_CENTER",
    "DeniedError",
    "Directory",
    "Grants",
    "Issued",
    "Issuing",
    "Registration",
    "SigningKey",
    "application",
]
