"""What docs/publishing.md says and shows is so: each example is read by its kind, each list is the code's."""

import base64
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tree_sitter_c_sharp
import typer
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from tree_sitter import Language, Node, Parser
from typer import Typer

from agreements import events, outcome_events, records, tables
from agreements.cli.app import app
from agreements.deliveries import Property
from agreements.errors import Actor, EventError, Reason
from agreements.events import AcceptanceEvent, Contact
from agreements.outcome_events import Advice, Ending, OutcomeData, OutcomeEvent
from local.parts import in_thread
from local.service_bus import Namespace, serve
from tests.test_samples import ACCEPTED
from tests.workflows import Run

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "publishing.md").read_text()
BLOCKS = re.findall(r"^```(\w+) ([\w-]+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
EXAMPLES: Mapping[tuple[str, str], str] = {(language, kind): text for language, kind, text in BLOCKS}
SECONDS = 10.0
ENTITIES: Mapping[str, object] = {
    "queues": [{"name": "agreement-acceptances"}],
    "topics": [{"name": "agreement-outcomes", "subscriptions": [{"name": "crm"}]}],
}
QUEUE, ID = "agreement-acceptances", "acceptance-4711"
EVENT = events.parse(EXAMPLES["json", "event"].encode())
SHORT = EVENT.model_copy(
    update={"primary_contact": EVENT.primary_contact.model_copy(update={"phone_number": None})}
)


def between(name: str) -> str:
    """Return what lies between the marks of a list that is made from the code."""
    return TEXT.split(f"<!-- {name} -->\n", 1)[1].split(f"<!-- /{name} -->", 1)[0]


# --- lists


def accepted() -> str:
    """Return the formats, by their samples."""
    rows = [f"| {sample.about} | [sample](samples/{sample.file}) |\n" for sample in ACCEPTED]
    return "".join(["| accepted | |\n|---|---|\n", *rows])


def reasons() -> str:
    """Return what a publisher can do wrong."""
    rows = [f"| `{of}` | {of.advice} |\n" for of in Reason if of.actor is Actor.PUBLISHER]
    return "".join(["| reason | advice |\n|---|---|\n", *rows])


MEANINGS: Mapping[Ending, str] = {
    Ending.CONFIRMED: "it is on record at Microsoft",
    Ending.RECOVERED: "it is on record: an earlier attempt had done it, and its answer was lost",
    Ending.DUPLICATE: "it was on record before; `reason` tells whether with the same data",
    Ending.REJECTED: "it cannot be confirmed as it is; `reason` tells why, `advice` what to do",
    Ending.DELAYED: "not yet: it is tried again by itself; told once, at the first delay",
    Ending.REPLAYED: "operations sent it again; its ending follows",
}


def outcomes() -> str:
    """Return what can become of an event."""
    rows = [f"| `{of}` | `{of.type}` | {MEANINGS[of]} | {'yes' if of.final else 'no'} |\n" for of in Ending]
    return "".join(["| `data.outcome` | `type` | what happened | final |\n|---|---|---|---|\n", *rows])


def fields() -> str:
    """Return every attribute of an outcome event and every field of its data, as the models have them."""
    rows = [
        f"| `{path}{field.alias}` | {field.description} | {'always' if field.default is not None else ''} |\n"
        for path, model in (("", OutcomeEvent), ("data.", OutcomeData))
        for field in model.model_fields.values()
    ]
    return "".join(["| attribute or field | | there |\n|---|---|---|\n", *rows])


@pytest.mark.parametrize("made", [accepted, reasons, outcomes, fields], ids=lambda made: made.__name__)
def test_a_list_is_the_codes(made: Callable[[], str]) -> None:
    """What publishers read of formats, reasons, outcomes and fields is what the code has now."""
    assert between(made.__name__) == made(), f"the list should read:\n{made()}"


def test_every_field_is_in_the_contract() -> None:
    """The table of the event has each field of the model, and tells which are required."""
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (required|optional)\b.*\|$", TEXT, re.MULTILINE)
    models: list[tuple[str, type[BaseModel]]] = [("", AcceptanceEvent), ("primaryContact.", Contact)]
    assert dict(rows) == {
        f"{path}{field.alias}": "required" if field.is_required() else "optional"
        for path, model in models
        for field in model.model_fields.values()
    }


def test_every_advice_is_explained() -> None:
    """Whoever branches on a code finds what to do, and no code that is never sent."""
    section = TEXT.split("| `data.advice` |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \| \w", section, re.MULTILINE) == list(map(str, Advice))


DATES, REFUSED_DATES = (
    re.findall(r"`([^`]+)`", part)
    for part in TEXT.split("### Dates", 1)[1].split(": each of them is", 1)[0].split("Refused are", 1)
)


@pytest.mark.parametrize("text", [*DATES, *REFUSED_DATES])
def test_a_date_is_read_as_the_page_says(text: str) -> None:
    """Every form of a date that it shows is read or refused as it says."""
    given = json.loads(EXAMPLES["json", "event"]) | {"dateAgreed": text}
    assert Draft202012Validator(events.json_schema()).is_valid(given) is (text in DATES)
    with suppress(EventError) if text in REFUSED_DATES else nullcontext():
        events.parse(json.dumps(given).encode())
        assert text in DATES


def test_every_link_leads_somewhere() -> None:
    """Files and headings that the page refers to exist."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        name, _, heading = target.partition("#")
        file = ROOT / "docs" / name if name else ROOT / "docs" / "publishing.md"
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles]


def test_every_command_is_real() -> None:
    """What the page has people type exists, as it can be given."""
    typed = re.findall(r"^agreements (.+)$", TEXT, re.MULTILINE)
    for words in typed:
        name, *given = shlex.split(words)
        commands(app)[name].make_context(name, given)
    named = set(re.findall(r"`agreements ([a-z]+)", TEXT))
    assert {"validate", "publish", "receipt", "schema", "trace"} <= named
    assert named <= set(commands(app))


def commands(of: Typer) -> Mapping[str, Any]:
    """Return the commands at the top of the CLI."""
    group: Any = typer.main.get_command(of)
    found: Mapping[str, Any] = group.commands
    return found


# --- JSON


def test_every_example_is_checked() -> None:
    """No block of code is on the page that no test here reads, and no two share a name."""
    fences = re.findall(r"^```(\w.*)$", TEXT, re.MULTILINE)
    assert [f"{language} {kind}" for language, kind, _ in BLOCKS] == fences
    assert set(fences) == CHECKED


CHECKED = {
    "json event",
    "json structured",
    "csv table",
    "json outcome",
    "json subscription",
    "sh rules",
    "sh rights",
    "sh request",
    "python publisher",
    "python subscriber",
    "python keeping",
    "js publisher",  # both run by make conformance
    "js subscriber",
    "csharp publisher",
    "json flow-dataverse",
    "json workflow-http",
    "json workflow-salesforce",
}


def test_the_event_is_valid_and_read() -> None:
    """The first example is valid by the schema and an event here."""
    Draft202012Validator(events.json_schema()).validate(json.loads(EXAMPLES["json", "event"]))
    assert EVENT.primary_contact.phone_number


def test_the_cloud_event_is_read() -> None:
    """The envelope holds the same event, without the phone number."""
    found = events.parse(EXAMPLES["json", "structured"].encode(), "application/cloudevents+json")
    assert found == SHORT


def test_the_table_holds_the_event(tmp_path: Path) -> None:
    """The columns of the CSV are found by their names, and its row is the event."""
    file = tmp_path / "acceptances.csv"
    file.write_text(EXAMPLES["csv", "table"])
    now = EVENT.date_agreed.instant
    [record] = records.read(records.Reading(path=file, format=records.Format.CSV, now=now), tables.Told())
    assert record.acceptance
    assert AcceptanceEvent.model_validate(record.acceptance.data) == EVENT


def test_the_outcome_is_one() -> None:
    """The example of an outcome follows the published schema, and our own model reads the same of it."""
    example = json.loads(EXAMPLES["json", "outcome"])
    schema = outcome_events.json_schema()
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)
    assert json.loads(OutcomeEvent.model_validate(example).body()) == example
    assert {of: of.advice for of in Reason}[example["data"]["reason"]] == example["data"]["adviceText"]


def test_the_subscription_can_be_provisioned() -> None:
    """The local broker takes a subscription of that shape, which it reads as infra/service-bus.json.

    What nobody reads leaves it by time: in its dead-letter queue it would stay for ever, and fill the topic.
    """
    subscription = json.loads(EXAMPLES["json", "subscription"])
    assert "defaultMessageTimeToLive" in subscription["properties"]
    assert not subscription["properties"]["deadLetteringOnMessageExpiration"]
    topic = {"name": "agreement-outcomes", "subscriptions": [subscription]}
    assert list(Namespace.from_dict({"topics": [topic]}))


def test_the_filters_name_what_there_is() -> None:
    """A filter's properties are those that outcomes carry, and its values occur."""
    filters = re.findall(r'--filter-sql-expression "(\w+) (?:NOT )?IN \(([^)]*)\)"', EXAMPLES["sh", "rules"])
    assert {name for name, _ in filters} == {Property.OUTCOME, Property.REASON}
    for name, values in filters:
        known = set(map(str, Ending if name == Property.OUTCOME else Reason))
        assert set(re.findall(r"'([^']*)'", values)) <= known


@pytest.mark.parametrize("kind", ["rules", "rights"])
def test_the_commands_name_what_is_provisioned(kind: str) -> None:
    """The queue, the topic and the roles in the commands are those of infra/."""
    for command in EXAMPLES["sh", kind].replace("\\\n", " ").splitlines():
        words = shlex.split(command)
        options = dict(pairwise(words))
        assert words[0] == "az"
        if kind == "rules":
            assert options["--topic-name"] == "agreement-outcomes"
        else:
            place = options["--scope"].split("/Microsoft.ServiceBus/namespaces/NAMESPACE/")[1]
            sends = place == f"queues/{QUEUE}"
            assert options["--role"] == f"Azure Service Bus Data {'Sender' if sends else 'Receiver'}"
            assert sends or place == "topics/agreement-outcomes/subscriptions/crm"


# --- programs

# What may be told of one event, a second after the other.
TOLD = [
    {"time": f"2026-09-14T07:30:0{second}Z", "data": {"outcome": str(of), "final": of.final}}
    for second, of in enumerate(Ending)
]


@pytest.fixture(scope="module")
def bus() -> Iterator[SimpleNamespace]:
    """Serve the queue and the topic, open at both ends."""
    with in_thread(lambda: serve(Namespace.from_dict(ENTITIES))) as environment, ExitStack() as stack:
        client = stack.enter_context(
            ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0)
        )
        yield SimpleNamespace(
            sender=stack.enter_context(client.get_queue_sender(QUEUE)),
            taken=stack.enter_context(client.get_queue_receiver(QUEUE)),
            outcomes=stack.enter_context(client.get_topic_sender("agreement-outcomes")),
            told=stack.enter_context(
                client.get_subscription_receiver("agreement-outcomes", "crm", max_wait_time=1)
            ),
        )


