"""The queues, and what commands call the places in them. No I/O."""

from dataclasses import dataclass

from agreements.messages import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The queues, and what commands call the places in them."""

    acceptances: str
    retries: str
    duplicates: str
    rejections: str

    @property
    def dead_letter_queues(self) -> list[Place]:
        """Every dead-letter queue."""
        queues = self.acceptances, self.retries, self.duplicates, self.rejections
        return [Place(queue, dead=True) for queue in queues]

    @property
    def moving(self) -> list[Place]:
        """Where events are under way, in the order in which they move."""
        return [Place(self.acceptances), Place(self.retries)]

    @property
    def resting(self) -> list[Place]:
        """Where events come to rest until a person looks."""
        return [Place(self.duplicates), Place(self.rejections), *self.dead_letter_queues]

    def places(self, name: str) -> list[Place]:
        """Return the places of a name: ``rejections``, ``dead-letters``, …, or a path of Service Bus.

        Raises:
            ValueError: there is none.
        """
        known = {str(place): [place] for place in [*self.moving, *self.resting]}
        known |= {
            "acceptances": [Place(self.acceptances)],
            "retries": [Place(self.retries)],
            "duplicates": [Place(self.duplicates)],
            "rejections": [Place(self.rejections)],
            "dead-letters": self.dead_letter_queues,
        }
        if name not in known:
            raise ValueError(f"{name} is none of {', '.join(known)}")
        return known[name]
