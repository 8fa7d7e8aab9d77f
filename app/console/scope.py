"""Whose data a person may see."""

from app.console.visit import Visit


def own_filters(visit: Visit) -> dict[str, str]:
    """Return what callers may see: their own key's usage. Administrators may see all."""
    person = visit.who
    if person.is_admin:
        return {}
    policy = person.caller.policy
    if policy is None:
        return {"key_id": person.caller.name}
    return (
        {"key_id": policy.key_id} if policy.key_id else {"team_id": policy.team_id, "key_id": "", "user": policy.person}
    )
