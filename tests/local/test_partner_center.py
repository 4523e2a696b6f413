import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import requests

from local import steering
from local.calls import Calls
from local.entra import Directory, Registration, control
from local.entra.control import SignInRule
from local.entra.directory import Conditions
from local.faults import Faults
from local.partner_center import options, serve
from local.partner_center.__main__ import main
from local.partner_center.options import Choice, Options
from local.parts import in_thread
from tests.local.documented import DUPLICATE, TEMPLATE_ID, confirmation
from tests.local.partner import Api

CLOUD_TEMPLATE_ID = "998b88de-aa99-4388-a42c-1b3517d49490"


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    """Serve both parts, and lead to them."""
    with in_thread(lambda: serve(seed=1)) as variables:
        yield variables


@pytest.fixture(scope="module")
def session(environment: Mapping[str, str]) -> Iterator[Api]:
    """Sign in once."""
    api = Api(environment)
    with api.session:
        yield api


@pytest.fixture
def api(session: Api) -> Iterator[Api]:
    """Lend the session to one test, and clear its faults afterwards."""
    yield session
    assert session.call("DELETE", "/_control/faults").status_code == 204


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", {CLOUD_TEMPLATE_ID}), ("?agreementType=*", {CLOUD_TEMPLATE_ID, TEMPLATE_ID})],
)
def test_metadata_without_a_type_is_the_old_agreements(api: Api, query: str, expected: set[str]) -> None:
    """Leaving out the type means the Cloud agreement; an asterisk means every type."""
    document = api.call("GET", f"/v1/agreements{query}").json()
    assert document["totalCount"] == len(expected)
    assert {item["templateId"] for item in document["items"]} == expected


def test_the_same_contact_again_is_a_duplicate(api: Api) -> None:
    """The same four fields again, even with another date, get 600061 exactly as documented."""
    customer = uuid4()
    assert api.confirm(customer, confirmation()).status_code == 201
    again = api.confirm(customer, {**confirmation(), "dateAgreed": "2023-04-02T00:00:00Z"})
    assert (again.status_code, again.json()) == (400, DUPLICATE)
    assert len(api.ledger(customer)) == 1


@pytest.mark.parametrize("field", ["firstName", "lastName", "email", "phoneNumber"])
def test_any_difference_in_the_contact_is_another_agreement(api: Api, field: str) -> None:
    """A change of any of the four fields makes a new agreement of the same customer."""
    customer, other = uuid4(), confirmation()
    other["primaryContact"][field] += "x"
    assert [api.confirm(customer, one).status_code for one in (confirmation(), other)] == [201, 201]


def test_confirmations_are_listed_in_an_envelope(api: Api) -> None:
    """A confirmation is read back with its link, without a zone, and without the user."""
    customer = uuid4()
    api.confirm(customer, confirmation())
    assert api.agreements(customer, "MicrosoftCustomerAgreement") == {
        "totalCount": 1,
        "items": [
            {
                **confirmation(),
                "dateAgreed": "2018-06-14T00:00:00",
                "agreementLink": "https://aka.ms/customeragreement",
            }
        ],
    }


def test_listing_without_a_type_shows_the_old_agreement_only(api: Api) -> None:
    """Who forgets the type sees nothing of the Microsoft Customer Agreement: an empty envelope."""
    customer, cloud = uuid4(), {**confirmation(), "templateId": CLOUD_TEMPLATE_ID}
    api.confirm(customer, confirmation())
    assert api.agreements(customer, None) == {"totalCount": 0, "items": []}
    api.confirm(customer, {**cloud, "type": "MicrosoftCloudAgreement"})
    types = [item["type"] for item in api.agreements(customer, None)["items"]]
    assert types == ["MicrosoftCloudAgreement"]
    assert api.agreements(customer, "*")["totalCount"] == 2


@pytest.mark.parametrize(
    "path", ["/v1/agreements", "/v1/customers/5d6bb8a8-2c5f-4c38-9b0d-0a3f4f2a7c10/agreements"]
)
def test_an_agreement_type_that_does_not_exist_is_refused(api: Api, path: str) -> None:
    """An unknown type in a query is refused with 400 and code 900126."""
    answer = api.call("GET", path, params={"agreementType": "SomeOtherAgreement"})
    assert (answer.status_code, answer.json()["code"]) == (400, 900126)


