"""``make bench``: every figure as one line of JSON, its target beside it."""

import argparse
import sys
from collections.abc import Callable

from tests.benchmarks import broker, cpu, far_ends, imports, outcomes, rate, replays
from tests.benchmarks.figures import Figure


def _cpu() -> list[Figure]:
    with far_ends.partner_center() as environment:
        return [cpu.measure(environment)]


def _growth() -> list[Figure]:
    with far_ends.partner_center() as environment:
        return [cpu.growth(environment)]


FIGURES: dict[str, Callable[[], list[Figure]]] = {
    "cpu": _cpu,
    "growth": _growth,
    "imports": lambda: [imports.measure()],
    "outcomes": outcomes.measure,
    "rate": rate.measure,
    "broker": broker.measure,
    "memory": broker.memory,
    "replays": replays.measure,
}


def main() -> int:
    """Measure what is asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"any of {', '.join(FIGURES)}; all if none"
    )
    for name in parser.parse_args().figures or FIGURES:
        for figure in FIGURES[name]():
            sys.stdout.write(f"{figure}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