def program(kind: str) -> dict[str, Any]:
    """Return what a Python example defines; what it does as a program is not run."""
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(EXAMPLES["python", kind], f"publishing.md, {kind}", "exec"), found)  # noqa: S102 - our own page
    return found


@pytest.mark.parametrize("count", [1, 700], ids=["one", "more than a batch"])
def test_the_python_publisher_publishes(bus: SimpleNamespace, count: int) -> None:
    """Each acceptance arrives as a message of its own, with its id, also where a batch does not hold all."""
    example = program("publisher")
    given = json.loads(EXAMPLES["json", "event"]) | {"padding": "x" * (1000 if count > 1 else 0)}
    example["publish"](bus.sender, (example["message"](f"{ID}-{n}", given) for n in range(count)))
    ids: list[str | None] = []
    while len(ids) < count:
        received = bus.taken.receive_messages(100, max_wait_time=SECONDS)
        assert received
        for each in received:
            assert events.parse(b"".join(each.body), each.content_type) == EVENT
            ids.append(each.message_id)
            bus.taken.complete_message(each)
    assert sorted(map(str, ids)) == sorted(f"{ID}-{n}" for n in range(count))


def test_the_python_program_sends_the_event() -> None:
    """The acceptance in the program's own part is an event, and its id is the page's."""
    source = EXAMPLES["python", "publisher"]
    literal = source.split("acceptance = ", 1)[1].split("\n    with (", 1)[0]
    assert events.parse(json.dumps(eval(literal)).encode()) == SHORT  # noqa: S307 - our own page
    assert f'message("{ID}", acceptance)' in source
    assert f'client.get_queue_sender("{QUEUE}")' in source


