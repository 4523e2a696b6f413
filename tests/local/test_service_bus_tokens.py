import hmac
import re
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from urllib.parse import quote_plus

import jwt
import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusAuthenticationError

from local.parts import in_thread
from local.service_bus import Namespace, encoding, serve
from local.service_bus.errors import Condition, Refusal
from local.service_bus.performatives import Code
from local.service_bus.tokens import EVERYTHING, KEY, POLICY, Authority, Claims, Grant
from tests.local.amqp import ANONYMOUS, Client, condition, port_of

NOW = 1_800_000_000.0
QUEUE = "sb://localhost/orders"


@pytest.fixture
def authority() -> Authority:
    """Return who checks tokens, at an instant that stands still."""
    return Authority(lambda: NOW)


@pytest.fixture
def environment() -> Iterator[Mapping[str, str]]:
    """Serve two queues whose names begin alike."""
    namespace = Namespace.from_dict({"queues": [{"name": "orders"}, {"name": "orders-2"}]})
    with in_thread(partial(serve, namespace)) as environment:
        yield environment


def signature(
    resource: str = QUEUE,
    *,
    until: float = NOW + 60,
    key: str = KEY,
    policy: str = POLICY,
    scope: str | None = None,
) -> str:
    """Build a shared access signature as Azure documents it."""
    signed = quote_plus(resource if scope is None else scope)
    digest = hmac.digest(key.encode(), f"{signed}\n{until:.0f}".encode(), sha256)
    return (
        f"SharedAccessSignature sr={signed}&sig={quote_plus(b64encode(digest))}&se={until:.0f}&skn={policy}"
    )


def web_token(**claims: object) -> str:
    """Build a token as a directory does, by a key that the broker does not know."""
    told = {"aud": "https://servicebus.azure.net", "exp": NOW + 60, **claims}
    return jwt.encode(told, "x" * 32, algorithm="HS256")


def test_a_signature_allows_its_resource_until_it_expires(authority: Authority) -> None:
    """A good token is worth its resource, in lower case, and its time."""
    assert authority.grant(signature(), "SB://localhost/Orders/") == Grant("orders", NOW + 60)


def test_a_signature_for_more_covers_what_lies_below(authority: Authority) -> None:
    """One token for a namespace, or for an entity, is good for everything in it."""
    for scope in ("sb://localhost", "sb://localhost:5672/", "http://LOCALHOST/orders"):
        told = signature("sb://localhost/orders/$management", scope=scope)
        assert authority.grant(told, "sb://localhost/orders/$management").path == "orders/$management"


@pytest.mark.parametrize(
    ("token", "complaint"),
    [
        (signature(until=NOW), "ExpiredToken"),
        (signature(key="another"), "InvalidSignature"),
        (signature(policy="Reader"), "InvalidSignature"),
        (signature().replace("se=18", "se=19"), "InvalidSignature"),
        (signature().replace("orders", "others"), "InvalidSignature"),
        (signature(scope="sb://localhost/order"), "InvalidAudience"),
        (signature(scope="sb://localhost/orders/below"), "InvalidAudience"),
        (signature(scope="sb://contoso/orders"), "InvalidAudience"),
        (signature().partition("&")[0], "MalformedToken"),
        (signature().replace("se=1", "se=x"), "MalformedToken"),
        (signature(scope=""), "InvalidAudience"),
        (signature(scope="sb://[x"), "InvalidAudience"),
        ("SharedAccessSignature", "MalformedToken"),
        ("", "MalformedToken"),
        (web_token(exp=NOW), "ExpiredToken"),
        (web_token(aud="https://vault.azure.net"), "InvalidAudience"),
        (web_token(exp=None), "MalformedToken"),
        (web_token(exp=-1e300), "MalformedToken"),
        (web_token(exp=float("nan")), "MalformedToken"),
        ("a.b.c", "MalformedToken"),
    ],
)
def test_a_bad_token_is_refused(authority: Authority, token: str, complaint: str) -> None:
    """What is forged, expired, for something else or no token at all is told apart, in Azure's words."""
    with pytest.raises(Refusal, match=f"^{complaint}: ") as refusal:
        authority.grant(token, QUEUE)
    assert refusal.value.condition is Condition.UNAUTHORIZED


