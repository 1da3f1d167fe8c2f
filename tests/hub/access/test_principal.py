"""Which principal may do what with which plans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.principal import MAX_PATTERNS, RESERVED, VERBS, Grants, InvalidGrants, Principal

GRANTS = Grants.parse({"plan-1": ["read", "input"], "team-a.*": ["read"], "team-a.7": ["signal"], "sand*": ["publish"]})
ADA = Principal("ada", GRANTS)


@pytest.mark.parametrize(
    ("verb", "plan_id", "granted"),
    [
        ("read", "plan-1", True),
        ("input", "plan-1", True),
        ("signal", "plan-1", False),
        ("read", "plan-10", False),
        ("read", "plan-", False),
        ("read", "team-a.", True),
        ("read", "team-a.7", True),
        ("signal", "team-a.7", True),
        ("signal", "team-a.8", False),
        ("read", "team-b.7", False),
        ("read", "Team-a.7", False),
        ("read", "team-aX7", False),
        ("publish", "sandbox", True),
        ("read", "sandbox", False),
        ("start", "plan-1", False),
        ("read", "", False),
    ],
)
def test_grants_are_compared_with_plan_ids_character_by_character(verb: str, plan_id: str, granted: bool) -> None:
    assert ADA.may(verb, plan_id) is granted  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_development_may_do_everything_but_with_the_hubs_own_plans(verb: str) -> None:
    developer = Principal.development()
    assert developer.may(verb, "anything")  # type: ignore[arg-type]
    assert not developer.may(verb, RESERVED + "tickets.000")  # type: ignore[arg-type]


def test_a_grant_of_a_reserved_plan_has_no_effect() -> None:
    assert not Principal("eve", Grants.parse({RESERVED + "tickets.*": ["read"]})).may("read", RESERVED + "tickets.1")


@pytest.mark.parametrize(
    "plans",
    [
        None,
        [],
        "plan-1",
        {"plan-1": "read"},
        {"plan-1": {"read": True}},
        {"plan-1": ["reed"]},
        {"plan-1": ["read", 1]},
        {"plan-1": [["read"]]},
        {"": ["read"]},
        {"**": ["read"]},
        {"a*b": ["read"]},
        {"*a": ["read"]},
        {"a**": ["read"]},
        {"team?": ["read"]},
        {"[a-z]*": ["read"]},
        {".*\n": ["read"]},
        {"plan 1": ["read"]},
        {"plän*": ["read"]},
        {"x" * 129: ["read"]},
        {"x" * 129 + "*": ["read"]},
        {f"plan-{i}": ["read"] for i in range(MAX_PATTERNS + 1)},
    ],
)
def test_invalid_grants_are_refused_with_a_short_message(plans: object) -> None:
    with pytest.raises(InvalidGrants, match=r"^plans: ") as refused:
        Grants.parse(plans)
    assert len(str(refused.value)) < 300


def test_empty_grants_are_valid() -> None:
    nobody = Principal("nobody", Grants.parse({}))
    assert not any(nobody.may(verb, "plan-1") for verb in VERBS)  # type: ignore[arg-type]


def test_a_principal_is_valid_until_it_expires() -> None:
    assert not Principal("ada", GRANTS).expired(1e12)
    brief = Principal("ada", GRANTS, expires_at=100.0)
    assert [brief.expired(now) for now in (99.9, 100.0, 100.1)] == [False, True, True]


def test_a_principal_is_hashable() -> None:
    assert len({ADA, Principal("ada", GRANTS)}) == 1


plan_ids = st.text("ab.", min_size=1, max_size=4)
patterns = st.one_of(plan_ids, plan_ids.map(lambda start: start + "*"), st.just("*"))
maps = st.dictionaries(patterns, st.lists(st.sampled_from(sorted(VERBS)), max_size=3), max_size=4)


@given(maps, st.sampled_from(sorted(VERBS)), plan_ids)
def test_a_verb_is_granted_exactly_when_some_pattern_grants_it(
    plans: dict[str, list[str]], verb: str, plan_id: str
) -> None:
    expected = any(
        verb in verbs and (plan_id == pattern or (pattern.endswith("*") and plan_id.startswith(pattern[:-1])))
        for pattern, verbs in plans.items()
    )
    assert Principal("x", Grants.parse(plans)).may(verb, plan_id) is expected  # type: ignore[arg-type]


@given(maps)
def test_grants_survive_being_written_and_parsed(plans: dict[str, list[str]]) -> None:
    grants = Grants.parse(plans)
    assert Grants.parse(grants.plans()) == grants


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_claim_makes_parsing_raise_another_error(claim: object) -> None:
    try:
        grants = Grants.parse(claim)
    except InvalidGrants:
        return
    assert isinstance(claim, dict)
    assert grants.by_verb.keys() <= VERBS
