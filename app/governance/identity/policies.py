"""Makes policies from the rows of keys and teams."""

from __future__ import annotations

from collections.abc import Mapping

from app.governance.identity.caller import Policy
from app.storage.key_rows import KeyRows, TeamRows


def policy_of_key(rows: KeyRows) -> Policy:
    """Return what a key and its team allow. Where both set a value, the key's holds."""
    key, team = rows.key, rows.of_team.team
    lists = [tuple(patterns) for patterns in (team.models, key.models) if patterns is not None]
    with_guardrail = key if key.guardrail_id else team
    return Policy(
        team_id=team.id,
        key_id=key.id,
        name=key.name,
        person=key.person,
        labels={**team.labels, **key.labels},
        models=tuple(lists),
        default_max_tokens=key.default_max_tokens or team.default_max_tokens,
        largest_max_tokens=key.largest_max_tokens or team.largest_max_tokens,
        guardrail_id=with_guardrail.guardrail_id,
        guardrail_version=with_guardrail.guardrail_version,
        limits=(*rows.of_team.limits, *rows.limits),
        budgets=(*rows.of_team.budgets, *rows.budgets),
    )


def policy_of_person(rows: TeamRows, person: str, labels: Mapping[str, str]) -> Policy:
    """Return what a team allows to a caller without a key."""
    team = rows.team
    return Policy(
        team_id=team.id,
        person=person,
        labels={**team.labels, **labels},
        models=() if team.models is None else (tuple(team.models),),
        default_max_tokens=team.default_max_tokens,
        largest_max_tokens=team.largest_max_tokens,
        guardrail_id=team.guardrail_id,
        guardrail_version=team.guardrail_version,
        limits=rows.limits,
        budgets=rows.budgets,
    )
