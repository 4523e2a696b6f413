"""Personal data and secrets, planted wherever they can come from, and looked for wherever they must not go.

The whole product runs, with its real libraries, through every outcome; the far ends send back what they were
sent, in bodies and in headers. Everything that could be kept of it is collected: every log line of every
library at DEBUG, output, warnings, exceptions, the looks of our objects, and what travels with the copies.
"""

import gc
import json
import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import uuid4

import pytest
from azure.functions.servicebus import ServiceBusMessage
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage
from azure.servicebus import ServiceBusMessage as Message

from agreements import queues, settings, wiring
from agreements.deadline import Deadline
from agreements.deliveries import Delivery
from agreements.errors import Actor, Reason
from agreements.outcome_events import RECEIPTS, Ending
from agreements.outcomes import Attempt, Outcome
from agreements.queues import QueueNames
from agreements.settings import FunctionAppSettings
from local import service_bus
from local.parts import in_thread
from tests.fakes import UNTRACED
from tests.far_end import Asked, Cut, FarEnd, Say, far_end
from tests.planted import CONTACT, PLANTED, PLAYS, SECRETS, TOKEN_ANSWERS, Answer, Play, echo, say

TOPIC = "agreement-outcomes"
ENTITIES = Path(__file__).parent.parent / "infra" / "service-bus.json"


@dataclass(slots=True)
class Seen:
    """What there is to be looked through, by where it was seen."""

    logs: StringIO = field(default_factory=StringIO)
    output: StringIO = field(default_factory=StringIO)
    warnings: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    objects: dict[type, str] = field(default_factory=dict)
    copies: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    sent: list[Asked] = field(default_factory=list)
    asked_for_token: list[Asked] = field(default_factory=list)

    def look_at_objects(self) -> None:
        """Keep how every object of ours looks that there is at this moment."""
        for thing in gc.get_objects():
            if str(type(thing).__module__).startswith("agreements"):
                self.objects[type(thing)] = self.objects.get(type(thing), "") + repr(thing) + str(thing)


