import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how much else the machine does: benchmarks measure, and at their own time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that does not state the promise it checks."""
    silent = [
        item.nodeid for item in items if isinstance(item, pytest.Function) and not item.function.__doc__
    ]
    if silent:
        raise pytest.UsageError(
            "a test's docstring states its promise; these have none: " + ", ".join(silent)
        )
