"""``$cbs``: where clients show their tokens (Azure, service-bus-amqp-protocol-guide)."""

from collections.abc import Callable

from local.service_bus import encoding
from local.service_bus.errors import Condition, Refusal
from local.service_bus.requests import Node, Request, response
from local.service_bus.tokens import Authority, Grant

ADDRESS = "$cbs"
_STATUS = {Condition.UNAUTHORIZED: 401, Condition.SERVER_BUSY: 503, Condition.NOT_IMPLEMENTED: 501}


def cbs(authority: Authority, granted: Callable[[Grant], None]) -> Node:
    """Return what checks tokens.

    Args:
        authority: Knows which are good.
        granted: Is told what a good one allows.
    """

    def perform(request: Request) -> bytes:
        if request.operation != "put-token":
            raise Refusal(Condition.NOT_IMPLEMENTED, f"{request.operation} is not supported")
        token, resource = request.body, request.told.get("name")
        if not isinstance(token, str) or not isinstance(resource, str):
            raise Refusal(Condition.ARGUMENT_ERROR, "a token and the name of its resource should be text")
        granted(authority.grant(token, resource))
        return response(request, _told(202, "Accepted"), encoding.NULL)

    return Node(perform, _refuse)


def _refuse(request: Request, refusal: Refusal) -> bytes:
    # Without the condition: the Python SDK would look no further and forget the status.
    told = _told(_STATUS.get(refusal.condition, 400), refusal.description)
    return response(request, told, encoding.NULL)


def _told(status: int, description: str) -> list[bytes]:
    code = [encoding.string("status-code"), encoding.integer(status)]
    return [*code, encoding.string("status-description"), encoding.string(description)]
