"""The rules of one entity: its status, its settings, and how large a message may be."""

from dataclasses import dataclass
from enum import Enum, unique
from math import inf

from local.service_bus.errors import Condition, Refusal

# Service Bus, Standard tier.
MAX_MESSAGE_SIZE = 262144


@unique
class Status(Enum):
    """What an entity does for its clients (Azure, entity-suspend)."""

    ACTIVE = "Active"
    DISABLED = "Disabled"
    RECEIVE_DISABLED = "ReceiveDisabled"
    SEND_DISABLED = "SendDisabled"

    @property
    def takes(self) -> bool:
        """Whether it takes messages."""
        return self in (Status.ACTIVE, Status.RECEIVE_DISABLED)

    @property
    def delivers(self) -> bool:
        """Whether it delivers and shows messages."""
        return self in (Status.ACTIVE, Status.SEND_DISABLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The rules of one entity, with the defaults of Azure Resource Manager; durations in seconds.

    Attributes:
        lock_duration: How long a peek-lock holds.
        max_delivery_count: Failed deliveries after which a message is dead-lettered.
        duplicate_window: How long a message id is remembered, or None for no duplicate detection.
        time_to_live: The longest life of a message; a sender may ask for a shorter one.
        dead_letter_on_expiration: Whether an expired message is dead-lettered rather than dropped.
        max_size: How many bytes of messages it holds.
        status: What it does at first.
    """

    lock_duration: float = 60
    max_delivery_count: float = 10
    duplicate_window: float | None = None
    time_to_live: float = inf
    dead_letter_on_expiration: bool = False
    max_size: float = 1024 * 2**20
    status: Status = Status.ACTIVE


def check_size(size: int) -> None:
    """Refuse more bytes than a message may have.

    Raises:
        Refusal: There are more.
    """
    if size > MAX_MESSAGE_SIZE:
        text = f"{size} bytes are more than the {MAX_MESSAGE_SIZE} that a message may have"
        raise Refusal(Condition.MESSAGE_TOO_LARGE, text)
