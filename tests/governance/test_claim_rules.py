"""Rules that map claims to teams, labels and roles."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.identity_tables import RuleRow
from app.errors import PermissionRefused
from app.governance.identity.claim_rules import ClaimRules, Identity

CLAIMS: dict[str, Any] = {
    "sub": "alice",
    "email": "alice@example.com",
    "email_verified": True,
    "level": 3,
    "groups": ["ml-vision", "staff"],
    "realm_access": {"roles": ["operator"]},
    "cognito:groups": ["a"],
    "https://example.com/department": "R&D",
    "empty": [],
    "nothing": None,
}


def apply(*rules: dict[str, Any], subject: str = "alice", person: str = "alice@example.com", **claims: Any) -> Identity:
    rows = [RuleRow.model_validate(rule) for rule in rules]
    return ClaimRules("oidc/corp", rows).apply({**CLAIMS, **claims}, subject, person)


@pytest.mark.parametrize(
    "match",
    [
        {},
        {"groups": "ml-*"},
        {"groups": ["none", "staff"]},
        {"groups": "staff", "email": "*@example.com"},
        {"realm_access.roles": "operator"},
        {"cognito:groups": "a"},
        {"https://example.com/department": "R&D"},
        {"email_verified": "true"},
        {"level": "3"},
    ],
)
def test_claims_that_match(match: dict[str, Any]) -> None:
    assert apply({"match": match, "team": "research"}).team == "research"


@pytest.mark.parametrize(
    "match",
    [
        {"groups": "ml"},
        {"groups": "ML-*"},
        {"groups": "*-vision-2"},
        {"groups": "sta?f"},
        {"groups": "[s]taff"},
        {"groups": "staff", "email": "*@example.org"},
        {"email": "alice@example.com.evil"},
        {"email": "lice@example.com"},
        {"realm_access": "operator"},
        {"realm_access.groups": "operator"},
        {"email.domain": "*"},
        {"missing": "*"},
        {"empty": "*"},
        {"nothing": "*"},
    ],
)
def test_claims_that_do_not_match(match: dict[str, Any]) -> None:
    with pytest.raises(PermissionRefused, match="no rule"):
        apply({"match": match, "team": "research"})


@given(text=st.text(max_size=30))
def test_a_pattern_without_a_star_matches_only_itself(text: str) -> None:
    rule = {"match": {"sub": "a[b]?c"}, "team": "t"}
    if text == "a[b]?c":
        assert apply(rule, sub=text).team == "t"
    else:
        with pytest.raises(PermissionRefused):
            apply(rule, sub=text)


def test_the_first_rule_with_a_team_decides_and_all_roles_count() -> None:
    found = apply(
        {"match": {"groups": "staff"}, "roles": ["viewer"]},
        {"match": {"groups": "ml-*"}, "team": "vision", "labels": {"area": "ml"}, "roles": ["admin"]},
        {"match": {}, "team": "everybody", "labels": {"area": "other"}},
        {"match": {"groups": "none"}, "roles": ["never"]},
    )
    assert (found.team, found.labels, found.roles) == ("vision", {"area": "ml"}, {"viewer", "admin"})


def test_claims_name_the_team_and_labels() -> None:
    rule = {"match": {}, "team_claim": "department", "labels": {"a": "1"}, "label_claims": {"cost": "realm.center"}}
    found = apply(rule, department="Vision", realm={"center": "cc-7"})
    assert (found.team, found.labels) == ("Vision", {"a": "1", "cost": "cc-7"})


@pytest.mark.parametrize("value", [None, "", ["a", "b"], "x" * 257, "a\nb", {"a": 1}])
def test_a_claim_that_names_a_team_must_be_one_text(value: object) -> None:
    with pytest.raises(PermissionRefused, match="department"):
        apply({"match": {}, "team_claim": "department"}, department=value)


@pytest.mark.parametrize("person", ["", "x" * 257, "a\nb", "a\ud800"])
def test_a_person_has_a_name_that_can_be_shown(person: str) -> None:
    with pytest.raises(PermissionRefused, match="your name"):
        apply({"match": {}, "team": "t"}, person=person)


def test_a_rule_with_roles_alone_gives_no_team() -> None:
    found = apply({"match": {}, "roles": ["admin"]})
    assert (found.team, found.roles) == ("", {"admin"})


def test_names_are_readable_or_a_digest() -> None:
    rule = {"match": {}, "team": "t"}
    assert apply(rule, subject="auth0|7").name == "oidc/corp/auth0|7"
    names = [apply(rule, subject=subject).name for subject in ("ü", "a\nb", "x" * 300, "#forged", "")]
    assert len({*names}) == 5
    assert all(name.startswith("oidc/corp/#") and len(name) < 50 and name.isprintable() for name in names)