def test_a_web_token_allows_what_it_is_shown_for(authority: Authority) -> None:
    """A directory's token for Service Bus is believed until it expires; its signature is not looked at."""
    assert authority.grant(web_token(), QUEUE) == Grant("orders", NOW + 60)


def test_claims_cover_what_lies_below() -> None:
    """What a connection may use is decided by the token that lasts longest, and by whole names."""
    told: list[bool] = []
    claims = Claims(lambda: told.append(True))
    claims.add(Grant("orders", 10))
    claims.add(Grant("orders/$management", 20))
    assert [claims.until(path) for path in ("orders", "orders/$deadletterqueue", "orders/$management")] == [
        10,
        10,
        20,
    ]
    assert [claims.until(path) for path in ("orders-2", "order", "")] == [0, 0, 0]
    assert (claims.next_expiry(5), claims.next_expiry(10), claims.next_expiry(20)) == (10, 20, float("inf"))
    claims.add(Grant("orders", 30))
    assert claims.until("orders") == 30
    claims.add(EVERYTHING)
    assert claims.until("orders-2") == float("inf")
    assert len(told) == 4


def test_tokens_of_one_connection_are_bounded() -> None:
    """A client that shows ever more tokens is refused, rather than kept in mind without end."""
    claims = Claims(lambda: None)
    for number in range(10_000):
        claims.add(Grant(str(number), NOW))
    with pytest.raises(Refusal, match="too many tokens"):
        claims.add(Grant("one more", NOW))


def send(client: ServiceBusClient, queue: str = "orders") -> None:
    """Send a message."""
    with closing(client.get_queue_sender(queue)) as sender:
        sender.send_messages(ServiceBusMessage("x"), timeout=10)


def test_the_sdk_is_let_in_by_each_of_its_credentials(environment: Mapping[str, str]) -> None:
    """A connection string, its key and a signature made from it elsewhere all lead in."""
    host = f"localhost:{port_of(environment)}"
    sas = AzureSasCredential(signature(f"sb://{host}", until=time.time() + 60))
    clients = [
        ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0),
        ServiceBusClient(host, AzureNamedKeyCredential(POLICY, KEY), use_tls=False, retry_total=0),
        ServiceBusClient(host, sas, use_tls=False, retry_total=0),
    ]
    for client in clients:
        send(client)


@pytest.mark.parametrize(
    ("scope", "until", "key", "complaint"),
    [
        ("", 60, "wrong", "InvalidSignature"),
        ("", -60, KEY, "ExpiredToken"),
        ("/orders", 60, KEY, "InvalidAudience"),
    ],
)
def test_the_sdk_is_told_why_it_is_not_let_in(
    environment: Mapping[str, str], scope: str, until: float, key: str, complaint: str
) -> None:
    """A wrong key, an expired signature and one for another queue end in the SDK's own error, as a 401."""
    host = f"localhost:{port_of(environment)}"
    sas = AzureSasCredential(signature(f"sb://{host}{scope}", until=time.time() + until, key=key))
    client = ServiceBusClient(host, sas, use_tls=False, retry_total=0)
    with pytest.raises(ServiceBusAuthenticationError) as raised:
        send(client, "orders-2")
    assert re.search(f"(?s)Status code: 401.*{complaint}", str(raised.value.inner_exception))


def test_a_wrong_key_in_a_connection_string_is_refused(environment: Mapping[str, str]) -> None:
    """The commonest mistake of all is answered as by Azure."""
    wrong = environment["ServiceBus"].replace(KEY, "another")
    client = ServiceBusClient.from_connection_string(wrong, retry_total=0)
    with pytest.raises(ServiceBusAuthenticationError) as raised:
        send(client)
    assert "InvalidSignature" in str(raised.value.inner_exception)