@pytest.mark.parametrize(
    ("customer", "signed"),
    [("dddddddd-0000-4000-8000-000000000000", True), ("11111111-0000-4000-8000-000000000000", False)],
)
def test_a_direct_acceptance_is_one_flag(api: Api, customer: str, signed: bool) -> None:
    """The answer says nothing but whether the customer accepted directly; by their ids, some have."""
    answer = api.call("GET", f"/v1/customers/{customer}/directSignedMicrosoftCustomerAgreementStatus")
    assert (answer.status_code, answer.json()) == (200, {"isSigned": signed})


def test_tomorrow_is_refused(api: Api) -> None:
    """An acceptance ahead of the server's clock gets 600002 with the observed text."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    answer = api.confirm(uuid4(), {**confirmation(), "dateAgreed": tomorrow.isoformat()})
    assert (answer.status_code, answer.json()["code"]) == (400, 600002)
    assert answer.json()["message"] == "Date of agreement cannot be greater than the current date."


@pytest.mark.parametrize(
    ("customer", "status", "code"),
    [
        ("00000000-0000-0000-0000-000000000001", 404, 60002),
        ("FFFFFFFF-0000-0000-0000-000000000001", 403, 20002),
        ("contoso.onmicrosoft.com", 400, 900118),
        ("1487699814876998148769981487699a", 400, 900118),
        ("{14876998-c0dc-46e6-9d0c-65a57a6c32ec}", 400, 900118),
    ],
)
def test_customers_that_cannot_be_served(api: Api, customer: str, status: int, code: int) -> None:
    """Unknown customers, other partners' customers and ids that are no GUIDs are refused on both verbs."""
    path = f"/v1/customers/{customer}/agreements"
    for answer in (api.confirm(customer, confirmation()), api.call("GET", path)):
        assert answer.status_code == status
        assert answer.json()["code"] == code
        assert set(answer.json()) == {"code", "description", "data", "source"}


def test_a_customer_id_is_one_in_any_case(api: Api) -> None:
    """GUIDs do not differ by the case of their letters, so neither do customers."""
    customer = uuid4()
    statuses = [
        api.confirm(text, confirmation()).status_code for text in (str(customer), str(customer).upper())
    ]
    assert statuses == [201, 400]


@pytest.mark.parametrize("header", [None, "Bearer another", "Basic dXNlcjpzZWNyZXQ=", ""])
def test_without_a_token_of_ours_nothing_is_answered(api: Api, header: str | None) -> None:
    """No token, or one that this Entra never issued, is 401 on every call."""
    path = f"/v1/customers/{uuid4()}/agreements"
    for verb, where in (("GET", "/v1/agreements"), ("GET", path), ("POST", path)):
        answer = api.call(verb, where, headers={"Authorization": header}, json=confirmation())
        assert (answer.status_code, answer.json()["code"]) == (401, 800001)


def test_other_paths_and_verbs_do_not_exist(api: Api) -> None:
    """Whatever is not part of the agreements API is 404, or 405 where only the verb is wrong."""
    assert api.call("GET", "/v1/customers").status_code == 404
    assert api.call("DELETE", f"/v1/customers/{uuid4()}/agreements").status_code == 405


def test_every_answer_carries_the_headers_of_support(api: Api) -> None:
    """Ids are made where the caller sent none, differ by call, and stand on errors too."""
    answers = [api.call("GET", "/v1/agreements"), api.call("GET", "/v1/nothing"), api.confirm("x", {})]
    names = ("MS-RequestId", "MS-CorrelationId", "MS-CV", "MS-ServerId", "Request-Context", "X-Locale")
    assert all(name in answer.headers for answer in answers for name in names)
    assert len({UUID(answer.headers["MS-RequestId"]) for answer in answers}) == 3


def test_the_ledger_tells_each_record_and_the_call_that_brought_it(api: Api) -> None:
    """The ledger shows the agreement as posted, the customer, both ids and the time."""
    customer, before = uuid4(), datetime.now(UTC)
    api.confirm(customer, confirmation(), MS_RequestId="the-request", MS_CorrelationId="the-correlation")
    (line,) = api.ledger(customer)
    assert before <= datetime.fromisoformat(line.pop("recordedAt")) <= datetime.now(UTC)
    assert line == {
        "customerTenantId": str(customer),
        "userId": "3d6f2c09-eb40-48ca-a4b3-d24c9c007531",
        **confirmation(),
        "requestId": "the-request",
        "correlationId": "the-correlation",
    }


