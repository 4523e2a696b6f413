"""One call of a function, with an end to it."""

import asyncio
import logging
import os
from collections.abc import Mapping

from local.functions_host.worker import IndexedFunction, ParameterBinding, TypedData, invoke

TIMED_OUT = 124

_log = logging.getLogger(__name__)


async def call(
    function: IndexedFunction,
    data: ParameterBinding,
    metadata: Mapping[str, TypedData],
    trace: str,
    *,
    timeout: float,  # noqa: ASYNC109 - the end is that of the process, which no caller's could be
    which: str,
) -> str | None:
    """Call a function within a trace; the text of what went wrong, if anything did.

    A call that takes longer than ``timeout`` seconds ends the process, as the real host does: a thread cannot
    be stopped, so the worker goes with every call in it.
    """
    try:
        async with asyncio.timeout(timeout):
            failure = await invoke(function, data, metadata, trace)
    except TimeoutError:
        _log.critical("%s: ran over functionTimeout on %s, ending the worker", function.name, which)
        os._exit(TIMED_OUT)
    return failure.stack_trace.rstrip() if failure else None