def test_the_python_subscriber_notes_what_is_told(bus: SimpleNamespace) -> None:
    """It hands over each outcome and completes it then: nothing is left in the subscription."""
    body = EXAMPLES["json", "outcome"]
    bus.outcomes.send_messages([ServiceBusMessage(body), ServiceBusMessage(body)], timeout=SECONDS)
    noted: list[Mapping[str, object]] = []
    program("subscriber")["listen"](bus.told, noted.append)
    assert noted == [json.loads(body)] * 2
    assert not bus.told.peek_messages()


@settings(deadline=None)
@given(st.permutations(TOLD * 2), st.integers(1, 2 * len(TOLD)))
def test_what_is_kept_is_the_truth(arrived: list[dict[str, Any]], count: int) -> None:
    """In whatever order it is told, and however often: what is on record is kept, else the last ending."""
    keep, known, kept = program("keeping")["kept"], arrived[:count], None
    for told in known:
        kept = keep(kept, told)
    recorded = [told for told in known if told["data"]["outcome"] in ("confirmed", "recovered", "duplicate")]
    final = [told for told in known if told["data"]["final"]]
    assert kept in (recorded or final or known)
    assert kept == max(recorded or final or known, key=lambda told: datetime.fromisoformat(told["time"]))


def test_the_csharp_is_one_and_holds_the_event() -> None:
    """It parses as C#, and the object in it is the event, field by field; it is compiled nowhere."""
    tree = Parser(Language(tree_sitter_c_sharp.language())).parse(EXAMPLES["csharp", "publisher"].encode())
    assert not tree.root_node.has_error
    first = next(_below(tree.root_node, "anonymous_object_creation_expression"))
    assert events.parse(json.dumps(_object(first)).encode()) == SHORT
    assert {f'"{QUEUE}"', f'"{ID}"'} <= {_said(node) for node in _below(tree.root_node, "string_literal")}


