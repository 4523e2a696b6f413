import ssl
from functools import partial
from pathlib import Path

import pytest

from local import tls
from local.parts import in_thread
from local.service_bus import Namespace, encoding, frames, serve
from local.service_bus.message import Section
from local.service_bus.performatives import Code
from tests.local.amqp import Client, port_of

LARGE = encoding.described(Section.DATA, encoding.binary(bytes(range(256)) * 900))


def test_clients_are_served_over_tls(tmp_path: Path) -> None:
    """With a certificate to show the broker speaks TLS alone, and every message comes through it whole."""
    identity = tls.identity(tmp_path)
    trusting = ssl.create_default_context(cafile=identity.bundle)
    namespace = Namespace.from_dict({"queues": [{"name": "q"}]})
    with in_thread(partial(serve, namespace, context=identity.context)) as environment:
        assert "UseDevelopmentEmulator" not in environment["ServiceBus"]
        client = Client(port_of(environment), trusting)
        with client.socket:
            client.open()
            client.attach(0, "q", receives=False)
            for start in range(0, len(LARGE), 60_000):
                client.transfer(0, LARGE[start : start + 60_000], more=start + 60_000 < len(LARGE))
            client.expect(Code.DISPOSITION)
            client.attach(1, "q", receives=True)
            client.flow(1, 1)
            got = b""
            while not got.endswith(LARGE):
                got += client.next()[2]
            client.settle(0, frames.outcome(Code.ACCEPTED))
            client.expect(Code.DISPOSITION)
        assert namespace.source("q").count() == 0
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(port_of(environment), ssl.create_default_context())
