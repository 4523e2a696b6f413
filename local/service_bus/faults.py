"""Faults on request: rules that say what goes wrong between a client and this broker, and how."""

from collections.abc import Callable
from typing import Literal, Self

from pydantic import model_validator

from local.faults import Chance, Faults
from local.service_bus.errors import Condition, Refusal

type Operation = Literal["attach", "send", "receive", "settle", "manage"]
type Fault = Literal["busy", "detach", "silence", "lose"]


class BrokerRule(Chance):
    """Which requests of clients a fault meets, and what it does to them; every key is optional.

    Attributes:
        operation: What a client asks for: "attach" a link, "send" a message, "receive" (its credit),
            "settle" a delivery, or "manage" (a request to ``$management`` or ``$cbs``); any when absent.
        entity_contains: A part of the address, such as ``orders`` or ``$DeadLetterQueue``, in any case.
        fault: "busy" refuses with the broker's own error, "detach" ends the link, "silence" lets the
            connection say nothing ever after, "lose" gives this one request no answer; none lets it through.
        done: Whether the work is done all the same, before the fault.
    """

    operation: Operation | None = None
    entity_contains: str = ""
    fault: Fault | None = None
    done: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.done and self.fault in (None, "busy"):
            raise ValueError("'done' belongs to a fault that comes after the work")
        return self

    def meets(self, operation: str, entity: str) -> bool:
        """Tell whether this rule is about such a request."""
        return self.operation in (None, operation) and self.entity_contains.lower() in entity.lower()


type BrokerFaults = Faults[BrokerRule]


class Disturbed(Exception):  # noqa: N818 - on request, and no fault of the broker's
    """A request meets a fault and is not answered."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


def disturbed[T](faults: BrokerFaults, operation: Operation, entity: str, work: Callable[[], T]) -> T:
    """Do the work of a request, unless a fault meets it.

    Raises:
        Disturbed: It is not to be answered as usual.
        Refusal: The broker says that it is busy, or what the work raises.
    """
    rule = faults.use(operation, entity)
    if rule is None or rule.fault is None:
        return work()
    if rule.fault == "busy":
        raise Refusal(
            Condition.SERVER_BUSY, "The request was terminated because the entity is being throttled."
        )
    if rule.done:
        work()
    raise Disturbed(rule.fault)
