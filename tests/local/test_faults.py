import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.faults import Faults, InvalidRulesError, Rule, read


def in_force(*rules: Mapping[str, object], seed: int | None = None) -> Faults:
    """Put rules in force as they come over the wire."""
    faults = Faults(seed)
    faults.replace(read(json.dumps(rules).encode(), Rule))
    return faults


def statuses(faults: Faults, count: int, method: str = "POST", path: str = "/v1/x") -> list[int | None]:
    """Make calls and tell what each met."""
    met = [faults.use(method, path) for _ in range(count)]
    return [rule.status if rule else None for rule in met]


def test_rules_are_used_up_in_order() -> None:
    """Each call uses up the first rule that meets it; after the last one calls go through."""
    faults = in_force({"times": 2, "status": 503}, {"status": 429})
    assert statuses(faults, 5) == [503, 503, 429, None, None]


def test_a_rule_that_does_nothing_lets_calls_pass_first() -> None:
    """A rule without any effect spends its calls: the fault comes after them."""
    assert statuses(in_force({"times": 2}, {"status": 500}), 4) == [None, None, 500, None]


def test_null_times_never_end() -> None:
    """A rule whose ``times`` is null stays in force until it is replaced."""
    faults = in_force({"times": None, "status": 500})
    assert statuses(faults, 100) == [500] * 100
    faults.replace([])
    assert statuses(faults, 1) == [None]


def test_a_rule_meets_only_its_method_and_path() -> None:
    """Other methods and paths neither meet a rule nor use it up."""
    faults = in_force({"method": "post", "pathContains": "/customers/", "status": 500})
    assert statuses(faults, 2, "GET", "/v1/customers/1") == [None, None]
    assert statuses(faults, 2, "POST", "/v1/agreements") == [None, None]
    assert statuses(faults, 2, "POST", "/v1/customers/1") == [500, None]


def test_a_seed_makes_chance_repeatable() -> None:
    """The same seed and the same calls meet the same faults, about as many as asked."""
    rule = {"times": None, "probability": 0.3, "status": 500}
    first, again, other = (statuses(in_force(rule, seed=seed), 1000) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert 200 < first.count(500) < 400


@given(st.lists(st.integers(1, 4), max_size=5), st.integers(0, 30))
def test_no_rule_is_used_more_often_than_it_says(times: list[int], count: int) -> None:
    """Over any number of calls, as many meet a fault as the rules allow and not one more."""
    faults = in_force(*({"times": number, "status": 500} for number in times))
    assert statuses(faults, count).count(500) == min(count, sum(times))


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"satus": 500}, "satus"),
        ({"path_contains": "x"}, "path_contains"),
        ({"times": 0}, "times"),
        ({"probability": 1.5}, "probability"),
        ({"status": "500"}, "status"),
        ({"delaySeconds": -1}, "delaySeconds"),
        ({"delaySeconds": "1"}, "delaySeconds"),
        ({"drop": "during"}, "drop"),
        ({"drop": "after", "status": 500}, "'drop'"),
        ({"body": {"code": 1}}, "'status'"),
        ({"headers": {"Retry-After": "1"}}, "'status'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_key(rule: dict[str, object], named: str) -> None:
    """Unknown keys, impossible values and contradictions are refused; the text names key and place."""
    with pytest.raises(InvalidRulesError, match=named) as caught:
        read(json.dumps([{}, rule]).encode(), Rule)
    assert str(caught.value).startswith("1")


@pytest.mark.parametrize("text", [b"", b"{}", b"null", b"[1]"])
def test_what_is_no_list_of_rules_is_refused(text: bytes) -> None:
    """Anything but a JSON list of objects is refused."""
    with pytest.raises(InvalidRulesError):
        read(text, Rule)


def test_every_key_is_optional() -> None:
    """An empty rule is a rule: it meets one call and does nothing to it."""
    assert read(b"[{}]", Rule) == [Rule()]
