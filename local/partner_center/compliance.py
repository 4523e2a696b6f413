"""Whether a partner signed the Microsoft Partner Agreement: asked for resellers, not for customers."""

import re
from uuid import UUID

from aiohttp import web

from local.partner_center import refusals
from local.partner_center.admission import Admission
from local.partner_center.answers import answer

_MPN_ID = re.compile(r"[0-9]{1,10}")


class Compliance:
    """The one call; every partner signed, except tenants whose ids begin with ``eeeeeeee-``."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def routes(self) -> list[web.RouteDef]:
        """Name the path."""
        return [web.get("/v1/compliance/csp/agreementstatus", self._status, allow_head=False)]

    async def _status(self, request: web.Request) -> web.Response:
        self._admission.user(request)
        # The official SDK always appends both, one of them empty.
        mpn_id, tenant_id = (request.query.get(name, "") for name in ("mpnId", "tenantId"))
        if mpn_id and tenant_id:
            raise refusals.both_partners()
        if not mpn_id and not tenant_id:
            raise refusals.no_partner()
        if not _is_written_well(mpn_id, tenant_id):
            raise refusals.parameter_invalid("mpnId" if mpn_id else "tenantId")
        if tenant_id.startswith("00000000-"):
            raise refusals.partner_unknown()
        if tenant_id.lower().startswith("eeeeeeee-"):
            raise refusals.partner_unsigned()
        return answer({"isAgreementSigned": True})


def _is_written_well(mpn_id: str, tenant_id: str) -> bool:
    if mpn_id:
        return _MPN_ID.fullmatch(mpn_id) is not None
    try:
        return str(UUID(tenant_id)) == tenant_id.lower()
    except ValueError:
        return False
