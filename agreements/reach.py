"""Whether the entities of Service Bus can be reached as a role needs it: nothing is sent, nothing taken."""

from dataclasses import dataclass
from enum import StrEnum, unique

from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusClient, ServiceBusReceiver, ServiceBusSender, ServiceBusSubQueue
from azure.servicebus.exceptions import (
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
)

from agreements.deadline import Deadline
from agreements.errors import DeploymentError


@unique
class Right(StrEnum):
    """What a role does with an entity; receiving and peeking both ask for the Listen claim."""

    SEND = "send to"
    RECEIVE = "receive from"
    PEEK = "peek into"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A queue, its dead-letter queue, a topic or its subscription; ``setting`` is its variable."""

    name: str
    setting: str
    dead_letters: bool = False
    topic: bool = False
    subscription: str | None = None

    def __str__(self) -> str:
        """Return the entity's path."""
        if self.subscription is not None:
            return f"{self.name}/Subscriptions/{self.subscription}"
        return f"{self.name}/$DeadLetterQueue" if self.dead_letters else self.name


def reach(client: ServiceBusClient, entity: Entity, right: Right, deadline: Deadline) -> str:
    """Open a link as the right asks for and close it again; return what that showed.

    A receiver peeks. The SDK opens a link with one credit for that too; a message that comes by it is
    released at once, which does not count as a delivery.

    Raises:
        DeploymentError: the entity cannot be reached, or not with this right.
    """
    try:
        if right is Right.SEND:
            with _sender(client, entity):
                return "a sender's link opens"
        with _receiver(client, entity) as receiver:
            found = receiver.peek_messages(timeout=deadline.left())
            return f"a receiver's link opens; {'a message waits' if found else 'nothing waits'} there"
    except (ServiceBusError, ClientAuthenticationError) as error:
        raise _fault(error, entity, right) from None


def _sender(client: ServiceBusClient, entity: Entity) -> ServiceBusSender:
    return client.get_topic_sender(entity.name) if entity.topic else client.get_queue_sender(entity.name)


def _receiver(client: ServiceBusClient, entity: Entity) -> ServiceBusReceiver:
    if entity.subscription is not None:
        return client.get_subscription_receiver(entity.name, entity.subscription)
    where = ServiceBusSubQueue.DEAD_LETTER if entity.dead_letters else None
    return client.get_queue_receiver(entity.name, sub_queue=where)


def _fault(error: Exception, entity: Entity, right: Right) -> DeploymentError:
    role, claim = ("Sender", "Send") if right is Right.SEND else ("Receiver", "Listen")
    match error:
        case MessagingEntityNotFoundError():
            return DeploymentError(
                "there is no such entity",
                f"Deploy infra/, or correct {entity.setting}: it names {entity.name}.",
            )
        case MessagingEntityDisabledError():
            return DeploymentError("it is disabled", f"Enable {entity.name} again in Service Bus.")
        case ServiceBusAuthorizationError():
            return DeploymentError(
                f"this credential may not {right} it",
                f'Grant its identity the role "Azure Service Bus Data {role}" on {entity.name} '
                f"(a key needs the {claim} claim); a new role takes some minutes to apply.",
            )
        case ServiceBusAuthenticationError() | ClientAuthenticationError():
            return DeploymentError(
                "Service Bus does not accept this credential",
                "Sign in with az login, or correct ServiceBus, ServiceBus__credential, ServiceBus__clientId.",
            )
        case ServiceBusConnectionError():
            return DeploymentError(
                "Service Bus cannot be connected to",
                "Check ServiceBus or ServiceBus__fullyQualifiedNamespace, and that port 5671 is open to it.",
            )
    return DeploymentError(
        f"Service Bus failed: {type(error).__name__}", "Try again; if it stays, look at its health."
    )
