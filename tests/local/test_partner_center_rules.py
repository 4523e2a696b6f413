"""The rules of Partner Center that may be chosen, over the wire; those of duplicates are with the ledger."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from local import control
from local.entra import PARTNER_CENTER, Registration, SigningKey
from local.partner_center import serve
from local.partner_center.__main__ import main
from local.partner_center.documents import LINK_SECONDS, Links
from local.partner_center.ledger import TEMPLATES
from local.partner_center.options import InvalidOptionsError, Options, read
from local.partner_center.refusals import RefusedError
from local.parts import in_thread
from tests.local.documented import TEMPLATE_ID, confirmation
from tests.local.partner import Api

CUSTOMER_TYPE = "MicrosoftCustomerAgreement"
DOCUMENT = f"/v1/agreementtemplates/{TEMPLATE_ID}/document"


@pytest.fixture(scope="module")
def session() -> Iterator[Api]:
    """Sign in once."""
    with in_thread(lambda: serve(credential="managed-identity")) as environment:
        with_secret = {**environment, **secret_of(environment)}
        api = Api(with_secret)
        with api.session:
            yield api


def secret_of(environment: Mapping[str, str]) -> dict[str, str]:
    registration = Registration()
    return {
        "PARTNER_CLIENT_SECRET": registration.client_secret,
        "PARTNER_REFRESH_TOKEN": registration.refresh_token,
    }


@pytest.fixture
def api(session: Api) -> Iterator[Api]:
    """Lend the session to one test, and choose the defaults again afterwards."""
    yield session
    session.choose(**Options().model_dump(by_alias=True))
    session.call("DELETE", "/_control/faults")


def error_of(answer: requests.Response) -> tuple[int, object]:
    """Return the status and the code of an answer."""
    return answer.status_code, answer.json()["code"]


def test_no_agreement_may_be_an_error(api: Api) -> None:
    """A customer without agreements is an empty envelope by default, else 600009 as in Microsoft's sample."""
    path = f"/v1/customers/{uuid4()}/agreements?agreementType={CUSTOMER_TYPE}"
    assert api.call("GET", path).json() == {"totalCount": 0, "items": []}
    api.choose(noAgreement="600009", noAgreementStatus=400)
    assert error_of(api.call("GET", path)) == (400, 600009)


def test_an_agreement_may_be_listed_late(api: Api) -> None:
    """Within the delay after its 201 an agreement is not read back, though it is a duplicate already."""
    customer = uuid4()
    api.choose(readDelaySeconds=3600)
    assert api.confirm(customer, confirmation()).status_code == 201
    assert api.agreements(customer, CUSTOMER_TYPE)["items"] == []
    assert error_of(api.confirm(customer, confirmation())) == (400, 600061)
    api.choose(readDelaySeconds=0)
    assert len(api.agreements(customer, CUSTOMER_TYPE)["items"]) == 1


@pytest.mark.parametrize(
    ("shape", "body"),
    [("empty", ""), ("text", "This API is no longer supported."), ("A", "source"), ("B", "errorName")],
)
def test_confirming_may_be_retired(api: Api, shape: str, body: str) -> None:
    """Every POST of an agreement is refused as chosen, and reading goes on."""
    customer = uuid4()
    api.choose(retiredStatus=410, retiredBody=shape)
    answer = api.confirm(customer, confirmation())
    assert answer.status_code == 410
    assert (body in answer.json()) if shape in "AB" else (body == answer.text)
    assert api.agreements(customer, CUSTOMER_TYPE)["totalCount"] == 0
    assert api.ledger(customer) == []


@pytest.fixture
def without_mfa(api: Api) -> Iterator[Api]:
    """A token of a consent that was given without MFA."""
    control.change_directory(api.environment, mfa=False)
    token = control.ask(api.environment, "PARTNER_AUTHORITY_URL", "POST", "refresh-tokens")["refreshToken"]
    before = api.environment
    api.environment = {**before, "PARTNER_REFRESH_TOKEN": token}
    api.sign_in()
    yield api
    control.change_directory(api.environment, mfa=True)
    api.environment = before
    api.sign_in()


