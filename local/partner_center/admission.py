"""Who may call: what the token says, and what role its user has."""

from aiohttp import web

from local.entra import PARTNER_CENTER, Issued, Issuing
from local.partner_center import refusals
from local.partner_center.options import Choice


class Admission:
    """Looks at the token of a call: the whole API is App+User only, and only for agents."""

    def __init__(self, tokens: Issuing, choice: Choice) -> None:
        self._tokens, self._choice = tokens, choice

    def user(self, request: web.Request) -> Issued:
        """Return what is known of the token of a call.

        Raises:
            RefusedError: There is none, or its user may not make this call.
        """
        issued, options = self.token(request), self._choice.options
        if issued is None:
            raise refusals.token_missing()
        if issued.audience != PARTNER_CENTER:
            raise refusals.audience_invalid()
        if issued.app_only:
            raise refusals.app_only()
        if not issued.mfa:
            raise refusals.mfa_missing(options.mfa_answer)
        if options.caller == "other-role":
            raise refusals.role_missing()
        if options.caller == "indirect-reseller":
            raise refusals.not_a_direct_partner()
        return issued

    def token(self, request: web.Request) -> Issued | None:
        """Return what is known of the token of a call, whatever it allows; nothing without one of ours."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._tokens.find(token) if scheme.lower() == "bearer" else None
