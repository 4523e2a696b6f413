"""A stand-in for the Azure Functions host: runs an app's Service Bus triggers and timers on one machine.

The app runs inside Microsoft's own Python worker library, with its decoder and its thread pool, and sees of a
message what the real host shows of it. Beneath is the real Service Bus SDK.
"""

from local.functions_host.errors import HostError
from local.functions_host.host import serve

__all__ = ["HostError", "serve"]
