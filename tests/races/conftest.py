import json
import logging
from collections.abc import Iterator

import pytest

from tests.races import stage as stages
from tests.races.stage import ACCEPTANCES, RETRIES, Stage, Told


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    """Serve the far ends once for a module."""
    with stages.serve() as stage:
        yield stage


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    """Give a test the far ends in order, and check that it left nothing on its way."""
    shared.clock.ahead = 0
    shared.set_faults()
    yield shared
    assert shared.is_empty(ACCEPTANCES)
    assert shared.is_empty(RETRIES)
    assert not [entity.name for entity in shared.namespace if "$Dead" in entity.name and entity.count()]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """Return a way to read what the log told of an event, in order."""
    caplog.set_level(logging.INFO)

    def outcomes(correlation_id: str) -> list[str]:
        lines = [json.loads(line) for line in caplog.messages if line.startswith("{")]
        return [stages.outcome(line) for line in lines if line.get("correlationId") == correlation_id]

    return outcomes
