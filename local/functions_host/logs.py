"""Who says what where: the app on standard output, the host on standard error."""

import logging
import sys
from pathlib import Path


class _WithoutTraceback(logging.Formatter):
    def formatException(self, ei: object) -> str:  # noqa: ARG002, N802 - logging's name and signature
        return ""


def configure_host() -> None:
    """Send the host's log records to standard error."""
    _send_to_stderr("local.functions_host", logging.INFO, logging.Formatter)
    # A lost connection is told in a line; the SDK's tracebacks of it lead into the SDK.
    _send_to_stderr("azure", logging.WARNING, _WithoutTraceback)
    _send_to_stderr("asyncio", logging.WARNING, logging.Formatter)


def configure_worker() -> None:
    """Send the app's log records to standard output, message only, and what its libraries warn of."""
    configure_host()
    root = logging.getLogger()
    root.addHandler(logging.StreamHandler(sys.stdout))
    root.addFilter(_is_not_from_the_decorators)
    root.setLevel(logging.INFO)


def _send_to_stderr(name: str, level: int, formatter: type[logging.Formatter]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter("host: %(message)s"))
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def _is_not_from_the_decorators(record: logging.LogRecord) -> bool:
    """Drop what azure.functions logs by the root logger: a hint on http functions, whatever the app has."""
    return not Path(record.pathname).match("azure/functions/decorators/*.py")
