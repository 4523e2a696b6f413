"""The token endpoint: codes and refresh tokens against access tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

from local.entra import clients
from local.entra.denials import DeniedError
from local.entra.directory import PARTNER_CENTER, Directory, Grant
from local.entra.issuing import Issuing
from local.entra.signing import SigningKey

_OPENID = frozenset({"openid", "profile", "email", "offline_access"})


@dataclass(frozen=True, slots=True)
class Grants:
    """Answers token requests."""

    directory: Directory
    issuing: Issuing
    key: SigningKey

    def exchange(self, authority: str, form: Mapping[str, object]) -> dict[str, object]:
        """Answer one request, sent to the authority with this URL, as the token endpoint does.

        Raises:
            DeniedError: for another client, a wrong credential, grant or scope.
        """
        clients.check(self.directory, self.key, form, f"{authority}/oauth2/v2.0/token")
        match form.get("grant_type"):
            case "refresh_token":
                return self._by_refresh_token(form)
            case "authorization_code":
                return self._by_code(authority, form)
        raise DeniedError(70003)

    def _by_refresh_token(self, form: Mapping[str, object]) -> dict[str, object]:
        grant = self.directory.granted(str(form.get("refresh_token")))
        return self._answer(form, grant, _scopes(form), renewable=True)

    def _by_code(self, authority: str, form: Mapping[str, object]) -> dict[str, object]:
        verifier = form.get("code_verifier")
        request, grant = self.directory.redeem(
            str(form.get("code")),
            redirect_uri=str(form.get("redirect_uri")),
            verifier=None if verifier is None else str(verifier),
        )
        scopes = _scopes(form) or request.scopes
        renewable = "offline_access" in request.scopes
        answer = self._answer(form, grant, scopes, renewable=renewable)
        if "openid" in request.scopes:
            answer["id_token"] = self.issuing.id_token(grant, request.nonce, f"{authority}/v2.0")
        return answer

    def _answer(
        self, form: Mapping[str, object], grant: Grant, asked: tuple[str, ...], *, renewable: bool
    ) -> dict[str, object]:
        resource, scopes = _resource(grant.scopes or asked)
        if grant.scopes is None and resource != PARTNER_CENTER:
            raise DeniedError(65001)
        seconds = self.directory.conditions.access_token_seconds
        answer: dict[str, object] = {
            "token_type": "Bearer",
            "scope": " ".join(f"{resource}/{scope}" for scope in scopes.split()),
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": self.issuing.access_token(grant, resource, scopes),
        }
        if renewable:
            answer["refresh_token"] = self.directory.refresh_token(grant)
        if form.get("client_info") == "1":
            answer["client_info"] = self.issuing.client_info(grant)
        return answer


def _scopes(form: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(form.get("scope", "")).split())


def _resource(asked: tuple[str, ...]) -> tuple[str, str]:
    """Return the one resource that the scopes are of, and their names as a token has them.

    Raises:
        DeniedError: they are of several resources, or of none.
    """
    named = [scope.rpartition("/") for scope in asked if scope not in _OPENID]
    resources = {resource for resource, _, _ in named}
    if len(resources) != 1 or "" in resources:
        raise DeniedError(70011)
    # Who asks for the default gets what was consented to.
    names = ("user_impersonation" if name == ".default" else name for _, _, name in named)
    return resources.pop(), " ".join(names)
