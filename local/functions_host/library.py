"""Microsoft's Python worker library, driven as the host drives it, without the gRPC in between.

The library is written against the protobuf classes of the host's protocol, which it is handed at start and
fills by keyword. It reads few of them back; plain objects with the same attribute names do.
"""

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import azure_functions_runtime as runtime

from local.functions_host.errors import HostError
from local.functions_host.protocol import Failure, IndexedFunction, Invocation, TypedData


@dataclass(frozen=True, slots=True)
class _ParameterBinding:
    """A value and the name of the function's parameter that takes it."""

    name: str
    data: TypedData

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's name for it
        """Tell that the value itself is here, and not a reference to shared memory."""
        return "data"


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


class Library:
    """An app within the library, which keeps one app per process, for good."""

    def __init__(self) -> None:
        self.functions: list[IndexedFunction] = []
        self._ids: dict[str, str] = {}

    async def index(self, app: Path) -> None:
        """Import an app and list its functions.

        Raises:
            HostError: There are no functions there; or the app raised, whose own text the error then ends
                with.
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
        self._ids = {one.name: one.function_id for one in found}
        self.functions = [
            IndexedFunction(one.name, [json.loads(binding) for binding in one.raw_bindings]) for one in found
        ]

    async def invoke(self, invocation: Invocation) -> Failure | None:
        """Call a function; tell how it failed, if it did.

        Functions that are not coroutines run in the library's own thread pool, as many at once as
        ``PYTHON_THREADPOOL_THREAD_COUNT`` allows.
        """
        call = SimpleNamespace(
            invocation_id=str(uuid.uuid4()),
            function_id=self._ids[invocation.function],
            input_data=[_ParameterBinding(invocation.parameter, invocation.data)],
            trigger_metadata=invocation.metadata,
            trace_context=SimpleNamespace(
                trace_parent=invocation.trace_parent, trace_state="", attributes={}
            ),
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