class _Logs(logging.Handler):
    """Keeps every record whole: as it is formatted, and all that it carries along."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(logging.DEBUG)
        self.seen = seen
        self.formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.logs.write(f"{self.format(record)} {record.args}\n")


@contextmanager
def everything_logged(seen: Seen) -> Iterator[None]:
    root, handler = logging.getLogger(), _Logs(seen)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger(__name__).debug("everything is kept")
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@dataclass(slots=True)
class Stage:
    """The far ends, the broker and the product between them."""

    seen: Seen
    api: FarEnd
    login: FarEnd
    environment: Mapping[str, str]
    play: Play = field(default_factory=Play)
    token: Answer | None = None
    tokens: int = 0
    settings: FunctionAppSettings | None = None

    def answer(self) -> Say | Cut:
        """Answer as Partner Center."""
        asked = self.api.asked[-1]
        self.seen.look_at_objects()
        if asked.line.startswith("POST"):
            return self.play.post(asked)
        return (self.play.templates if "/v1/agreements" in asked.line else self.play.records)(asked)

    def sign_in(self) -> Say | Cut:
        """Answer as the token endpoint."""
        asked = self.login.asked[-1]
        self.seen.look_at_objects()
        if "openid-configuration" in asked.line:
            where = f"{self.login.url}/tenant"
            said = {
                "authorization_endpoint": f"{where}/authorize",
                "token_endpoint": f"{where}/token",
                "issuer": where,
            }
            return say(said)(asked)
        if self.token is not None:
            return self.token(asked)
        self.tokens += 1
        token = SECRETS["access token" if self.tokens % 2 else "next access token"]
        return say({"access_token": token, "refresh_token": SECRETS["refresh token"], "expires_in": 3599})(
            asked
        )

    def consumers(self, **changes: str) -> wiring.Consumers:
        """Build the product, as the function app does."""
        self.settings = settings.read(FunctionAppSettings, {**self.environment, **changes})
        return wiring.consumers(self.settings)

    def deliver(self, consumers: wiring.Consumers, play: Play, number: int) -> None:
        """Deliver a message; keep what goes up, as the host would show it."""
        self.play = play
        message = ServiceBusMessage(
            body=play.body,
            message_id="an-id-of-the-publisher",
            correlation_id=str(uuid4()),
            content_type=play.content_type,
            delivery_count=play.delivery_count,
            sequence_number=number,
            enqueued_time_utc=play.enqueued,
            application_properties=dict(play.properties),
            user_properties=dict(play.properties),
        )
        try:
            (consumers.retries if play.properties else consumers.acceptances)(message, UNTRACED)
        except Exception as error:  # noqa: BLE001 - whatever goes up is what the host would log
            self.seen.exceptions.append("".join(traceback.format_exception(error)) + repr(error))

    def collect(self) -> None:
        """Look at the copies in the queues: what travels with them, and their bodies apart."""
        with ServiceBusClient.from_connection_string(self.environment["ServiceBus"]) as client:
            for queue in ("agreement-duplicates", "agreement-rejections", "agreement-retries"):
                with client.get_queue_receiver(queue) as receiver:
                    while page := receiver.peek_messages(250):
                        self.seen.copies += map(_around, page)
                        self.seen.bodies += [b"".join(copy.body) for copy in page]
            with client.get_subscription_receiver(TOPIC, RECEIPTS) as receiver:
                while page := receiver.peek_messages(250):
                    self.seen.told += [_around(one) + b"".join(one.body).decode() for one in page]


def _around(message: ServiceBusReceivedMessage) -> str:
    """Return everything of a message but its body."""
    given = {str(name): value for name, value in (message.application_properties or {}).items()}
    around = (
        message.message_id,
        message.correlation_id,
        message.subject,
        message.reply_to,
        message.to,
        message.session_id,
    )
    return f"{given} {around} {message.dead_letter_error_description}"


class _Looking(queues.Queues):
    """The queues, opened once, and a look at every object of ours while one is sent."""

    seen: ClassVar[Seen]
    opened: ClassVar[dict[QueueNames, Self]] = {}

    @classmethod
    def of(cls, client: ServiceBusClient, names: QueueNames, timeout: float) -> Self:
        """Return the queues of these names."""
        return cls.opened.setdefault(names, cls(client, names, timeout))

    def send(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> None:
        self.seen.look_at_objects()
        super().send(delivery, attempt, outcome, deadline)


class _Watching(queues.Topic):
    """The topic, opened once, and a look at every object of ours while one is told."""

    seen: ClassVar[Seen]
    opened: ClassVar[dict[str, Self]] = {}

    @classmethod
    def of(cls, client: ServiceBusClient, name: str, *given: Any) -> Self:
        """Return the topic of that name."""
        return cls.opened.setdefault(name, cls(client, name, *given))

    def _send(self, messages: list[Message], deadline: Deadline) -> None:
        self.seen.look_at_objects()
        super()._send(messages, deadline)


@contextmanager
def stage(directory: Path, patch: pytest.MonkeyPatch, seen: Seen) -> Iterator[Stage]:
    namespace = service_bus.Namespace.from_file(ENTITIES)
    with (
        in_thread(lambda: service_bus.serve(namespace)) as broker,
        far_end(directory) as api,
        far_end(directory) as login,
    ):
        environment = {
            **broker,
            "PARTNER_CENTER_URL": api.url,
            "PARTNER_AUTHORITY_URL": login.url,
            "PARTNER_TENANT_ID": str(uuid4()),
            "PARTNER_CLIENT_ID": str(uuid4()),
            "PARTNER_CLIENT_SECRET": SECRETS["client secret"],
            "PARTNER_REFRESH_TOKEN": SECRETS["refresh token"],
            "READ_TIMEOUT_SECONDS": "0.3",
            "OUTCOMES_TOPIC": TOPIC,
        }
        patch.setenv("REQUESTS_CA_BUNDLE", str(api.bundle))
        made = Stage(seen, api, login, environment)
        api.script, login.script = [made.answer], [made.sign_in]
        yield made


def perform(on: Stage) -> None:
    """Let every outcome happen: first those of the service, then those of a broken sign-in and queue."""
    for number, play in enumerate(PLAYS.values(), start=1):
        # Each by itself: a token that is refused closes the gate for all that come after it.
        on.deliver(on.consumers(), play, number)
    for number, answer in enumerate(TOKEN_ANSWERS.values(), start=1001):
        on.token = answer
        closed = on.consumers()
        on.deliver(closed, Play(), number)
        on.deliver(closed, Play(), 1000 + number)
    on.token = None
    closed = on.consumers()
    on.deliver(closed, PLAYS["throttled"], 3001)
    on.deliver(closed, Play(), 3002)
    on.deliver(on.consumers(PARTNER_CENTER_URL="https://localhost:1"), Play(), 4001)
    on.deliver(on.consumers(REJECTIONS_QUEUE="not-there"), Play(post=echo(400, 800002)), 4002)
    on.deliver(on.consumers(OUTCOMES_TOPIC="not-there"), Play(), 4003)
    on.collect()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    seen = Seen()
    _Looking.seen = _Watching.seen = seen
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(wiring, "Queues", _Looking.of)
        patch.setattr(wiring, "Topic", _Watching.of)
        stack.callback(_Looking.opened.clear)
        stack.callback(_Watching.opened.clear)
        # A closed gate, and the pause after a failure, are not waited for.
        patch.setattr("agreements.gate._LONGEST_WAIT", 0.0)
        patch.setattr("agreements.handler._PAUSE_SECONDS", 0.0)
        on = stack.enter_context(stage(tmp_path_factory.mktemp("far-ends"), patch, seen))
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        stack.enter_context(redirect_stdout(seen.output))
        stack.enter_context(redirect_stderr(seen.output))
        stack.enter_context(everything_logged(seen))
        # Only what is made from here on is looked at.
        gc.freeze()
        stack.callback(gc.unfreeze)
        perform(on)
        seen.warnings = [str(warning) for warning in caught]
        seen.sent, seen.asked_for_token = on.api.asked, on.login.asked
    return seen


def planted_in(text: str) -> list[str]:
    return [
        f"{planted}: …{text[max(0, text.find(planted) - 300) :][:600]}…"
        for planted in PLANTED
        if planted in text
    ]


def test_every_reason_was_met(seen: Seen) -> None:
    """The plays reach every outcome and every kind of refusal, or nothing would be proved by them."""
    lines = [json.loads(line) for line in _our_lines(seen)]
    logged = {line.get("reason") for line in lines}
    # The plays' refresh token lies in the environment: there is no vault that could fail.
    elsewhere = {Reason.VAULT_FAILING}
    assert logged >= {reason for reason in Reason if reason.actor is not Actor.APP_OWNER} - elsewhere
    assert logged >= {Reason.TOKEN_REFUSED, Reason.ACCESS_REFUSED, Reason.TOKEN_UNAVAILABLE}
    at_the_gate = [
        line for line in lines if line.get("reason") == Reason.THROTTLED and "httpStatus" not in line
    ]
    assert at_the_gate, "nobody met a closed gate"
    assert {line["outcome"] for line in lines} == {
        "Confirmed",
        "Duplicate",
        "Retry",
        "Rejected",
    }


def _our_lines(seen: Seen) -> list[str]:
    lines = [line for line in seen.logs.getvalue().splitlines() if line.startswith("agreements ")]
    return [line[line.index("{") : line.rindex("} (") + 1] for line in lines]


def test_what_was_planted_went_where_it_belongs(seen: Seen) -> None:
    """The planted values passed through: to Partner Center, to the token endpoint, back with the copies."""
    bodies = b"".join(asked.body for asked in seen.sent).decode("unicode-escape")
    authorized = {value for asked in seen.sent for name, value in asked.headers if name == "Authorization"}
    exchanged = b"".join(asked.body for asked in seen.asked_for_token).decode()
    assert all(value in bodies for value in CONTACT.values())
    assert authorized == {f"Bearer {SECRETS['access token']}", f"Bearer {SECRETS['next access token']}"}
    assert "0.PlantedRefreshToken" in exchanged
    assert "Planted8Q" in exchanged
    assert set(seen.bodies) >= {PLAYS["refused"].body, PLAYS["not JSON"].body}


def test_no_log_line_of_any_library_has_it(seen: Seen) -> None:
    """Every logger at DEBUG, those of the libraries too, and what their records carry along."""
    assert f"{__name__} DEBUG everything is kept" in seen.logs.getvalue()
    assert planted_in(seen.logs.getvalue()) == []


def test_no_output_has_it(seen: Seen) -> None:
    """Neither standard output nor standard error nor a warning."""
    assert planted_in(seen.output.getvalue() + "".join(seen.warnings)) == []


def test_no_exception_has_it(seen: Seen) -> None:
    """What goes up to the host, with all that led to it."""
    assert seen.exceptions
    assert planted_in("".join(seen.exceptions)) == []


def test_no_object_of_ours_shows_it(seen: Seen) -> None:
    """However an object is printed while an event is on its way: settings, event, call, answer, outcome."""
    shown = {kind.__name__ for kind in seen.objects}
    assert {
        "Delivery",
        "AcceptanceEvent",
        "Contact",
        "Attempt",
        "Envelope",
        "TokenSettings",
        "Call",
        "Response",
        "OutcomeEvent",
    } <= shown
    assert {kind.__name__: planted_in(text) for kind, text in seen.objects.items() if planted_in(text)} == {}


def test_nothing_beside_the_body_of_a_copy_has_it(seen: Seen) -> None:
    """A copy carries the event in its body alone: no property, id or description repeats a piece of it."""
    assert len(seen.copies) > 30
    assert planted_in("".join(seen.copies)) == []


def test_nothing_that_is_told_has_it(seen: Seen) -> None:
    """What publishers are told, body and all, names whose event it was and nothing of what was in it."""
    outcomes = {json.loads(told[told.index('{"specversion') :])["data"]["outcome"] for told in seen.told}
    assert outcomes == set(Ending) - {Ending.REPLAYED}
    assert len(seen.told) > 50
    assert planted_in("".join(seen.told)) == []


def test_nothing_that_was_sent_names_it_in_the_address(seen: Seen) -> None:
    """An address is logged by whatever it passes: values go in bodies, tokens in the header for them."""
    everywhere = [*seen.sent, *seen.asked_for_token]
    others = [
        (name, value) for asked in everywhere for name, value in asked.headers if name != "Authorization"
    ]
    assert planted_in("".join(asked.line for asked in everywhere) + str(others)) == []