def test_calls_are_counted_by_route_and_by_body() -> None:
    """Counts go by method, route template and status; bodies are told apart by digest, with their ids."""
    with in_thread(lambda: serve()) as variables:
        api = Api(variables)
        with api.session:
            first, second = uuid4(), uuid4()
            for customer, request_id in ((first, "1"), (first, "1"), (first, "2"), (second, "3")):
                api.confirm(customer, confirmation(), MS_RequestId=request_id)
            counted = api.call("GET", "/_control/calls").json()
    route = "/v1/customers/{customer}/agreements"
    assert counted["calls"] == [
        {"method": "POST", "route": route, "status": 201, "count": 2},
        {"method": "POST", "route": route, "status": 400, "count": 2},
    ]
    assert [(body["posts"], body["requestIds"]) for body in counted["bodies"]] == [(3, 2), (1, 1)]
    assert "Tania" not in json.dumps(counted)


def test_a_fault_answers_in_place_of_the_api(api: Api) -> None:
    """A fault's status, headers and body reach the caller; nothing is recorded."""
    customer = uuid4()
    body = {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 57 seconds."}
    api.faults({"method": "POST", "status": 429, "headers": {"Retry-After": "57"}, "body": body})
    throttled = api.confirm(customer, confirmation())
    assert (throttled.status_code, throttled.json()) == (429, body)
    assert throttled.headers["Retry-After"] == "57"
    assert api.ledger(customer) == []
    assert api.confirm(customer, confirmation()).status_code == 201


def test_a_fault_may_answer_with_text_or_nothing(api: Api) -> None:
    """Bodies that are not JSON reach the caller as they are: plain text, and none at all."""
    api.faults({"status": 403, "body": "The supplied role does not have the rights"}, {"status": 401})
    assert api.call("GET", "/v1/agreements").text == "The supplied role does not have the rights"
    assert api.call("GET", "/v1/agreements").content == b""


@pytest.mark.parametrize(("drop", "recorded"), [("before", 0), ("after", 1)])
def test_a_cut_line_gives_no_answer(api: Api, drop: str, recorded: int) -> None:
    """The caller cannot tell whether its call was lost before the API saw it or after it was recorded."""
    customer = uuid4()
    api.faults({"pathContains": str(customer), "drop": drop})
    with pytest.raises(requests.ConnectionError):
        api.confirm(customer, confirmation())
    assert len(api.ledger(customer)) == recorded
    assert api.confirm(customer, confirmation()).status_code == (400 if recorded else 201)


def test_a_delay_alone_lets_the_call_through(api: Api) -> None:
    """A caller that gives up during the delay does not stop the write: it is recorded after all."""
    customer = uuid4()
    api.faults({"method": "POST", "delaySeconds": 0.2})
    with pytest.raises(requests.ReadTimeout):
        api.session.post(
            f"{api.url}/v1/customers/{customer}/agreements", json=confirmation(), timeout=(60, 0.05)
        )
    deadline = time.monotonic() + 60
    while not api.ledger(customer):
        assert time.monotonic() < deadline


def test_faults_that_cannot_be_read_change_nothing(api: Api) -> None:
    """An unknown key is refused by name, and the rules before it stay in force."""
    api.faults({"status": 503})
    refused = api.call("PUT", "/_control/faults", json=[{"sttus": 500}])
    assert refused.status_code == 400
    assert "sttus" in refused.json()["error"]
    assert api.call("GET", "/v1/agreements").status_code == 503


def test_faults_are_cleared(api: Api) -> None:
    """After DELETE every call is served; steering itself meets no fault."""
    api.faults({"times": None, "status": 503})
    assert api.call("GET", "/v1/agreements").status_code == 503
    assert api.call("DELETE", "/_control/faults").status_code == 204
    assert api.call("GET", "/v1/agreements").status_code == 200


def test_a_repeated_request_id_is_no_protection(api: Api) -> None:
    """By default the id of a recorded call repeated is a duplicate like any other."""
    customer = uuid4()
    statuses = [api.confirm(customer, confirmation(), MS_RequestId="1").status_code for _ in range(2)]
    assert statuses == [201, 400]


def test_a_repeated_request_id_may_repeat_the_answer() -> None:
    """Asked to repeat, the API gives the first answer again to the same id and body, and records once."""
    customer, other = uuid4(), confirmation()
    other["primaryContact"]["firstName"] = "Tanja"
    with in_thread(lambda: serve(options=Options(replay="repeat"))) as variables:
        api = Api(variables)
        with api.session:
            first, again = (api.confirm(customer, confirmation(), MS_RequestId="1") for _ in range(2))
            assert (again.status_code, again.json()) == (201, first.json())
            assert api.confirm(customer, confirmation(), MS_RequestId="2").json() == DUPLICATE
            assert api.confirm(customer, other, MS_RequestId="1").json()["primaryContact"] != first.json()
            assert len(api.ledger(customer)) == 2


def test_many_at_once_are_recorded_once(environment: Mapping[str, str]) -> None:
    """Of equal confirmations sent at the same time over many connections exactly one is recorded."""
    customer = uuid4()

    def confirm(_: int) -> int:
        api = Api(environment)
        with api.session:
            return api.confirm(customer, confirmation()).status_code

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(confirm, range(12))) == [201] + [400] * 11


