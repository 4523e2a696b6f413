"""One JSON line per delivery, and per renewal: what happened, for every search that comes later."""

import json
import logging
from collections.abc import Mapping

logger = logging.getLogger("agreements")


def log(record: Mapping[str, str | float | bool | None], *, level: int) -> None:
    """Write the line; what is unknown (``None``) is left out."""
    known = {name: value for name, value in record.items() if value is not None}
    logger.log(level, "%s", json.dumps(known, separators=(",", ":")))
