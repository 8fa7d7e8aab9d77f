"""Operations on keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.fields import KeyStatus
from app.admin.api.documents.pages import DEFAULT_LIMIT, Page
from app.admin.api.documents.teams_and_keys import CreatedKey, KeyChange, KeyCreate, KeyView, SecretView
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.audit import record_change
from app.admin.api.operations.failures import Conflict, Fault, Invalid, NotFound
from app.admin.api.operations.paging import page_of, read_cursor
from app.admin.api.operations.rules import Rules, remove_rules, rules_of
from app.admin.api.operations.scoped import (
    apply_change,
    check_tokens,
    columns_of,
    find,
    rules_of_one,
    store_rules,
    view_of,
)
from app.governance.identity.key_secrets import new_secret
from app.storage import repository
from app.storage.key_changes import touched
from app.storage.records import Key, KeySecret, now
from app.storage.statements import time_of_database
from app.storage.tables import key_secrets


async def create_key(connection: AsyncConnection, actor: Actor, body: KeyCreate, pepper: bytes) -> CreatedKey:
    """Add a key; the secret in the answer is shown only here.

    Args:
        pepper: KEY_PEPPER.

    Raises:
        Invalid: the team does not exist, the key has expired already, or members contradict each other.
    """
    key = Key(**columns_of(body))
    check_tokens(key)
    if key.expires_at is not None and key.expires_at <= await time_of_database(connection):
        raise Invalid(Fault("expires_at", "must be in the future"))
    await _check_team(connection, key.team_id)
    await repository.keys.add(connection, key)
    await store_rules(connection, key, body)
    text, secret = new_secret(key.id, pepper)
    await repository.key_secrets.add(connection, secret)
    await touched(connection, key)
    after = await get_key(connection, key.id)
    await record_change(connection, actor, "key.create", key.id, after=after)
    return CreatedKey(**dict(after), secret=text)


async def get_key(connection: AsyncConnection, key_id: str) -> KeyView:
    """Return a key without its secret. Raises NotFound."""
    return await _view_of_one(connection, await find(connection, repository.keys, key_id))


async def list_keys(
    connection: AsyncConnection,
    *,
    team_id: str = "",
    person: str = "",
    search: str = "",
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
) -> Page[KeyView]:
    """List keys in the order of their creation, those of one team or person only if it is named.

    Args:
        search: a part of the name, in any case.

    Raises:
        Invalid: the cursor is of no page.
    """
    after = str(read_cursor(cursor, str)[0]) if cursor else ""
    columns = repository.keys.table.c
    conditions = [columns.team_id == team_id] if team_id else []
    conditions += [columns.person == person] if person else []
    conditions += [func.lower(columns.name).contains(search.lower(), autoescape=True)] if search else []
    found = await repository.keys.find(connection, *conditions, after=after, limit=limit + 1)
    page, next_cursor = page_of(found, limit, lambda last: [last.id])
    ids = [each.id for each in page]
    rules = await rules_of(connection, "key", ids)
    secrets: dict[str, list[KeySecret]] = {}
    for each in await repository.key_secrets.find(connection, key_secrets.c.key_id.in_(ids)):
        secrets.setdefault(each.key_id, []).append(each)
    data = [_view(each, rules[each.id], secrets.get(each.id, ())) for each in page]
    return Page(data=data, next_cursor=next_cursor)


async def change_key(
    connection: AsyncConnection, actor: Actor, key_id: str, body: KeyChange, *, revision: int | None = None
) -> KeyView:
    """Change the members of a key that the body has. revision: that the administrator has read, if any.

    Raises:
        NotFound, Outdated or Invalid: see `create_key`. Conflict: the key is revoked.
    """
    key = await find(connection, repository.keys, key_id, revision=revision, lock=True)
    _refuse_revoked(key)
    before = await _view_of_one(connection, key)
    changed = await apply_change(connection, repository.keys, key, columns_of(body))
    await store_rules(connection, changed, body, await rules_of_one(connection, "key", key_id))
    await touched(connection, changed)
    after = await get_key(connection, key_id)
    await record_change(connection, actor, "key.change", key_id, before=before, after=after)
    return after


async def rotate_key(
    connection: AsyncConnection, actor: Actor, key_id: str, pepper: bytes, grace_seconds: int = 0
) -> CreatedKey:
    """Give a key a new secret. The newest one of before stays valid for a time of grace, older ones end now.

    Args:
        pepper: KEY_PEPPER.

    Raises:
        NotFound. Conflict: the key is revoked.
    """
    key = await find(connection, repository.keys, key_id, lock=True)
    _refuse_revoked(key)
    before = await _view_of_one(connection, key)
    known = await repository.key_secrets.find(connection, key_secrets.c.key_id == key_id)
    kept = sorted(known, key=_created_at)[-1:] if grace_seconds else []
    if gone := [each.id for each in known if each not in kept]:
        await repository.key_secrets.remove(connection, *gone)
    moment = await time_of_database(connection)
    for each in kept:
        end = moment + timedelta(seconds=grace_seconds)
        values = {"expires_at": min(end, each.expires_at or end)}
        await connection.execute(update(key_secrets).where(key_secrets.c.id == each.id).values(values))
    text, secret = new_secret(key_id, pepper)
    await repository.key_secrets.add(connection, secret)
    changed = await apply_change(connection, repository.keys, key, {})
    await touched(connection, changed)
    after = await get_key(connection, key_id)
    await record_change(connection, actor, "key.rotate", key_id, before=before, after=after)
    return CreatedKey(**dict(after), secret=text)


async def revoke_key(connection: AsyncConnection, actor: Actor, key_id: str) -> KeyView:
    """End a key for good. Every replica refuses it within two seconds. A revoked key stays as it is.

    Raises:
        NotFound.
    """
    key = await find(connection, repository.keys, key_id, lock=True)
    before = await _view_of_one(connection, key)
    if key.status == "revoked":
        return before
    moment = await time_of_database(connection)
    # they still verify signatures for a while, so that callers are told why they are refused
    await connection.execute(update(key_secrets).where(key_secrets.c.key_id == key_id).values(expires_at=moment))
    changes = {"status": "revoked", "revoked_at": moment}
    changed = await apply_change(connection, repository.keys, key, changes)
    await touched(connection, changed)
    after = await get_key(connection, key_id)
    await record_change(connection, actor, "key.revoke", key_id, before=before, after=after)
    return after


async def delete_key(connection: AsyncConnection, actor: Actor, key_id: str, *, revision: int | None = None) -> None:
    """Delete a key with its secrets, limits and budgets. Its usage and its entries in the ledger stay.

    Raises:
        NotFound or Outdated: see `change_key`.
    """
    key = await find(connection, repository.keys, key_id, revision=revision, lock=True)
    before = await _view_of_one(connection, key)
    await remove_rules(connection, key)
    await repository.keys.remove(connection, key_id)
    await touched(connection, key)
    await record_change(connection, actor, "key.delete", key_id, before=before)


async def _check_team(connection: AsyncConnection, team_id: str) -> None:
    """Check that a team exists, and keep it until the transaction ends. Raises Invalid."""
    try:
        await find(connection, repository.teams, team_id, lock=True)
    except NotFound as error:
        raise Invalid(Fault("team_id", error.message)) from None


def _refuse_revoked(key: Key) -> None:
    if key.status == "revoked":
        raise Conflict("the key is revoked, and stays so: create another one")


async def _view_of_one(connection: AsyncConnection, key: Key) -> KeyView:
    rules = await rules_of_one(connection, "key", key.id)
    return _view(key, rules, await repository.key_secrets.find(connection, key_secrets.c.key_id == key.id))


def _view(key: Key, rules: Rules, secrets: Sequence[KeySecret]) -> KeyView:
    moment = now()
    status: KeyStatus = key.status
    if status != "revoked" and key.expires_at is not None and key.expires_at <= moment:
        status = "expired"
    return KeyView(
        **view_of(key, rules),
        team_id=key.team_id,
        person=key.person,
        status=status,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        secrets=[
            SecretView(created_at=each.created_at, expires_at=each.expires_at)
            for each in sorted(secrets, key=_created_at)
            if each.expires_at is None or each.expires_at > moment
        ],
    )


def _created_at(secret: KeySecret) -> datetime:
    return secret.created_at
