"""A file that is published and killed on the way, and an audit of receipt and ledger.

Sizes come from the environment: ``PUBLISH_RECORDS``, ``PUBLISH_BAD``, ``PUBLISH_KILLS``, ``CHAOS_SEED``.
"""

import json
import os
import sys
from pathlib import Path

from tests.chaos.chaos import SEED
from tests.chaos.publishing import publish_and_kill

RECORDS = int(os.environ.get("PUBLISH_RECORDS", "50000"))
BAD = int(os.environ.get("PUBLISH_BAD", "200"))
KILLS = int(os.environ.get("PUBLISH_KILLS", "2"))


def test_every_good_row_is_confirmed_once(tmp_path: Path) -> None:
    """However often publishing is killed, each row is told of once, and each good one is on record once."""
    report = publish_and_kill(tmp_path, count=RECORDS, bad=BAD, kills=KILLS, seed=SEED)
    sys.stdout.write(json.dumps(report) + "\n")
