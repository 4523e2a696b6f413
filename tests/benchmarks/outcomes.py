"""What telling costs a confirmed event: the same handler with the topic, against it without."""

import time
from collections.abc import Callable
from functools import partial

from tests.benchmarks import far_ends
from tests.benchmarks.cpu import handler
from tests.benchmarks.figures import Figure, side_by_side


def measure() -> list[Figure]:
    """Measure processor time and time in portions of a hundred events, one event after the other."""
    with far_ends.partner_center() as partner_center, far_ends.program("service_bus", "--port=0") as (bus, _):
        telling = handler({**partner_center, **bus, "OUTCOMES_TOPIC": "agreement-outcomes"})
        silent = handler({**partner_center, **bus})
        figures = {
            "outcomes-cpu-per-confirmed-event": ("<= 1.5", time.thread_time),
            "outcomes-time-per-confirmed-event": ("<= 1.5", time.perf_counter),
        }
        return [_figure(name, *how, telling, silent) for name, how in figures.items()]


def _figure(name: str, target: str, clock: Callable[[], float], telling: handler, silent: handler) -> Figure:
    def milliseconds(confirm: handler) -> float:
        return confirm(100, clock) / 1000

    for confirm in (telling, silent):
        confirm(50)
    return side_by_side(
        name, target, "milliseconds", partial(milliseconds, telling), partial(milliseconds, silent), rounds=15
    )