def test_a_token_without_mfa_is_refused_in_one_way_or_another(without_mfa: Api) -> None:
    """900421 in shape A or B; or, as in 2019, an empty 401 that says it in its reason and its challenge."""
    answers = []
    for how in ("A", "B", "2019"):
        without_mfa.choose(mfaAnswer=how)
        answers.append(without_mfa.call("GET", "/v1/agreements"))
    first, second, old = answers
    assert [error_of(one) for one in (first, second)] == [(401, 900421)] * 2
    assert "source" in first.json()
    assert "errorName" in second.json()
    assert (old.status_code, old.reason, old.content) == (401, "Unauthorized - MFA required", b"")
    assert old.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_whether_a_token_has_mfa_is_told_on_request(api: Api) -> None:
    """Who sends ValidateMfa is told isMfaCompliant, in a header or in the body; nobody else is."""
    asked = {"ValidateMfa": "true"}
    in_header = api.call("GET", "/v1/agreements", headers=asked)
    assert in_header.headers["isMfaCompliant"] == "true"
    assert "isMfaCompliant" not in api.call("GET", "/v1/agreements").headers
    api.choose(mfaCompliance="body")
    assert api.call("GET", "/v1/agreements", headers=asked).json() == {
        **in_header.json(),
        "isMfaCompliant": True,
    }
    api.choose(mfaCompliance="absent")
    silent = api.call("GET", "/v1/agreements", headers=asked)
    assert "isMfaCompliant" not in silent.headers
    assert silent.json() == in_header.json()


def test_a_token_without_mfa_is_told_so(without_mfa: Api) -> None:
    """The refusal itself tells that the token is not compliant."""
    answer = without_mfa.call("GET", "/v1/agreements", headers={"ValidateMfa": "true"})
    assert (answer.status_code, answer.headers["isMfaCompliant"]) == (401, "false")


@pytest.mark.parametrize(
    ("caller", "text"),
    [
        ("other-role", "The supplied role does not have the rights to perform the requested operation"),
        ("indirect-reseller", ""),
    ],
)
def test_who_may_not_attest_gets_403_without_a_code(api: Api, caller: str, text: str) -> None:
    """Plain text for the wrong role, nothing at all for an indirect reseller, on every call."""
    api.choose(caller=caller)
    for answer in (api.confirm(uuid4(), confirmation()), api.call("GET", "/v1/agreements")):
        assert (answer.status_code, answer.text) == (403, text)


def test_a_token_without_a_user_is_refused(tmp_path: Path) -> None:
    """The whole API is App+User: an app's own token gets 403 with 900329."""
    with in_thread(lambda: serve(certificates=tmp_path)) as environment:
        key, tenant = SigningKey.kept_in(tmp_path), environment["PARTNER_TENANT_ID"]
        ends = int(time.time()) + 600
        claims = {"aud": PARTNER_CENTER, "oid": str(uuid4()), "tid": tenant, "idtyp": "app", "exp": ends}
        api = Api(environment)
        with api.session:
            own = {"Authorization": f"Bearer {key.sign(claims)}"}
            assert error_of(api.call("GET", "/v1/agreements", headers=own)) == (403, 900329)


