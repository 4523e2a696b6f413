"""The secrets of a vault: every version of each, with its attributes."""

import time
from collections.abc import Callable
from typing import Annotated, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

_RETENTION_DAYS = 90


class RefusedError(Exception):
    """What the vault answers with an error: HTTP status, code and message, and at times an inner code."""

    def __init__(self, status: int, code: str, message: str, inner: str | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.inner = status, code, message, inner


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel)


class Attributes(_Body):
    """What may be said of a version; ``nbf`` and ``exp`` in Unix seconds."""

    enabled: bool | None = None
    nbf: int | None = None
    exp: int | None = None


class Update(_Body):
    """A change of a version's properties; what is absent stays as it is."""

    content_type: str | None = None
    attributes: Attributes = Field(default_factory=Attributes)
    tags: dict[str, str] | None = None


class NewVersion(Update):
    """A new version of a secret."""

    value: Annotated[str, StringConstraints(max_length=25_000)]


class Version(BaseModel):
    """One version of a secret; the moments are whole Unix seconds, as the real vault keeps them."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    value: str = Field(repr=False)
    content_type: str | None
    tags: dict[str, str] | None
    enabled: bool
    nbf: int | None
    exp: int | None
    created: int
    updated: int

    def updated_by(self, update: Update, now: int) -> Self:
        """Return this version with other properties."""
        given = update.model_dump(include={"content_type", "tags"}, exclude_none=True)
        given |= update.attributes.model_dump(exclude_none=True)
        return self.model_copy(update={**given, "updated": now})

    def item(self, base: str) -> dict[str, object]:
        """Return what a list shows of it: all but the value."""
        attributes = {
            "enabled": self.enabled,
            "nbf": self.nbf,
            "exp": self.exp,
            "created": self.created,
            "updated": self.updated,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": _RETENTION_DAYS,
        }
        found: dict[str, object] = {
            "id": f"{base}/secrets/{self.name}/{self.version}",
            "attributes": {name: value for name, value in attributes.items() if value is not None},
        }
        optional = {"contentType": self.content_type, "tags": self.tags}
        return found | {name: value for name, value in optional.items() if value is not None}

    def document(self, base: str) -> dict[str, object]:
        """Return the whole of it."""
        return {"value": self.value, **self.item(base)}


class Secrets:
    """All secrets of one vault, each a list of versions from the oldest to the newest."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._versions: dict[str, list[Version]] = {}

    def set(self, name: str, new: NewVersion) -> Version:
        """Add a version; the secret comes to be with its first."""
        now = int(self._clock())
        version = Version(
            name=name,
            version=uuid4().hex,
            value=new.value,
            content_type=new.content_type,
            tags=new.tags,
            enabled=new.attributes.enabled is not False,
            nbf=new.attributes.nbf,
            exp=new.attributes.exp,
            created=now,
            updated=now,
        )
        self._versions.setdefault(name, []).append(version)
        return version

    def get(self, name: str, version: str) -> Version:
        """Return a version; the newest for the empty text.

        Raises:
            RefusedError: there is none, or it is disabled.
        """
        found = self._of(name)[self._place(name, version)]
        if not found.enabled:
            text = "Operation get is not allowed on a disabled secret."
            raise RefusedError(403, "Forbidden", text, "SecretDisabled")
        return found

    def update(self, name: str, version: str, update: Update) -> Version:
        """Change the properties of a version; of the newest for the empty text.

        Raises:
            RefusedError: there is none.
        """
        versions, place = self._of(name), self._place(name, version)
        versions[place] = versions[place].updated_by(update, int(self._clock()))
        return versions[place]

    def versions(self, name: str) -> list[Version]:
        """Return all versions, in no order that means anything: by their ids, as the real vault does.

        Raises:
            RefusedError: there is no such secret.
        """
        return sorted(self._of(name), key=lambda one: one.version)

    def _of(self, name: str) -> list[Version]:
        try:
            return self._versions[name]
        except KeyError:
            raise _not_found(name) from None

    def _place(self, name: str, version: str) -> int:
        for place, one in enumerate(self._of(name)):
            if one.version == version:
                return place
        if version:
            raise _not_found(f"{name}/{version}")
        return -1


def _not_found(what: str) -> RefusedError:
    text = f"A secret with (name/id) {what} was not found in this key vault."
    return RefusedError(404, "SecretNotFound", text)
