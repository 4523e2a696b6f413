"""Microsoft's Python worker library, driven as the host drives it, without the gRPC in between.

The library is written against the protobuf classes of the host's protocol, which it is handed at start and
fills by keyword. It reads few of them back; plain objects with the same attribute names do.
"""

import json
import logging
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import azure_functions_runtime as runtime

from local.functions_host.errors import HostError


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


@dataclass(frozen=True, slots=True)
class ParameterBinding:
    """A value and the name of the function's parameter that takes it."""

    name: str
    data: TypedData

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's name for it
        """Tell that the value itself is here, and not a reference to shared memory."""
        return "data"


@dataclass(frozen=True, slots=True)
class IndexedFunction:
    """A function that the worker found: its name, its id there, and its bindings as in function.json."""

    name: str
    id: str
    bindings: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a function raised, as the worker reports it."""

    message: str
    stack_trace: str


class _StatusResult(SimpleNamespace):
    Failure, Success = range(2)


class _BindingInfo(SimpleNamespace):
    undefined = 0
    out, inout = 1, 2


_PROTOS = SimpleNamespace(
    BindingInfo=_BindingInfo,
    FunctionMetadataResponse=SimpleNamespace,
    InvocationResponse=SimpleNamespace,
    RpcException=Failure,
    RpcFunctionMetadata=SimpleNamespace,
    StatusResult=_StatusResult,
    WorkerInitResponse=SimpleNamespace,
    WorkerMetadata=SimpleNamespace,
)


async def index(app: Path) -> list[IndexedFunction]:
    """Import an app and list its functions. The library keeps one app per process, for good.

    Raises:
        HostError: There are no functions there; or the app raised, whose own text the error then ends with.
    """
    sys.path.insert(0, str(app))
    runtime.start_threadpool_executor()
    request = SimpleNamespace(
        properties={"host": "", "protos": _PROTOS},
        request=SimpleNamespace(
            worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=str(app))
        ),
    )
    with _silence():
        answer = await runtime.worker_init_request(request)
    if answer.result.status != _StatusResult.Success:
        raise HostError(f"the app cannot be loaded\n{_from_app_on(answer.result.exception, app)}")
    found = (await runtime.functions_metadata_request(request)).function_metadata_results
    if not found:
        raise HostError(f"no functions found in {app}")
    return [
        IndexedFunction(one.name, one.function_id, [json.loads(binding) for binding in one.raw_bindings])
        for one in found
    ]


async def invoke(
    function: IndexedFunction,
    data: ParameterBinding,
    metadata: Mapping[str, TypedData],
    trace_parent: str,
) -> Failure | None:
    """Call a function with one trigger value, within a trace; tell how it failed, if it did.

    Functions that are not coroutines run in the library's own thread pool, as many at once as
    ``PYTHON_THREADPOOL_THREAD_COUNT`` allows.
    """
    call = SimpleNamespace(
        invocation_id=str(uuid.uuid4()),
        function_id=function.id,
        input_data=[data],
        trigger_metadata=metadata,
        trace_context=SimpleNamespace(trace_parent=trace_parent, trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
    answer = await runtime.invocation_request(
        SimpleNamespace(request=SimpleNamespace(invocation_request=call))
    )
    if answer.result.status == _StatusResult.Success:
        return None
    failure: Failure = answer.result.exception
    return failure


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the library from logging a failed start at length: its answer says the same."""
    log = logging.getLogger("azure.functions")
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _from_app_on(failure: Failure, app: Path) -> str:
    """Keep of a failure the last exception alone, from function_app.py on if it got there."""
    last = failure.stack_trace.rpartition("Traceback (most recent call last):\n")[2]
    _, found, rest = last.partition(f'  File "{app / "function_app.py"}"')
    return (found + rest).rstrip() if found else failure.message
