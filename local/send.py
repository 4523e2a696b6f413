"""``python -m local.send``: publish events to the running stack, as a CRM system would."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from local import bus, ready


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish each file as one event; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.send", description="Publish events to the running stack."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="one event each, sent as it is")
    ready.add_option(parser)
    parser.add_argument(
        "--connection-string", help="send there instead, to the default queue: an emulator, say"
    )
    options = parser.parse_args(arguments)
    try:
        bodies = [file.read_bytes() for file in options.files]
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    environment = (
        {"ServiceBus": options.connection_string, "ACCEPTANCES_QUEUE": "agreement-acceptances"}
        if options.connection_string
        else ready.read(options.ready_file)
    )
    messages = [
        bus.message(body, message_id=file.stem, correlation_id=str(uuid4()))
        for file, body in zip(options.files, bodies, strict=True)
    ]
    try:
        _send(messages, environment)
    except ServiceBusError as error:
        sys.exit(f"not sent, or not all: {error}")
    for file, message in zip(options.files, messages, strict=True):
        sys.stdout.write(f"{file} is sent, correlation id {message.correlation_id}\n")
    return 0


def _send(messages: Sequence[ServiceBusMessage], environment: Mapping[str, str]) -> None:
    with (
        ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0) as client,
        client.get_queue_sender(environment["ACCEPTANCES_QUEUE"]) as sender,
    ):
        for message in messages:
            sender.send_messages(message, timeout=10)


if __name__ == "__main__":
    sys.exit(main())
