"""``make backlog``: 50,000 events against an API that allows 300 calls a minute, in simulated time.

At real speed that takes three hours. Prints what it came to as one object of JSON; the exit code is 1 when a
promise is not kept, and each such is named.
"""

import argparse
import json
import logging
import sys

from rich.console import Console
from rich.progress import Progress

from tests.chaos.simulation import work_off
from tests.chaos.throttling import Bucket, Limit, Window


def main() -> int:
    """Work off a backlog and say what that took."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.backlog", description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="how many (%(default)s)")
    parser.add_argument("--per-minute", type=float, default=300, help="calls allowed (%(default)s)")
    parser.add_argument("--burst", type=float, default=5, help="of them at once (%(default)s)")
    parser.add_argument("--window", action="store_true", help="allow them in each minute, however they come")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds for a call (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the jitter (%(default)s)")
    given = parser.parse_args()
    limit: Limit = Window(given.per_minute) if given.window else Bucket(given.per_minute, given.burst)
    # The log line of each delivery would be 50,000 lines.
    logging.disable(logging.WARNING)
    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("backlog", total=given.events)
        backlog = work_off(
            given.events, limit, latency=given.latency, seed=given.seed, told=lambda: shown.advance(task)
        )
    ideal = given.events / given.per_minute * 60
    sys.stdout.write(f"{json.dumps(backlog.figures(ideal))}\n")
    missed = backlog.missed(ideal)
    sys.stderr.write("".join(f"not kept: {promise}\n" for promise in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
