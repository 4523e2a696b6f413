"""The way to the network of Azure's clients, with an end to every wait.

Their own limits begin anew with each try, each challenge and each token that a client's credential gets on
the way, and no credential takes a deadline as an argument.
"""

from typing import Any

from azure.core.exceptions import ServiceRequestTimeoutError
from azure.core.pipeline.transport import RequestsTransport

from agreements.deadline import bounded


class BoundedTransport(RequestsTransport):  # type: ignore[misc]  # exported without its type
    """Waits no longer than the deadline that bounds the thread, and asks nothing without time left."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request.

        Raises:
            ServiceRequestTimeoutError: no time is left.
        """
        config = self.connection_config
        for name, limit in (("connection_timeout", config.timeout), ("read_timeout", config.read_timeout)):
            options[name] = bounded(options.get(name, limit))
        if not options["read_timeout"]:
            raise ServiceRequestTimeoutError("no time is left")
        return super().send(request, **options)