@pytest.fixture
def stranger(environment: Mapping[str, str]) -> Iterator[Client]:
    """Connect without saying who one is, as the SDKs do before they show a token."""
    client = Client(port_of(environment))
    with client.socket:
        client.open(mechanism=ANONYMOUS)
        yield client


@pytest.mark.parametrize(
    ("address", "receives"),
    [("orders", True), ("orders", False), ("nowhere", False), ("orders/$management", False)],
)
def test_nothing_is_open_to_strangers(stranger: Client, address: str, *, receives: bool) -> None:
    """Without a token no link is given, and nobody learns what is there and what is not."""
    stranger.attach(0, address, receives=receives)
    detached = stranger.expect(Code.DETACH)
    assert condition(detached, 2) == "amqp:unauthorized-access"


def test_a_token_is_good_for_its_own_queue(stranger: Client) -> None:
    """A token for one queue opens that and its dead letters, and no other whose name begins alike."""
    told = signature(until=time.time() + 60)
    assert stranger.put_token(told, QUEUE) == (202, "Accepted")
    assert stranger.attach(0, "orders", receives=True)[5] is not None
    assert stranger.attach(1, "orders/$DeadLetterQueue", receives=True)[5] is not None
    assert stranger.attach(2, "orders-2", receives=True)[5] is None
    stranger.expect(Code.DETACH)


def test_a_token_of_a_directory_opens_what_it_is_shown_for(stranger: Client) -> None:
    """An app with an identity in place of a key is let in as well."""
    assert stranger.put_token(web_token(exp=time.time() + 60), QUEUE) == (202, "Accepted")
    assert stranger.attach(0, "orders", receives=True)[5] is not None


def test_links_end_with_the_token_that_opened_them(stranger: Client) -> None:
    """When a token expires, its links are detached by the broker; those of a longer one live on."""
    soon = time.time() + 2
    assert stranger.put_token(
        signature("sb://localhost/orders-2", until=soon + 60), "sb://localhost/orders-2"
    )
    assert stranger.put_token(signature(until=soon), QUEUE) == (202, "Accepted")
    stranger.attach(0, "orders", receives=False)
    stranger.attach(1, "orders", receives=True)
    stranger.attach(2, "orders-2", receives=True)
    for handle, claim in ((0, "Send"), (1, "Listen")):
        detached = stranger.expect(Code.DETACH)
        assert detached[0] == handle
        assert condition(detached, 2) == "amqp:link:detach-forced"
        assert f"Code: RenewToken. Details: Unauthorized access. '{claim}'" in str(detached[2])
    assert datetime.now(UTC).timestamp() >= int(soon)
    stranger.nothing_comes()


def test_a_renewed_token_keeps_its_links(stranger: Client) -> None:
    """A client that shows a fresh token in time notices nothing when the old one ends."""
    soon = time.time() + 2
    stranger.put_token(signature(until=soon), QUEUE)
    stranger.put_token(signature("sb://localhost/orders-2", until=soon), "sb://localhost/orders-2")
    stranger.attach(0, "orders", receives=True)
    stranger.attach(1, "orders-2", receives=True)
    stranger.put_token(signature(until=soon + 60), QUEUE)
    assert stranger.expect(Code.DETACH)[0] == 1
    stranger.nothing_comes()


@pytest.mark.parametrize(
    ("token", "resource", "status"),
    [(encoding.NULL, encoding.string(QUEUE), 400), (encoding.string("x"), encoding.NULL, 400)],
)
def test_a_token_is_text(stranger: Client, token: bytes, resource: bytes, status: int) -> None:
    """A request without a token or without a name is answered as a bad one."""
    assert stranger.put(token, resource)[0] == status


def test_a_wrong_name_or_key_ends_the_handshake(environment: Mapping[str, str]) -> None:
    """A client that says a name and a key by SASL is turned away there, if they are wrong."""
    for told in (f"\0{POLICY}\0wrong", f"\0Reader\0{KEY}", ""):
        client = Client(port_of(environment))
        with client.socket:
            mechanism = [encoding.symbol("PLAIN"), encoding.binary(told.encode())]
            assert client.sasl(mechanism) == [1]
            assert client.read(1) == b""
