"""One JSON line per delivery: what happened to this event, for every search that comes later.

And one for each change that a person makes to what waits.
"""

import json
import logging
from collections.abc import Mapping

logger = logging.getLogger("agreements")


def log_delivery(record: Mapping[str, str | float | bool | None], *, level: int) -> None:
    """Write the line; what is unknown (``None``) is left out."""
    known = {name: value for name, value in record.items() if value is not None}
    logger.log(level, "%s", json.dumps(known, separators=(",", ":")))


def log_audit(entry: Mapping[str, object]) -> None:
    """Write the line of a change by a person; at WARNING, so that it is seen where nobody set up logging."""
    logger.warning("%s", json.dumps({"audit": entry}, ensure_ascii=False, separators=(",", ":")))
