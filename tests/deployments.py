"""A deployment to check and to consent for: the stand-ins, and what steers them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from local import service_bus
from local.partner_center import serve
from local.parts import in_thread
from local.service_bus import Namespace

QUEUES = "agreement-acceptances", "agreement-retries", "agreement-duplicates", "agreement-rejections"
TOPIC = "agreement-outcomes"


class Deployment:
    """The environment of the function app, and the control of what it meets."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    def apply(self, patch: pytest.MonkeyPatch, **changes: str) -> None:
        """Make it this process's environment; an empty variable counts as none."""
        for name, value in {**self.environment, **changes}.items():
            patch.setenv(name, value)

    def control(
        self, method: str, what: str, body: object = None, part: str = "PARTNER_AUTHORITY_URL"
    ) -> Any:
        """Steer a stand-in, and return what it answers."""
        url = f"{self.environment[part]}/_control/{what}"
        bundle = self.environment["REQUESTS_CA_BUNDLE"]
        answer = requests.request(method, url, json=body, verify=bundle, timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @contextmanager
    def directory(self, **conditions: object) -> Iterator[None]:
        """Change what the directory does while the block runs."""
        before = self.control("GET", "directory")
        self.control("PATCH", "directory", conditions)
        try:
            yield
        finally:
            self.control("PATCH", "directory", {name: before[name] for name in conditions})

    @contextmanager
    def faults(self, *rules: Mapping[str, object], part: str = "PARTNER_AUTHORITY_URL") -> Iterator[None]:
        """Let a part fail by these rules while the block runs."""
        self.control("PUT", "faults", rules, part)
        try:
            yield
        finally:
            self.control("DELETE", "faults", part=part)


@contextmanager
def deployed(folder: Path) -> Iterator[Deployment]:
    """Serve everything that a deployment reaches, while the block runs."""
    queues = [{"name": name, "properties": {}} for name in QUEUES]
    topic = {"name": TOPIC, "subscriptions": [{"name": "receipts"}]}
    namespace = Namespace.from_dict({"queues": queues, "topics": [topic]})
    with (
        in_thread(lambda: serve(certificates=folder, credential="certificate")) as partner_center,
        in_thread(lambda: service_bus.serve(namespace)) as bus,
    ):
        yield Deployment({**partner_center, **bus})
