"""Operations on teams and keys, on both databases."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from app.admin.api.documents.reports import AuditQuery
from app.admin.api.documents.teams_and_keys import KeyChange, KeyCreate, TeamChange, TeamCreate
from app.admin.api.operations import keys, teams
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.audit import list_audit
from app.admin.api.operations.failures import Conflict, Invalid, NotFound, Outdated
from app.governance.leases.client import LeaseClient, Refused
from app.governance.leases.store import BalanceRef
from app.governance.ledger.posting import take_leases
from app.storage import repository, tables
from app.storage.database import Database
from app.storage.records import new_id

ACTOR = Actor("key:ops", "192.0.2.7", "request-1")
PEPPER = b"p" * 32
EVERYTHING = {
    "name": "research",
    "models": ["*claude*"],
    "limits": {"requests_per_minute": 60, "max_parallel_requests": 5, "shadow": ["max_parallel_requests"]},
    "limits_per": [
        {"per": "user", "requests_per_minute": 10},
        {"per": "user", "value": "ada", "requests_per_minute": 100, "tokens_per_minute": 1000},
        {"per": "label:project", "value": "crm", "tokens_per_minute": 5},
    ],
    "budgets": [
        {"amount_usd": "25.00", "period": "month"},
        {"amount_usd": "1.5", "period": "day", "action": "warn", "per": "user", "mode": "estimated"},
        {"amount_usd": "2", "period": "week", "override": {"amount_usd": "4", "until": "2030-01-01T00:00:00Z"}},
    ],
    "default_max_tokens": 1000,
    "largest_max_tokens": 4000,
    "guardrail": {"id": "abc", "version": "3"},
    "labels": {"centre": "42"},
}


async def new_team(database: Database, **members: object) -> str:
    async with database.begin() as connection:
        return (await teams.create_team(connection, ACTOR, TeamCreate.model_validate({"name": "t", **members}))).id


async def new_key(database: Database, **members: object) -> tuple[str, str]:
    """Create a key; return its id and its secret."""
    team = members.pop("team_id", None) or await new_team(database)
    body = KeyCreate.model_validate({"name": "k", "team_id": team, **members})
    async with database.begin() as connection:
        created = await keys.create_key(connection, ACTOR, body, PEPPER)
    return created.id, created.secret


@pytest.mark.timed
async def test_a_lowered_budget_applies_to_a_busy_key_within_two_seconds(database: Database) -> None:
    """Each replica has leased much of it, and each call costs little."""
    team_id = await new_team(database, budgets=[{"amount_usd": "1", "period": "total"}])
    async with database.begin(reads=True) as connection:
        (budget,) = (await teams.get_team(connection, team_id)).budgets
    ref = BalanceRef(f"budget/{budget.id}/total", "budget", budget.id)
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            other = Database(database.url)
            stack.push_async_callback(other.close)
            client = LeaseClient(other, take_leases)
            await client.start()
            stack.push_async_callback(client.close)
            assert await _call(client, ref, 100_000_000)
            clients.append(client)
        body = TeamChange.model_validate({"budgets": [{"amount_usd": "0", "period": "total"}]})
        calls = [asyncio.create_task(_call_until_refused(client, ref)) for client in clients]
        await asyncio.sleep(0.2)
        async with database.begin() as connection:
            await teams.change_team(connection, ACTOR, team_id, body)
        async with asyncio.timeout(2):
            await asyncio.gather(*calls)


async def _call(client: LeaseClient, ref: BalanceRef, nano: int) -> bool:
    held = {ref.key: nano}
    book = await client.acquire(held, {ref.key: ref})
    if isinstance(book, Refused):
        return False
    client.settle(book, held, {})
    return True


async def _call_until_refused(client: LeaseClient, ref: BalanceRef) -> None:
    while await _call(client, ref, 1000):
        await asyncio.sleep(0.02)


async def test_a_team_is_shown_as_it_was_created(database: Database) -> None:
    body = TeamCreate.model_validate(EVERYTHING)
    async with database.begin() as connection:
        created = await teams.create_team(connection, ACTOR, body)
    async with database.begin(reads=True) as connection:
        read = await teams.get_team(connection, created.id)
        assert (await teams.list_teams(connection, name="research")).data == [read]
        assert (await teams.list_teams(connection, name="other")).data == []
    assert read == created
    shown = read.model_dump(mode="json")
    assert {name: shown[name] for name in ("name", "models", "default_max_tokens", "guardrail", "labels")} == {
        name: EVERYTHING[name] for name in ("name", "models", "default_max_tokens", "guardrail", "labels")
    }
    assert shown["limits"] == {**EVERYTHING["limits"], "tokens_per_minute": None}  # type: ignore[dict-item]
    assert [(each["per"], each["value"], each["requests_per_minute"]) for each in shown["limits_per"]] == [
        ("label:project", "crm", None),
        ("user", "", 10),
        ("user", "ada", 100),
    ]
    assert [(each["amount_usd"], each["period"], each["action"], each["per"]) for each in shown["budgets"]] == [
        ("2.00", "week", "block", None),
        ("25.00", "month", "block", None),
        ("1.50", "day", "warn", "user"),
    ]
    assert shown["budgets"][0]["override"] == {"amount_usd": "4.00", "until": "2030-01-01T00:00:00Z"}


async def test_what_is_shown_can_be_sent_back(database: Database) -> None:
    team = await new_team(database, **EVERYTHING)
    async with database.begin() as connection:
        before = (await teams.get_team(connection, team)).model_dump(mode="json")
        body = {name: before[name] for name in EVERYTHING}
        after = await teams.change_team(connection, ACTOR, team, TeamChange.model_validate(body))
    unlike = {"revision": before["revision"] + 1, "updated_at": after.model_dump(mode="json")["updated_at"]}
    assert after.model_dump(mode="json") == {**before, **unlike}


async def test_a_change_keeps_what_it_does_not_name(database: Database) -> None:
    team = await new_team(database, **EVERYTHING)
    async with database.begin() as connection:
        before = await teams.get_team(connection, team)
        body = TeamChange.model_validate({"limits": {"tokens_per_minute": 7}, "guardrail": None, "models": None})
        after = await teams.change_team(connection, ACTOR, team, body)
    assert (after.name, after.budgets, after.limits_per) == (before.name, before.budgets, before.limits_per)
    assert (after.limits.requests_per_minute, after.limits.tokens_per_minute) == (None, 7)
    assert (after.guardrail, after.models, after.revision) == (None, None, 2)


async def test_a_budget_keeps_its_id_while_its_subject_stays(database: Database) -> None:
    team = await new_team(database, budgets=[{"amount_usd": "25.00", "period": "month"}])
    async with database.begin() as connection:
        (before,) = (await teams.get_team(connection, team)).budgets
        body = TeamChange.model_validate({"budgets": [{"amount_usd": "50.00", "period": "month"}]})
        (after,) = (await teams.change_team(connection, ACTOR, team, body)).budgets
    assert (after.id, after.amount_usd) == (before.id, 50 * 10**9)


async def test_a_name_is_of_one_team(database: Database) -> None:
    await new_team(database, name="one")
    other = await new_team(database, name="two")
    with pytest.raises(Conflict, match="'one'"):
        await new_team(database, name="one")
    with pytest.raises(Conflict, match="'one'"):
        async with database.begin() as connection:
            await teams.change_team(connection, ACTOR, other, TeamChange(name="one"))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"budgets": [{"amount_usd": "1", "period": "day"}] * 2}, "budgets[1]"),
        ({"budgets": [{"amount_usd": "1", "period": "day", "value": "ada"}]}, "budgets[0].per"),
        ({"limits_per": [{"per": "user", "requests_per_minute": 1}] * 2}, "limits_per[1]"),
        ({"default_max_tokens": 10, "largest_max_tokens": 5}, "default_max_tokens"),
    ],
)
async def test_members_that_contradict_each_other_are_refused(
    database: Database, members: dict[str, object], param: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await new_team(database, **members)
    assert [fault.param for fault in refused.value.faults] == [param]
    async with database.begin() as connection:
        assert (await teams.list_teams(connection)).data == []


@pytest.mark.parametrize(
    "members",
    [
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "\ud800"},
        {"name": None},
        {"limits": {"requests_per_minute": 0}},
        {"limits": {"requests_per_minute": "60"}},
        {"limits": {"request_per_minute": 60}},
        {"limits_per": [{"per": "team", "requests_per_minute": 1}]},
        {"budgets": [{"amount_usd": 25.0, "period": "month"}]},
        {"budgets": [{"amount_usd": "25.00", "period": "year"}]},
        {"budgets": [{"amount_usd": "1", "period": "day", "override": {"amount_usd": "2"}}]},
        {"labels": {"a b": "c"}},
        {"guardrail": {"id": "A b"}},
        {"colour": "red"},
    ],
)
def test_invalid_members_are_refused(members: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TeamCreate.model_validate({"name": "t", **members})


async def test_a_change_of_an_old_revision_is_refused(database: Database) -> None:
    team = await new_team(database)
    async with database.begin() as connection:
        await teams.change_team(connection, ACTOR, team, TeamChange(labels={"a": "b"}), revision=1)
    async with database.begin() as connection:
        with pytest.raises(Outdated):
            await teams.change_team(connection, ACTOR, team, TeamChange(name="x"), revision=1)
        with pytest.raises(Outdated):
            await teams.delete_team(connection, ACTOR, team, revision=1)


async def test_changes_at_the_same_time_are_one_after_the_other(database: Database) -> None:
    team = await new_team(database)

    async def change(name: str) -> None:
        async with database.begin() as connection:
            await teams.change_team(connection, ACTOR, team, TeamChange(labels={"name": name}))

    await asyncio.gather(*(change(str(number)) for number in range(6)))
    async with database.begin() as connection:
        assert (await teams.get_team(connection, team)).revision == 7


async def test_a_team_with_keys_stays(database: Database) -> None:
    key, _ = await new_key(database)
    async with database.begin() as connection:
        team = (await keys.get_key(connection, key)).team_id
    with pytest.raises(Conflict, match="has keys"):
        async with database.begin() as connection:
            await teams.delete_team(connection, ACTOR, team)
    async with database.begin() as connection:
        await keys.delete_key(connection, ACTOR, key)
        await teams.delete_team(connection, ACTOR, team)
    with pytest.raises(NotFound):
        async with database.begin() as connection:
            await teams.get_team(connection, team)


async def test_what_is_deleted_leaves_no_limits_budgets_and_secrets(database: Database) -> None:
    team = await new_team(database, **EVERYTHING)
    key, _ = await new_key(database, team_id=team, limits={"requests_per_minute": 1})
    async with database.begin() as connection:
        await keys.delete_key(connection, ACTOR, key)
        await teams.delete_team(connection, ACTOR, team)
        for rows in (repository.limits, repository.budgets, repository.key_secrets, repository.keys):
            assert await rows.find(connection) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("identifier", ["", "nothing", "\x00", "../teams", "a" * 26, "01m8r7dwe9wa1q0414f5tmcchf"])
async def test_unknown_ids_are_not_found(database: Database, identifier: str) -> None:
    async with database.begin() as connection:
        for operation in (teams.get_team, keys.get_key):
            with pytest.raises(NotFound):
                await operation(connection, identifier)


async def test_a_key_s_secret_is_shown_once_and_stored_nowhere(database: Database) -> None:
    key, secret = await new_key(database)
    assert secret.startswith(f"oc_{key}_")
    random = secret.rpartition("_")[2]
    async with database.begin() as connection:
        shown = (await keys.get_key(connection, key)).model_dump_json()
        shown += (await keys.list_keys(connection)).model_dump_json()
        shown += (await list_audit(connection, AuditQuery())).model_dump_json()
        for table in tables.metadata.sorted_tables:
            shown += repr((await connection.execute(table.select())).all())
    assert key in shown
    assert random not in shown


async def test_a_key_needs_a_team_and_an_end_in_the_future(database: Database) -> None:
    for members, param in (
        ({"team_id": new_id()}, "team_id"),
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, "expires_at"),
    ):
        with pytest.raises(Invalid) as refused:
            await new_key(database, **members)
        assert refused.value.faults[0].param == param
        async with database.begin() as connection:
            for team in (await teams.list_teams(connection)).data:
                await teams.delete_team(connection, ACTOR, team.id)


async def test_a_key_that_has_expired_is_shown_so(database: Database) -> None:
    key, _ = await new_key(database)
    async with database.begin() as connection:
        body = KeyChange(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert (await keys.change_key(connection, ACTOR, key, body)).status == "expired"


async def test_a_rotated_key_has_two_secrets_during_the_time_of_grace(database: Database) -> None:
    key, first = await new_key(database)
    async with database.begin() as connection:
        rotated = await keys.rotate_key(connection, ACTOR, key, PEPPER, grace_seconds=60)
    assert rotated.secret != first
    assert rotated.revision == 2
    ends = [each.expires_at for each in rotated.secrets]
    assert ends[1] is None
    assert ends[0] is not None
    assert timedelta(seconds=20) < ends[0] - datetime.now(UTC) < timedelta(seconds=61)
    async with database.begin() as connection:
        # of two rotations within the time of grace, only the newest secret of before stays
        again = await keys.rotate_key(connection, ACTOR, key, PEPPER, grace_seconds=600)
        assert len(again.secrets) == 2
        at_once = await keys.rotate_key(connection, ACTOR, key, PEPPER)
        assert [each.expires_at for each in at_once.secrets] == [None]


async def test_a_revoked_key_stays_revoked(database: Database) -> None:
    key, _ = await new_key(database)
    async with database.begin() as connection:
        revoked = await keys.revoke_key(connection, ACTOR, key)
        assert (revoked.status, revoked.secrets) == ("revoked", [])
        assert revoked.revoked_at is not None
        assert await keys.revoke_key(connection, ACTOR, key) == revoked
        with pytest.raises(Conflict, match="is revoked"):
            await keys.change_key(connection, ACTOR, key, KeyChange(status="active"))
        with pytest.raises(Conflict, match="is revoked"):
            await keys.rotate_key(connection, ACTOR, key, PEPPER)


async def test_keys_are_listed_in_pages(database: Database) -> None:
    team, other = await new_team(database), await new_team(database, name="other")
    ids = [(await new_key(database, team_id=team, person=person))[0] for person in ("ada", "ada", "", "", "")]
    await new_key(database, team_id=other)
    found: list[str] = []
    cursor = ""
    async with database.begin(reads=True) as connection:
        while True:
            page = await keys.list_keys(connection, team_id=team, limit=2, cursor=cursor)
            found += [each.id for each in page.data]
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
        assert len((await keys.list_keys(connection, person="ada")).data) == 2
        with pytest.raises(Invalid):
            await keys.list_keys(connection, cursor="bm90aGluZw")
    assert found == sorted(ids)


async def test_every_change_is_in_the_audit_log(database: Database) -> None:
    team = await new_team(database)
    key, _ = await new_key(database, team_id=team)
    other = Actor("key:second")
    async with database.begin() as connection:
        await teams.change_team(connection, other, team, TeamChange(name="new"))
        await keys.change_key(connection, other, key, KeyChange(status="blocked"))
        await keys.rotate_key(connection, other, key, PEPPER)
        await keys.revoke_key(connection, other, key)
        await keys.delete_key(connection, other, key)
        await teams.delete_team(connection, other, team)
    async with database.begin() as connection:
        entries = (await list_audit(connection, AuditQuery())).data
        assert [each.action for each in (await list_audit(connection, AuditQuery(action="team"))).data] == [
            "team.delete", "team.change", "team.create",
        ]  # fmt: skip
        assert len((await list_audit(connection, AuditQuery(object_id=key, actor="key:second"))).data) == 4
    assert [each.action for each in reversed(entries)] == [
        "team.create", "key.create", "team.change", "key.change", "key.rotate", "key.revoke", "key.delete", "team.delete",
    ]  # fmt: skip
    created, changed = entries[-1], entries[-3]
    assert (created.actor, created.address, created.request_id) == ("key:ops", "192.0.2.7", "request-1")
    assert created.before is None
    assert changed.before is not None
    assert changed.after is not None
    assert (changed.actor, changed.before["name"], changed.after["name"]) == ("key:second", "t", "new")
    assert entries[0].after is None


async def test_a_change_that_fails_is_not_in_the_audit_log(database: Database) -> None:
    team = await new_team(database)
    body = TeamChange.model_validate({"name": "x", "default_max_tokens": 2, "largest_max_tokens": 1})
    with pytest.raises(Invalid):
        async with database.begin() as connection:
            await teams.change_team(connection, ACTOR, team, body)
    async with database.begin() as connection:
        assert (await teams.get_team(connection, team)).name == "t"
        assert len((await list_audit(connection, AuditQuery())).data) == 1