def _below(node: Node, kind: str) -> Iterator[Node]:
    for child in node.children:
        if child.type == kind:
            yield child
        yield from _below(child, kind)


def _said(node: Node) -> str:
    return (node.text or b"").decode()


def _object(node: Node) -> dict[str, object]:
    values = iter(child for child in node.named_children if child.type != "comment")
    return {_said(name): _value(value) for name, value in zip(values, values, strict=True)}


def _value(node: Node) -> object:
    if node.type == "anonymous_object_creation_expression":
        return _object(node)
    assert node.type == "string_literal", node.type
    return json.loads(_said(node))


def test_the_rest_request_is_an_event() -> None:
    """Its headers are those of the API and its body is the event."""
    token, request = EXAMPLES["sh", "request"].replace("\\\n", " ").split("\ncurl ", 1)
    assert "--resource https://servicebus.azure.net " in token
    words = shlex.split(request)
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "--header")
    options = dict(pairwise(words))
    assert words[1] == f"https://contoso.servicebus.windows.net/{QUEUE}/messages"
    assert headers["Authorization"] == "Bearer $TOKEN"
    assert json.loads(headers["BrokerProperties"])["MessageId"] == ID
    assert events.parse(options["--data-binary"].encode(), headers["Content-Type"]) == SHORT


# --- flows


ROWS: Mapping[str, Mapping[str, Any]] = {
    "flow-dataverse": {
        "body": {
            "contoso_acceptanceid": ID,
            "contoso_customertenantid": str(EVENT.customer_tenant_id),
            "contoso_agreedon": "2026-09-14T07:30:00Z",
            "contoso_firstname": "Tania",
            "contoso_lastname": "Carr",
            "contoso_email": "tania.carr@example.com",
            "contoso_phone": None,
        }
    },
    "workflow-http": {
        "headers": {"x-acceptance-id": ID},
        "body": json.loads(EXAMPLES["json", "structured"])["data"],
    },
    "workflow-salesforce": {
        "body": {
            "Id": ID,
            "Customer_Tenant_Id__c": str(EVENT.customer_tenant_id),
            "Agreed_On__c": "2026-09-14T07:30:00.000+0000",
            "Signer_First_Name__c": "Tania",
            "Signer_Last_Name__c": "Carr",
            "Signer_Email__c": "tania.carr@example.com",
            "Signer_Phone__c": None,
        }
    },
}


def sent(kind: str) -> tuple[str, Mapping[str, Any]]:
    """Run the actions of a flow in their order; return where its message goes, and the message."""
    run, inputs = Run(ROWS[kind]), {}
    for name, action in in_order(json.loads(EXAMPLES["json", kind])):
        inputs = run.value(action["inputs"])
        run.outputs[name] = inputs
    if "parameters" in inputs:
        message = {key.removeprefix("message/"): value for key, value in inputs["parameters"].items()}
        return message["entityName"], message
    return inputs["path"], inputs["body"]


def in_order(actions: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    """Return actions so that each comes after those that it runs after."""
    assert all(set(action["runAfter"]) <= set(actions) for action in actions.values())
    return sorted(actions.items(), key=lambda named: len(named[1]["runAfter"]))


@pytest.mark.parametrize("kind", ROWS)
def test_the_message_of_a_flow_is_the_event(kind: str) -> None:
    """What the connector is given decodes to the event: body, content type, id and queue."""
    place, message = sent(kind)
    body = base64.b64decode(message["ContentData"], validate=True)
    assert events.parse(body, message["ContentType"]) == SHORT
    assert (place.removeprefix("/").removesuffix("/messages"), message["MessageId"]) == (QUEUE, ID)
    row = ROWS[kind]["body"]
    used = set(re.findall(r"(?:body/)?(contoso_\w+|\w+__c)'", EXAMPLES["json", kind]))
    assert used <= set(row)
