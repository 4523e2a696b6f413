import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that does not state the promise it checks."""
    silent = [
        item.nodeid for item in items if isinstance(item, pytest.Function) and not item.function.__doc__
    ]
    if silent:
        raise pytest.UsageError(
            "a test's docstring states its promise; these have none: " + ", ".join(silent)
        )
