"""Why the broker ends a link, in Azure's words."""

from datetime import timedelta

from local.service_bus.errors import Condition, Refusal
from local.service_bus.links import Link, ReceivingLink


def on_request(name: str) -> Refusal:
    """Tell that somebody asked for this fault."""
    return _forced(name, "Code: ServerError. Details: a fault that was asked for.")


def idle(link: Link, seconds: float) -> Refusal:
    """Tell that the link was not used for so long."""
    timer = "AmqpMessagePublisher" if isinstance(link, ReceivingLink) else "AmqpMessageConsumer"
    details = f"{timer}.IdleTimerExpired: Idle timeout: {timedelta(seconds=seconds)}."
    return _forced(link.terms.name, f"Code: ServerError. Details: {details}")


def expired(link: Link, refusal: Refusal) -> Refusal:
    """Tell that no token covers the link any more."""
    return _forced(link.terms.name, f"Code: RenewToken. Details: {refusal.description}")


def _forced(name: str, why: str) -> Refusal:
    return Refusal(Condition.LINK_DETACHED, f"The link '{name}' is force detached. {why}")
