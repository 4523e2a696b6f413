"""``make hostile``: a million bodies that nobody should send, on every core.

Each is made from the seed and its number, so that one that is reported can be looked at again by ``--only``.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import track

from tests.hostile.bodies import make
from tests.hostile.check import LONGEST_SECONDS, Tally, check, tally

_PORTION = 2000


def _many(seed: int, cases: int, jobs: int) -> Tally:
    found = Tally()
    portions = [range(start, min(start + _PORTION, cases)) for start in range(0, cases, _PORTION)]
    with ProcessPoolExecutor(jobs) as pool:
        parts: Iterable[Tally] = pool.map(tally, [seed] * len(portions), portions)
        told = Console(stderr=True)
        for part in track(parts, "hostile bodies", total=len(portions), console=told, transient=True):
            found.merge(part)
    return found


def _one(seed: int, number: int) -> Tally:
    case, found = make(seed, number), Tally()
    sys.stderr.write(f"{case.kind}, {len(case.carried.body)} bytes, {case.carried.content_type}\n")
    sys.stderr.write(f"{case.carried.body[:400]!r}\n")
    found.add(check(number, case))
    return found


def main() -> int:
    """Check what is asked for; 0 when nothing is wrong with any of it, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what they are made from (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="look at this one alone")
    given = parser.parse_args()
    alone = given.only is not None
    found = _one(given.seed, given.only) if alone else _many(given.seed, given.cases, given.jobs)
    for verdict in found.faulty[:20]:
        sys.stderr.write(f"--seed {given.seed} --only {verdict.number} ({verdict.kind}): {verdict.faults}\n")
    sys.stdout.write(f"{_report(given.seed, found)}\n")
    return 1 if found.faulty else 0


def _report(seed: int, found: Tally) -> str:
    slowest = found.slowest
    return json.dumps(
        {
            "seed": seed,
            "cases": found.cases,
            "faulty": len(found.faulty),
            "slowest": slowest
            and {
                "only": slowest.number,
                "kind": slowest.kind,
                "cpuMilliseconds": round(slowest.seconds * 1000, 1),
            },
            "mayTakeMilliseconds": LONGEST_SECONDS * 1000,
            "outcomes": dict(found.outcomes.most_common()),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
