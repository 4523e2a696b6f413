"""What the host and its worker say to each other: frames of JSON over a pair of sockets, in place of gRPC.

The names are those of the Functions host's own protocol (azure-functions-language-worker-protobuf).
"""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Literal, Self

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class TypedData:
    """One value on its way to the worker: the protocol's message of that name.

    The host sends strings as string, byte arrays as bytes and nearly everything else as JSON text.
    """

    kind: Literal["string", "bytes", "json"]
    value: str | bytes

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's name for it
        """Tell which of the fields is set."""
        return self.kind

    def __getattr__(self, name: str) -> str | bytes:
        if name == self.kind:
            return self.value
        raise AttributeError(name)

    @property
    def document(self) -> list[str]:
        """The value as JSON has it."""
        value = self.value if isinstance(self.value, str) else base64.b64encode(self.value).decode()
        return [self.kind, value]

    @classmethod
    def read(cls, kind: Literal["string", "bytes", "json"], value: str) -> Self:
        """Read what ``document`` is."""
        return cls(kind, base64.b64decode(value) if kind == "bytes" else value)


@dataclass(frozen=True, slots=True)
class IndexedFunction:
    """A function that the worker found: its name and its bindings as in function.json."""

    name: str
    bindings: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed, with the stack of what the function raised if it was that."""

    message: str
    stack_trace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of a function: the trigger's value for one parameter, what travels with it, and the trace."""

    function: str
    parameter: str
    data: TypedData
    metadata: Mapping[str, TypedData]
    trace_parent: str

    @property
    def document(self) -> dict[str, Any]:
        """The call as JSON has it."""
        metadata = {name: value.document for name, value in self.metadata.items()}
        return {
            "function": self.function,
            "parameter": self.parameter,
            "data": self.data.document,
            "metadata": metadata,
            "trace_parent": self.trace_parent,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read what ``document`` is."""
        metadata = {name: TypedData.read(*value) for name, value in document["metadata"].items()}
        return cls(**{**document, "data": TypedData.read(*document["data"]), "metadata": metadata})


def frame(**document: object) -> bytes:
    """Write one frame."""
    text = json.dumps(document, default=asdict).encode()
    return _LENGTH.pack(len(text)) + text


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Read frames until the other side is gone, in the middle of one or not."""
    try:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            yield json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def frames_of(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Read frames from a file until the other side is gone, in the middle of one or not."""
    with suppress(ConnectionError):
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            text = file.read(length)
            if len(text) < length:
                return
            yield json.loads(text)
