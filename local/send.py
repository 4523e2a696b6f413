"""``python -m local.send``: publish events to the running stack, as a CRM system would."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from azure.servicebus import ServiceBusClient

from local import bus, ready


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish each file as one event; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.send", description="Publish events to the running stack."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="one event each, sent as it is")
    ready.add_option(parser)
    options = parser.parse_args(arguments)
    try:
        bodies = [file.read_bytes() for file in options.files]
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    environment = ready.read(options.ready_file)
    messages = [
        bus.message(body, message_id=file.stem, correlation_id=str(uuid4()))
        for file, body in zip(options.files, bodies, strict=True)
    ]
    queue = environment["ACCEPTANCES_QUEUE"]
    with (
        ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client,
        client.get_queue_sender(queue) as sender,
    ):
        for file, message in zip(options.files, messages, strict=True):
            sender.send_messages(message, timeout=10)
            sys.stdout.write(f"{file} is in {queue}, correlation id {message.correlation_id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
