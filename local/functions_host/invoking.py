"""One call of a function, with an end to it."""

import asyncio
import logging

from local.functions_host.protocol import Invocation
from local.functions_host.worker_process import Worker

_log = logging.getLogger(__name__)


async def call(
    worker: Worker,
    invocation: Invocation,
    *,
    timeout: float,  # noqa: ASYNC109 - at its end the worker ends, which no caller's could see to
    which: str,
) -> str | None:
    """Have a function called; the text of what went wrong, if anything did.

    A call that takes longer than ``timeout`` seconds, waiting for a thread included, ends the worker, as the
    real host does: a thread cannot be stopped, so the process goes with every call in it.
    """
    process = await worker.process()
    try:
        async with asyncio.timeout(timeout):
            failure = await process.invoke(invocation)
    except TimeoutError:
        _log.critical("%s: ran over functionTimeout on %s, ending the worker", invocation.function, which)
        process.kill()
        return f"ran over functionTimeout ({timeout:g} s)"
    return failure.stack_trace.rstrip() if failure else None
