"""The JavaScript SDK as a client of the promises: a Node process that is asked by lines of JSON."""

import json
import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conformance.clients import SECONDS, Outgoing, Property, Received, Refused, Settlement

_PROGRAM = Path(__file__).with_name("client.mjs")


class NodeClient:
    """The SDK in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self, address: str, messages: Sequence[Outgoing]) -> None:
        self._ask("send", address=address, messages=[_message(each) for each in messages])

    def schedule(self, address: str, messages: Sequence[Outgoing], at: datetime) -> list[int]:
        built = [_message(each) for each in messages]
        return [int(number) for number in self._ask("schedule", address=address, messages=built, at=_ms(at))]

    def cancel(self, address: str, numbers: Sequence[int]) -> None:
        self._ask("cancel", address=address, numbers=[str(number) for number in numbers])

    def receive(
        self, address: str, count: int = 1, *, deletes: bool = False, wait: float = SECONDS
    ) -> list[Received]:
        found = self._ask("receive", address=address, count=count, deletes=deletes, wait=wait)
        return [_received(raw) for raw in found]

    def receive_deferred(self, address: str, numbers: Sequence[int]) -> list[Received]:
        found = self._ask("receive_deferred", address=address, numbers=[str(number) for number in numbers])
        return [_received(raw) for raw in found]

    def peek(self, address: str, count: int = 10, first: int = 1) -> list[Received]:
        return [_received(raw) for raw in self._ask("peek", address=address, count=count, first=first)]

    def settle(
        self,
        address: str,
        message: Received,
        how: Settlement,
        *,
        reason: str | None = None,
        description: str | None = None,
    ) -> None:
        self.settle_changed(address, message, how, {}, reason=reason, description=description)

    def renew(self, address: str, message: Received) -> datetime:
        return _instant(self._ask("renew", address=address, handle=message.handle))

    def accept_session(self, address: str) -> None:
        self._ask("accept_session", address=address)

    def settle_changed(
        self,
        address: str,
        message: Received,
        how: Settlement,
        changes: Mapping[str, object],
        *,
        reason: str | None = None,
        description: str | None = None,
    ) -> None:
        """Settle a message and change its application properties, which the Python SDK cannot do."""
        why = {"reason": reason, "description": description, "changes": changes}
        self._ask("settle", address=address, handle=message.handle, how=how, **why)

    def create_rule(self, topic: str, subscription: str) -> None:
        """Add a rule with a filter to a subscription, which the Python SDK cannot do over AMQP."""
        self._ask("create_rule", topic=topic, subscription=subscription)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=SECONDS) == 0

    def _ask(self, method: str, **given: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"method": method, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the Node process ended during {method}; its standard error tells why"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(*answer["error"])
        return answer["result"]


@contextmanager
def node(connection_string: str, bundle: Path | None = None) -> Iterator[NodeClient]:
    """Yield a client over the JavaScript SDK; over TLS with a file of authorities to believe."""
    command = ["node", str(_PROGRAM), connection_string]
    pipe = subprocess.PIPE
    env = os.environ | ({} if bundle is None else {"NODE_EXTRA_CA_CERTS": str(bundle)})
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env) as process:
        made = NodeClient(process)
        try:
            yield made
            made.close()
        finally:
            process.kill()


def _message(message: Outgoing) -> Mapping[str, object]:
    told = {
        "messageId": message.message_id,
        "correlationId": message.correlation_id,
        "subject": message.subject,
        "contentType": message.content_type,
        "replyTo": message.reply_to,
        "to": message.to,
        "timeToLive": message.time_to_live,
    }
    return {
        "body": b64encode(message.body).decode(),
        "properties": {name: _typed(value) for name, value in message.properties.items()},
        **{key: value for key, value in told.items() if value is not None},
    }


def _typed(value: Property) -> tuple[str, object]:
    if isinstance(value, datetime):
        return "datetime", _ms(value)
    if isinstance(value, bytes):
        return "bytes", b64encode(value).decode()
    return "json", value


def _received(raw: Mapping[str, Any]) -> Received:
    instants = {key: raw[key] and _instant(raw[key]) for key in ("enqueued_at", "locked_until")}
    number = int(raw["sequence_number"])
    properties = {name: _property(*typed) for name, typed in raw["properties"].items()}
    body = b64decode(raw["body"])
    return Received(**{**raw, **instants, "sequence_number": number, "properties": properties, "body": body})


def _property(kind: str, value: Any) -> Property:
    if kind == "datetime":
        return _instant(value)
    if kind == "bytes":
        return b64decode(value)
    assert value is None or isinstance(value, str | int | float | bool)
    return value


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
