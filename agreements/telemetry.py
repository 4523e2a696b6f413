"""JSON lines, one per delivery, renewal and change by a person; and the host's trace around a delivery."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

logger = logging.getLogger("agreements")


class TraceContext(Protocol):
    """The host's trace as the worker hands it over, in the headers of W3C Trace Context."""

    @property
    def trace_parent(self) -> str:
        """The ``traceparent``."""

    @property
    def trace_state(self) -> str:
        """The ``tracestate``."""


type Trace = Callable[[TraceContext], AbstractContextManager[object]]


def log(record: Mapping[str, str | float | bool | None], *, level: int) -> None:
    """Write the line; what is unknown (``None``) is left out."""
    known = {name: value for name, value in record.items() if value is not None}
    logger.log(level, "%s", json.dumps(known, separators=(",", ":")))


def log_audit(entry: Mapping[str, object]) -> None:
    """Write the line of a change by a person; at WARNING, so that it is seen where nobody set up logging."""
    logger.warning("%s", json.dumps({"audit": entry}, ensure_ascii=False, separators=(",", ":")))


def tracing(*, enabled: bool) -> Trace:
    """Return what makes a delivery part of the host's trace; it does nothing unless ``enabled``.

    The worker attaches the trace on its event loop, from where it does not reach the threads that functions
    run in. Without the library that makes traces there are none: no event is to wait for that.
    """
    if not enabled:
        return nullcontext
    try:
        return _attaching()
    except ModuleNotFoundError as error:
        logger.warning("no traces: %s is not installed; the extra agreements[telemetry] has it", error.name)
        return nullcontext


def _attaching() -> Trace:
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()

    @contextmanager
    def attached(trace: TraceContext) -> Iterator[None]:
        carrier = {"traceparent": trace.trace_parent, "tracestate": trace.trace_state}
        token = context.attach(propagator.extract(carrier))
        try:
            yield
        finally:
            context.detach(token)

    return attached
