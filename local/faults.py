"""Faults on demand: rules that say which calls go wrong, and how."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel


class Chance(BaseModel, ABC):
    """How often a fault meets something.

    Attributes:
        times: how many it meets before it is used up; null means no end.
        probability: the share that it meets, from 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)

    times: int | None = Field(default=1, ge=1)
    probability: float = Field(default=1, ge=0, le=1)

    @abstractmethod
    def meets(self, operation: str, where: str, /) -> bool:
        """Tell whether this rule is about what somebody does somewhere."""


class Rule(Chance):
    """Which calls a fault meets, and what it does to them; every key is optional.

    A rule without ``status`` and ``drop`` lets the call through, after ``delaySeconds``.

    Attributes:
        method: the HTTP method it meets; any when absent.
        path_contains: a part of the path it meets; any when absent.
        status: the HTTP status to answer with, in place of the API.
        headers: the headers of that answer.
        body: the body of that answer: text as it is, anything else as JSON.
        delay_seconds: how long to wait first.
        answer_delay_seconds: how long to wait when the work is done, before the answer or the cut.
        drop: cut the connection with no answer, "before" the API sees the call or "after" it did its work.
    """

    method: Annotated[str, StringConstraints(to_upper=True)] | None = None
    path_contains: str = ""
    status: int | None = Field(default=None, ge=200, le=599)
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: JsonValue = ""
    delay_seconds: float = Field(default=0, ge=0)
    answer_delay_seconds: float = Field(default=0, ge=0)
    drop: Literal["before", "after"] | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if self.drop and self.status:
            raise ValueError("'drop' gives no answer, so 'status' has no place beside it")
        if self.answer_delay_seconds and (self.status or self.drop == "before"):
            raise ValueError("'answerDelaySeconds' follows work that is done, which this rule prevents")
        if self.status is None and (self.headers or self.body != ""):
            raise ValueError("'headers' and 'body' belong to an answer, which needs 'status'")
        return self

    def meets(self, method: str, path: str) -> bool:
        """Tell whether this rule is about such a call."""
        return self.method in (None, method) and self.path_contains in path


class InvalidRulesError(ValueError):
    """The list of rules cannot be read; the text names the rule by its place and the key."""


def read[R: Chance](body: bytes, model: type[R]) -> list[R]:
    """Read a JSON list of rules of one kind.

    Raises:
        InvalidRulesError: it is no such list, or a key is unknown or has an impossible value.
    """
    try:
        return TypeAdapter(list[model]).validate_json(body)  # type: ignore[valid-type]  # known at run time
    except ValidationError as error:
        raise InvalidRulesError(described(error)) from None


def described(error: ValidationError) -> str:
    """Return what is wrong, each with its place."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())


class Faults[R: Chance = Rule]:
    """The rules in force, and how often each may still be used; ``seed`` makes chance repeatable."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - chance for tests, not for secrets
        self.replace([])

    def replace(self, rules: Sequence[R]) -> None:
        """Put these rules in force instead of those before."""
        self._rules = list(rules)
        self._left = [rule.times for rule in rules]

    def use(self, method: str, path: str) -> R | None:
        """Find the first rule that meets this call, and use it up by one; None lets the call be."""
        for place, rule in enumerate(self._rules):
            if (
                self._left[place] != 0
                and rule.meets(method, path)
                and self._random.random() < rule.probability
            ):
                left = self._left[place]
                self._left[place] = None if left is None else left - 1
                return rule
        return None