def test_a_budget_throttles_and_refills(api: Api) -> None:
    """Beyond the burst calls get 429 until the budget is choosen anew; steering and the page go on."""
    api.choose(callsPerSecond=0.001, burst=2)
    statuses = [api.call("GET", "/v1/agreements").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert api.call("GET", "/").status_code == 200
    api.choose(callsPerSecond=None)
    assert api.call("GET", "/v1/agreements").status_code == 200


def test_a_customer_may_have_a_budget_of_its_own(api: Api) -> None:
    """Where budgets are the customers', one that is used up stops nobody else."""
    api.choose(callsPerSecond=0.001, burst=1, budget="customer", retryAfterSeconds=7)
    one, other = uuid4(), uuid4()
    assert [api.confirm(who, confirmation()).status_code for who in (one, other)] == [201, 201]
    refused = api.confirm(str(one).upper(), confirmation())
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")


def test_a_recorded_request_id_may_be_forgotten(api: Api) -> None:
    """After its time an MS-RequestId, sent again, is a duplicate like any other."""
    customer = uuid4()
    api.choose(replay="repeat")
    assert [api.confirm(customer, confirmation(), MS_RequestId="1").status_code for _ in "12"] == [201, 201]
    api.choose(replay="repeat", replaySeconds=0)
    assert error_of(api.confirm(customer, confirmation(), MS_RequestId="1")) == (400, 600061)


def test_an_answer_may_be_late_though_the_work_is_done(api: Api) -> None:
    """The agreement is on record when the caller has given up waiting."""
    customer, patience = uuid4(), (10, 0.2)
    api.faults({"method": "POST", "answerDelaySeconds": 1})
    with pytest.raises(requests.ReadTimeout):
        api.session.post(
            f"{api.url}/v1/customers/{customer}/agreements", json=confirmation(), timeout=patience
        )
    assert len(api.ledger(customer)) == 1
    deadline = time.monotonic() + 60
    while str(customer) not in api.call("GET", "/").text.partition("last")[2]:
        assert time.monotonic() < deadline, "the call never came to its end"


def test_a_way_that_nobody_can_describe_answers_as_told(api: Api) -> None:
    """The enhanced flow is not built, for its pages are not public; a rule gives it any answer there."""
    path = "/v1/attestations/enhanced"
    assert api.call("POST", path, json={}).status_code == 404
    api.faults({"pathContains": path, "status": 201, "body": {"attestationId": "1"}})
    assert api.call("POST", path, json={}).json() == {"attestationId": "1"}


def test_a_document_has_new_links_each_time(api: Api) -> None:
    """Both links open, differ, and are never given twice; the language falls back to en-US."""
    first, second = (api.call("GET", f"{DOCUMENT}?country=CH&language=de-DE").json() for _ in range(2))
    assert (first["language"], first["country"]) == ("en-US", "CH")
    links = [one[name] for one in (first, second) for name in ("displayUri", "downloadUri")]
    assert len(set(links)) == 4
    assert all(api.session.get(link, timeout=10).status_code == 200 for link in links)
    assert api.call("GET", f"{DOCUMENT}?country=CH&language=fr-FR").json()["language"] == "fr-FR"
    assert api.call("GET", "/agreementdocuments/none").status_code == 403


@pytest.mark.parametrize(
    ("template", "country"),
    [(TEMPLATE_ID, "us"), (TEMPLATE_ID, "CN"), (TEMPLATE_ID.upper(), "US"), (TEMPLATES[0].id, "US")],
)
def test_template_and_country_are_told_apart_by_case(template: str, country: str) -> None:
    """Another case is another country and another template, and only the customer agreement has documents."""
    with pytest.raises(RefusedError):
        Links().language(template, country, "en-US")


def test_a_link_to_a_document_is_good_for_five_minutes() -> None:
    """It opens to the last instant before, and never again."""
    clock = [0.0]
    links = Links(lambda: clock[0])
    link = links.new("the text")
    clock[0] = LINK_SECONDS - 1e-3
    assert links.opened(link) == "the text"
    clock[0] = LINK_SECONDS
    assert links.opened(link) is None


@pytest.mark.parametrize(
    ("query", "status", "code", "source"),
    [
        ("", 400, 2001, "ComplianceController"),
        ("?mpnId=1&tenantId=14876998-c0dc-46e6-9d0c-65a57a6c32ec", 400, 2000, "ComplianceController"),
        ("?mpnId=abc", 400, 2000, "PartnerApiServiceControllers"),
        ("?tenantId=contoso", 400, 2000, "PartnerApiServiceControllers"),
        ("?tenantId=00000000-0000-4000-8000-000000000000", 400, 2205, "ComplianceController"),
        ("?tenantId=EEEEEEEE-0000-4000-8000-000000000000", 400, 2206, "ComplianceController"),
    ],
)
def test_a_partners_agreement_is_asked_for_in_one_way(
    api: Api, query: str, status: int, code: int, source: str
) -> None:
    """By MPN id or by tenant, well written, known and signed; else each has its own code and source."""
    answer = api.call("GET", f"/v1/compliance/csp/agreementstatus{query}")
    assert error_of(answer) == (status, code)
    assert answer.json()["source"] == source


@pytest.mark.parametrize(
    ("body", "told"),
    [('{"brust": 5}', "brust"), ('{"burst": 0}', "burst"), ("[]", "object"), ("{", "object")],
)
def test_options_that_do_not_exist_change_nothing(api: Api, body: str, told: str) -> None:
    """They are refused by name, and what was chosen stays."""
    before = api.call("GET", "/_control/options").json()
    refused = api.call("PATCH", "/_control/options", data=body)
    assert refused.status_code == 400
    assert told in refused.json()["error"]
    assert api.call("GET", "/_control/options").json() == before


def test_options_are_read_from_words() -> None:
    """A value is JSON where it can be, else text; a choice that looks like a number is a choice."""
    given = ["noAgreement=600009", "callsPerSecond=2.5", 'duplicateKey=["type","partner"]', "mfaAnswer=2019"]
    assert read([*given, "replaySeconds=null", "caller=other-role"]) == Options(
        no_agreement="600009",
        calls_per_second=2.5,
        duplicate_key=("type", "partner"),
        mfa_answer="2019",
        caller="other-role",
    )


@pytest.mark.parametrize("word", ["burst", "=5", "brust=5", "burst=many", "replay=sometimes"])
def test_a_wrong_word_ends_the_program_with_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named on standard error, and the exit code is 2."""
    with pytest.raises(InvalidOptionsError):
        read([word])
    assert main(["--set", word]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_options_come_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names each option with its default, as JSON has it or as the word that it is."""
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    for field in Options.model_fields.values():
        default = field.default if isinstance(field.default, str) else json.dumps(field.default)
        assert f"  {field.alias:<20} {field.description} ({default})\n" in told
