"""The way to the network of Azure's clients, against a server that says nothing."""

import socket
from collections.abc import Iterator
from time import monotonic

import pytest
from azure.core.exceptions import AzureError, ServiceRequestTimeoutError
from azure.core.rest import HttpRequest

from agreements.bounded import BoundedTransport
from agreements.deadline import Deadline


@pytest.fixture
def silent() -> Iterator[HttpRequest]:
    """A request to a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield HttpRequest("GET", f"http://127.0.0.1:{server.getsockname()[1]}/")


def waited(request: HttpRequest, **options: float) -> float:
    """Return for how many seconds a request was waited for in vain."""
    before = monotonic()
    with BoundedTransport(connection_timeout=60, read_timeout=60) as transport, pytest.raises(AzureError):
        transport.send(request, **options)
    return monotonic() - before


def test_no_request_outlasts_the_deadline(silent: HttpRequest) -> None:
    """Neither the transport's own limits nor those of the call let it wait for longer."""
    with Deadline.after(0.2).bounding():
        assert waited(silent) < 30
    with Deadline.after(0.2).bounding():
        assert waited(silent, connection_timeout=60, read_timeout=60) < 30


def test_without_time_left_nothing_is_asked() -> None:
    """The request is not even begun: nothing listens at its address, and that is not what is told."""
    request = HttpRequest("GET", "http://127.0.0.1:1/")
    none_left = pytest.raises(ServiceRequestTimeoutError, match="no time is left")
    with Deadline.after(0).bounding(), BoundedTransport() as transport, none_left:
        transport.send(request)


def test_without_a_deadline_the_limits_are_those_of_the_call(silent: HttpRequest) -> None:
    """Whoever has no deadline is served as by the SDK's own transport."""
    assert waited(silent, read_timeout=0.1) < 30