PORTS = {
    "--port": "PARTNER_CENTER_URL",
    "--entra-port": "PARTNER_AUTHORITY_URL",
    "--key-vault-port": "KEY_VAULT_URL",
    "--identity-port": "IDENTITY_ENDPOINT",
}
FREE = [f"{option}=0" for option in PORTS]


@contextmanager
def program(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Start the part as a program of its own, and wait for its end."""
    command = [sys.executable, "-m", "local.partner_center", "--until-stdin-closes", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        yield process


def announced(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read the environment that a program announces."""
    assert process.stdout
    environment = json.loads(process.stdout.readline())["environment"]
    assert isinstance(environment, dict)
    return environment


def test_a_restarted_program_is_found_and_believed_as_before(tmp_path: Path) -> None:
    """Killed and started again on its ports with its certificates, it serves clients of the first one."""
    with program(*FREE, f"--certificates={tmp_path}", "--credential=managed-identity") as first:
        environment = announced(first)
        first.kill()
    ports = [f"{option}={urlsplit(environment[name]).port}" for option, name in PORTS.items()]
    with program(*ports, f"--certificates={tmp_path}", "--credential=managed-identity") as second:
        assert announced(second) == environment
        assert second.communicate(input="", timeout=60) == ("", "")
    assert second.returncode == 0


def test_a_token_outlives_a_restart(tmp_path: Path) -> None:
    """What was signed before a kill is believed after it, as it is when a real service is deployed anew."""
    with program(*FREE, f"--certificates={tmp_path}") as first:
        environment = announced(first)
        api = Api(environment)
        first.kill()
    ports = [f"{option}={urlsplit(environment.get(name, '')).port or 0}" for option, name in PORTS.items()]
    with api.session, program(*ports, f"--certificates={tmp_path}") as second:
        announced(second)
        assert api.call("GET", "/v1/agreements").status_code == 200
        second.communicate(input="", timeout=60)
    assert second.returncode == 0


@pytest.mark.parametrize("option", PORTS)
def test_a_taken_port_ends_the_program_with_one_line(option: str) -> None:
    """A port that is in use is no traceback: one line on standard error, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program(*FREE, f"{option}={port}") as process:
            # Its standard input stays open: to close it would be to ask for the end.
            assert process.stderr
            told = process.stderr.read()
    assert process.returncode == 1
    assert told.count("\n") == 1
    assert "name another port" in told


def test_help_teaches_the_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` names every key that a rule and the directory may have, and every route that steers."""
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    models = SignInRule, Conditions, Options
    fields = [field for model in models for field in model.model_fields.values()]
    assert all(field.alias in told for field in fields if field.alias)
    routes = [
        *steering.routes(Faults(), Calls()),
        *options.routes(Choice()),
        *control.routes(Directory(Registration()), Counter()),
    ]
    assert all(re.search(rf"{route.method} +{route.path} ", told) for route in routes)
