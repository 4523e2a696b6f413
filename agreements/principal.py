"""Who a credential turns out to be: on a person's machine that is the person, and not the app."""

from typing import Any, Protocol

import jwt

# The programs by which people sign in, by the client id that their tokens name.
_PROGRAMS = {
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46": "Azure CLI",
    "1950a258-227b-4e31-a9cf-717495945fc2": "Azure PowerShell",
    "aebc6443-996d-45c2-90f0-388ff96faa56": "Visual Studio Code",
}


class _Token(Protocol):
    @property
    def token(self) -> str: ...
    @property
    def expires_on(self) -> int: ...


class _Credential[T: _Token](Protocol):
    def get_token(self, *scopes: str, **options: Any) -> T: ...


class Principal[T: _Token]:
    """A credential that remembers whom its last token spoke for, by ids alone; itself a credential."""

    def __init__(self, credential: _Credential[T]) -> None:
        self._credential = credential
        self._claims: dict[str, Any] = {}

    def get_token(self, *scopes: str, **options: Any) -> T:
        """Return the credential's token."""
        token = self._credential.get_token(*scopes, **options)
        try:
            self._claims = jwt.decode(token.token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            self._claims = {}
        return token

    @property
    def is_person(self) -> bool:
        """Whether it was a person who had signed in."""
        return "scp" in self._claims and "appid" in self._claims

    def __str__(self) -> str:
        """Return who it was."""
        program = str(self._claims.get("appid"))
        if not self._claims:
            return "an identity that its token does not tell"
        if self.is_person:
            return f"user {self._claims.get('oid')} by {_PROGRAMS.get(program, program)}"
        kind = "managed identity" if "xms_mirid" in self._claims else "application"
        return f"{kind} {program}"
