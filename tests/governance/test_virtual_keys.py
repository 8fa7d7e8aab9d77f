"""Virtual keys from the database, PostgreSQL and SQLite: found once, remembered, and forgotten when they change."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import event

from app.admin.api.operations.actor import Actor
from app.admin.api.operations.keys import revoke_key
from app.errors import AuthenticationFailed, Overloaded
from app.governance.identity import virtual_keys
from app.governance.identity.authenticator import Authenticator, PendingClaim
from app.governance.identity.caller import Caller, Policy
from app.governance.identity.key_secrets import hash_of, new_secret
from app.governance.identity.known_keys import Known
from app.governance.identity.row_reader import RowReader
from app.governance.identity.virtual_keys import KeyDirectory
from app.server.request_head import RequestHead
from app.storage import tables
from app.storage.database import Database
from app.storage.key_changes import changes_within, touched
from app.storage.records import Budget, Limit, new_id, now
from app.storage.repository import key_secrets, keys, replace_budgets, replace_limits, teams
from tests.databases import PostgresServer, opened, running_postgres
from tests.keys import PEPPER as PEPPER_TEXT
from tests.keys import add_key, add_team, change_key, change_team
from tests.waiting import SECONDS, until

PEPPER = PEPPER_TEXT.encode()
# every replica knows of a change after this time
HEARD_SECONDS = 2.0


@contextlib.asynccontextmanager
async def directory_of(database: Database, **more: Any) -> AsyncIterator[KeyDirectory]:
    """A directory with connections of its own, as in another process."""
    async with opened_again(database) as own:
        directory = KeyDirectory(own, PEPPER, **more)
        directory.start()
        await until(lambda: directory._watch.seen is not None)
        try:
            yield directory
        finally:
            await directory.close()


@contextlib.asynccontextmanager
async def opened_again(database: Database) -> AsyncIterator[Database]:
    own = Database(database.url)
    try:
        yield own
    finally:
        await own.close()


async def identify(directory: KeyDirectory, text: str) -> Caller:
    return directory.find(text, text.encode()) or await directory.load(text)


async def refused_within(directory: KeyDirectory, text: str, words: str, seconds: float = SECONDS) -> None:
    """Wait until a secret is refused."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(AuthenticationFailed):
            await identify(directory, text)
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
            continue
        with pytest.raises(AuthenticationFailed, match=words):
            await identify(directory, text)
        return


@contextlib.contextmanager
def statements(directory: KeyDirectory) -> Any:
    """Count the statements that read keys."""
    counted: list[str] = []
    engine = directory._key_reader._database._engine.sync_engine

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM keys" in statement:
            counted.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield counted
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_a_key_is_read_once_with_all_that_applies_to_it(database: Database) -> None:
    team = await add_team(
        database,
        models=["anthropic.*"],
        labels={"centre": "42", "stage": "test"},
        guardrail_id="g",
        guardrail_version="1",
    )
    text, key = await add_key(
        database,
        team,
        person="ada",
        models=["fast"],
        labels={"stage": "live"},
        default_max_tokens=10,
        largest_max_tokens=9,
    )
    rate = Limit(scope="team", scope_id=team.id, kind="requests_per_minute", capacity=10)
    own = Limit(scope="key", scope_id=key.id, kind="tokens_per_minute", capacity=10)
    other = Limit(scope="team", scope_id=key.id, kind="tokens_per_minute", capacity=1)
    money = Budget(scope="key", scope_id=key.id, period="month", amount_nano=1)
    async with database.begin() as connection:
        await replace_limits(connection, team, [rate])
        await replace_limits(connection, key, [own])
        await replace_limits(connection, structs.replace(team, id=key.id), [other])
        await replace_budgets(connection, key, [money])
        await touched(connection, team, key)
    async with directory_of(database) as directory:
        assert directory.find(text, text.encode()) is None
        with statements(directory) as read:
            found = await asyncio.gather(*[identify(directory, text) for _ in range(20)])
            assert len(read) == 1
        policy = Policy(
            team_id=team.id,
            key_id=key.id,
            name="ci",
            person="ada",
            labels={"centre": "42", "stage": "live"},
            models=(("anthropic.*",), ("fast",)),
            default_max_tokens=10,
            largest_max_tokens=9,
            guardrail_id="g",
            guardrail_version="1",
            limits=(rate, own),
            budgets=(money,),
        )
        read_policy = found[0].policy
        assert read_policy is not None
        assert structs.asdict(read_policy) == structs.asdict(policy)
        assert found == [Caller(key.id, read_policy)] * 20
        assert directory.find(text, text.encode()) is found[0]


async def test_unknown_secrets_are_asked_for_once_and_guesses_never(database: Database) -> None:
    async with directory_of(database) as directory:
        gone, _ = new_secret(new_id(), PEPPER)
        guess = gone[:-1] + ("a" if gone[-1] != "a" else "b")
        with statements(directory) as read:
            for _ in range(3):
                for text in (gone, guess, "sk-1234"):
                    with pytest.raises(AuthenticationFailed, match="incorrect API key"):
                        await identify(directory, text)
        assert len(read) == 1


async def test_a_secret_that_is_no_longer_stored_is_asked_for_once(database: Database) -> None:
    team = await add_team(database)
    text, key = await add_key(database, team)
    old, _ = new_secret(key.id, PEPPER)
    async with directory_of(database) as directory:
        assert (await identify(directory, text)).name == key.id
        with statements(directory) as read:
            for _ in range(3):
                with pytest.raises(AuthenticationFailed, match="was rotated"):
                    await identify(directory, old)
        assert len(read) == 2
        assert directory.find(text, text.encode()) is not None


@pytest.mark.timed
async def test_a_change_reaches_every_replica_within_two_seconds(database: Database) -> None:
    team = await add_team(database)
    (revoked, revoked_key), (blocked, blocked_key), (deleted, deleted_key), (text, key) = [
        await add_key(database, team) for _ in range(4)
    ]
    async with directory_of(database) as one, directory_of(database) as other:
        for directory in (one, other):
            for each in (revoked, blocked, deleted, text):
                await identify(directory, each)
        await change_key(database, revoked_key, status="revoked", revoked_at=now())
        await change_key(database, blocked_key, status="blocked")
        async with database.begin() as connection:
            await keys.remove(connection, deleted_key.id)
            await touched(connection, deleted_key)
        for directory in (one, other):
            await refused_within(directory, revoked, "this API key is revoked", HEARD_SECONDS)
            await refused_within(directory, blocked, "this API key is blocked", HEARD_SECONDS)
            await refused_within(directory, deleted, "incorrect API key", HEARD_SECONDS)
        changed = await change_key(database, key, models=["a"])
        for directory in (one, other):
            await until(lambda directory=directory: directory.find(text, text.encode()) is None, HEARD_SECONDS)
            assert (await identify(directory, text)).policy.models == (("a",),)  # type: ignore[union-attr]
        await change_team(database, team, status="blocked")
        for directory in (one, other):
            await refused_within(directory, text, "the team of this caller is blocked", HEARD_SECONDS)
        assert changed.revision == 2


@pytest.mark.timed
async def test_notifications_reach_other_replicas_at_once(postgres: PostgresServer) -> None:
    async with opened(await postgres.create_with_schema()) as database:
        text, key = await add_key(database, await add_team(database))
        async with directory_of(database) as directory:
            await identify(directory, text)
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await change_key(database, key, status="revoked")
            await refused_within(directory, text, "revoked")
            assert time.monotonic() - began < 0.5


async def test_only_the_holder_of_a_revoked_key_is_told_so(database: Database) -> None:
    team = await add_team(database)
    text, key = await add_key(database, team)
    guess = text[:-1] + ("a" if text[-1] != "a" else "b")
    async with database.begin() as connection:
        await revoke_key(connection, Actor("ops"), key.id)
    async with directory_of(database) as directory:
        for _ in range(2):
            with pytest.raises(AuthenticationFailed, match="this API key is revoked"):
                await identify(directory, text)
            with pytest.raises(AuthenticationFailed, match="incorrect API key"):
                await identify(directory, guess)
        # a signature with it is checked before its maker is told
        verifier = directory.find_verifier(key.id)
        assert verifier is not None
        assert (verifier.secrets, verifier.refusal) == ((text,), "this API key is revoked")
    async with database.begin() as connection:
        await connection.execute(tables.key_secrets.delete())
    async with directory_of(database) as directory:
        for _ in range(2):
            with pytest.raises(AuthenticationFailed, match="this API key is revoked"):
                await identify(directory, text)


async def test_two_secrets_live_while_one_is_rotated(database: Database) -> None:
    team = await add_team(database)
    text, key = await add_key(database, team)
    at = time.time()
    async with directory_of(database, wall=lambda: at) as directory:
        await identify(directory, text)
        new, stored = new_secret(key.id, PEPPER)
        (old,) = directory._keys[key.id].secrets
        async with database.begin() as connection:
            await key_secrets.add(connection, stored)
            table = tables.key_secrets
            ends = now() + timedelta(seconds=100)
            await connection.execute(table.update().where(table.c.id == old.id).values(expires_at=ends))
            await touched(connection, key)
        # the new one is valid everywhere at once
        assert (await identify(directory, new)).name == key.id
        assert (await identify(directory, text)).name == key.id
        at += 101
        await refused_within(directory, text, "was rotated")
        assert directory.find(new, new.encode()) is not None
        verifier = directory.find_verifier(key.id)
        assert verifier is not None
        assert (verifier.secrets, verifier.refusal) == ((new,), "")


async def test_a_secret_is_hashed_once_until_its_key_changes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, key = await add_key(database, await add_team(database))
    another, _ = new_secret(key.id, PEPPER)
    hashed: list[str] = []

    def counted(secret: str, pepper: bytes) -> bytes:
        hashed.append(secret)
        return hash_of(secret, pepper)

    async with directory_of(database) as directory:
        await identify(directory, text)
        monkeypatch.setattr(virtual_keys, "hash_of", counted)
        for _ in range(3):
            assert directory.find(text, text.encode()) is not None
        assert hashed == [text]
        assert directory.find(another, another.encode()) is None, "only the database knows"
        await change_key(database, key, status="revoked")
        await refused_within(directory, text, "this API key is revoked")
        for _ in range(3):
            with pytest.raises(AuthenticationFailed, match="this API key is revoked"):
                await identify(directory, text)


async def test_a_key_expires_without_the_database(database: Database) -> None:
    at = time.time()
    text, key = await add_key(database, await add_team(database), expires_at=now() + timedelta(seconds=100))
    async with directory_of(database, wall=lambda: at) as directory:
        await identify(directory, text)
        at += 101
        with pytest.raises(AuthenticationFailed, match="has expired"):
            directory.find(text, text.encode())
        verifier = directory.find_verifier(key.id)
        assert verifier is not None
        assert (verifier.secrets, verifier.refusal) == ((text,), "this API key has expired")


async def test_what_is_in_use_is_read_again_after_a_minute(database: Database) -> None:
    at = 1000.0
    team = await add_team(database)
    text, _ = await add_key(database, team)
    async with directory_of(database, clock=lambda: at) as directory:
        await identify(directory, text)
        await directory.load_policy_of_team(team.id)
        # somebody changes rows by hand, of which nobody is told
        async with database.begin() as connection:
            await connection.execute(tables.teams.update().values(status="blocked"))
        at += 59
        assert directory.find(text, text.encode()) is not None
        assert directory.policy_of_team(team.id) is not None
        at += 2
        # no request waits for it
        assert directory.find(text, text.encode()) is not None
        assert directory.policy_of_team(team.id) is not None
        await refused_within(directory, text, "is blocked")
        await until(lambda: directory._teams[team.id].refusal)


async def test_recent_secrets_are_found_for_a_second_and_until_a_change(database: Database) -> None:
    moment, wall = [1000.0], [time.time()]
    team = await add_team(database)
    text, key = await add_key(database, team)
    digest = text.encode()
    async with directory_of(database, clock=lambda: moment[0], wall=lambda: wall[0]) as directory:

        async def is_found_again() -> bool:
            caller = await identify(directory, text)
            assert directory.find(text, digest) == directory.find(text, digest) == caller
            return directory.find_recent(digest) == caller

        assert directory.find_recent(digest) is None
        assert await is_found_again()
        moment[0] += 0.9
        assert directory.find_recent(digest) is not None
        moment[0] += 0.2
        assert directory.find_recent(digest) is None
        for change in (f"key/{key.id}", f"team/{team.id}"):
            assert await is_found_again()
            directory.note_change(change)
            assert directory.find_recent(digest) is None
        assert await is_found_again()
        await directory._key_reader.read(key.id)
        assert directory.find_recent(digest) is None, "the rows may be others"


async def test_a_recent_secret_is_found_again_only_as_a_bearer_key(database: Database) -> None:
    text, _ = await add_key(database, await add_team(database))
    async with directory_of(database) as directory:
        authenticator = Authenticator({}, directory=directory)

        def authenticate(authorization: str) -> object:
            return authenticator.authenticate(RequestHead("POST", "/v1/messages", "", {"authorization": authorization}))

        claim = authenticate(f"Bearer {text}")
        assert isinstance(claim, PendingClaim)
        caller = await claim.resolve()
        for _ in range(4):
            assert authenticate(f"Bearer {text}") is caller
        for other in (f"Basic {text}", f"Bearer {text}a", f"Bearer  {text[:-1]}"):
            with pytest.raises(AuthenticationFailed):
                authenticate(other)


async def test_a_recent_secret_that_ends_is_not_found_after_its_end(database: Database) -> None:
    moment, wall = [1000.0], [time.time()]
    text, _ = await add_key(database, await add_team(database))
    ends = datetime.fromtimestamp(wall[0] + 0.5, UTC)
    async with database.begin() as connection:
        await connection.execute(tables.keys.update().values(expires_at=ends))
    async with directory_of(database, clock=lambda: moment[0], wall=lambda: wall[0]) as directory:
        await identify(directory, text)
        for _ in range(2):
            assert directory.find(text, text.encode()) is not None
        moment[0] += 0.4
        assert directory.find_recent(text.encode()) is not None
        moment[0] += 0.2
        assert directory.find_recent(text.encode()) is None


async def test_signers_are_found_by_the_id_of_the_key(database: Database) -> None:
    text, key = await add_key(database, await add_team(database))
    async with directory_of(database) as directory:
        assert directory.find_verifier(key.id) is None
        verifier = await directory.load_verifier(key.id)
        assert (verifier.secrets, verifier.caller.name) == ((text,), key.id)
        assert directory.find_verifier(key.id) == verifier
        nobody = new_id()
        for _ in range(2):
            with pytest.raises(AuthenticationFailed, match="incorrect"):
                directory.find_verifier(nobody) or await directory.load_verifier(nobody)


async def test_teams_are_found_for_callers_without_a_key(database: Database) -> None:
    team = await add_team(database, models=["a*"], labels={"x": "1"}, largest_max_tokens=5)
    async with directory_of(database) as directory:
        assert directory.policy_of_team(team.id, "ada", {"y": "2"}) is None
        policy = await directory.load_policy_of_team(team.id, "ada", {"y": "2"})
        assert (policy.team_id, policy.key_id, policy.person) == (team.id, "", "ada")
        assert (policy.labels, policy.models, policy.largest_max_tokens) == ({"x": "1", "y": "2"}, (("a*",),), 5)
        assert directory.policy_of_team(team.id, "ada", {"y": "2"}) is policy
        assert directory.policy_of_team(team.id, "bob") != policy
        await change_team(database, team, status="blocked")
        await until(lambda: directory.policy_of_team(team.id) is None)
        with pytest.raises(AuthenticationFailed, match="team of this caller is blocked"):
            await directory.load_policy_of_team(team.id)
        for _ in range(2):
            with pytest.raises(AuthenticationFailed, match="does not exist"):
                directory.policy_of_team("nobody") or await directory.load_policy_of_team("nobody")
        async with database.begin() as connection:
            await teams.remove(connection, team.id)
            await touched(connection, team)
        await until(lambda: team.id not in directory._teams)


@pytest.mark.timed
async def test_without_the_database_known_keys_go_on_and_others_wait_two_seconds_at_most() -> None:
    with running_postgres() as server:
        async with opened(await server.create_with_schema()) as database:
            team = await add_team(database)
            (known, key), (other, _) = [await add_key(database, team) for _ in range(2)]
            async with directory_of(database) as directory:
                await identify(directory, known)
                server.stop()
                began = time.monotonic()
                for _ in range(3):
                    with pytest.raises(Overloaded, match="API keys cannot be checked now"):
                        await identify(directory, other)
                assert time.monotonic() - began < 2
                assert directory.find(known, known.encode()) is not None
                server.start()
                await until(lambda: time.monotonic() - began > 1, 5)
                assert (await identify(directory, other)).policy is not None
                # the watch has survived
                await database.close()
                await change_key(database, key, status="revoked")
                await refused_within(directory, known, "revoked")


@pytest.mark.timed
async def test_a_database_that_hangs_costs_two_seconds_at_most() -> None:
    with running_postgres() as server:
        async with opened(await server.create_with_schema()) as database:
            team = await add_team(database)
            (known, key), *others = [await add_key(database, team) for _ in range(4)]
            async with directory_of(database) as directory:
                await identify(directory, known)
                with server.hanging():
                    for text, _ in others:
                        began = time.monotonic()
                        with pytest.raises(Overloaded, match="API keys cannot be checked now"):
                            await identify(directory, text)
                        assert time.monotonic() - began < 2
                        assert directory.find(known, known.encode()) is not None
                await asyncio.sleep(0.6)
                assert (await identify(directory, others[0][0])).policy is not None
                await database.close()
                await change_key(database, key, status="revoked")
                await refused_within(directory, known, "revoked")


async def test_a_change_while_the_database_cannot_be_reached_is_heard_of_afterwards(database: Database) -> None:
    text, key = await add_key(database, await add_team(database))
    async with directory_of(database) as directory:
        await identify(directory, text)
        watch = directory._watch
        await watch.close()
        watch.seen = None
        await change_key(database, key, status="revoked")
        assert directory.find(text, text.encode()) is not None
        watch.start()
        await refused_within(directory, text, "revoked")


async def test_what_changes_while_it_is_read_is_read_again(database: Database) -> None:
    team = await add_team(database)
    text, key = await add_key(database, team)
    async with directory_of(database) as directory:
        await directory._watch.close()
        reader, read = directory._key_reader, directory._key_reader._read

        async def read_slowly(*arguments: Any) -> Any:
            found = await read(*arguments)
            if not counted:
                counted.append(1)
                # committed after the read, and heard of before its end
                directory.note_change(f"team/{team.id}")
            return found

        counted: list[int] = []
        reader._read = read_slowly
        with statements(directory) as statements_:
            assert (await identify(directory, text)).name == key.id
        assert len(statements_) == 2


async def test_what_changes_before_the_request_that_waited_goes_on_is_read_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = await add_team(database)
    text, key = await add_key(database, team)
    real = RowReader.read
    async with directory_of(database) as directory:
        await directory._watch.close()

        async def read(reader: RowReader[Any], identifier: str) -> None:
            await real(reader, identifier)
            for name in changes:
                directory.note_change(name)
            changes.clear()

        monkeypatch.setattr(RowReader, "read", read)
        changes = [f"team/{team.id}"]
        assert (await directory.load_policy_of_team(team.id)).team_id == team.id
        for change in (f"key/{key.id}", f"team/{team.id}"):
            changes = [change]
            assert (await directory.load(text)).name == key.id
            changes = [change]
            assert (await directory.load_verifier(key.id)).secrets == (text,)
        assert changes == []


async def test_a_change_is_later_than_the_last_one_whatever_the_clock_says(database: Database) -> None:
    team = await add_team(database)
    async with database.begin() as connection:
        ahead = tables.key_changes.update().values(changed_at_us=tables.key_changes.c.changed_at_us + 10**9)
        await connection.execute(ahead)
        (before,) = (await changes_within(connection, 0)).values()
        await touched(connection, team)
        assert await changes_within(connection, 0) == {f"team/{team.id}": before + 1}


def test_what_is_remembered_is_bounded() -> None:
    at = 0.0
    known: Known[int] = Known(3, lambda: at)
    for number in range(4):
        known.put(f"{number}", number)
        known.use("0")
    assert list(known) == ["2", "3", "0"]
    for number in range(20_000):
        known.put(f"no {number}", None)
    assert len(known.absent._until) == 10_000
    assert "no 19999" in known.absent
    at += 31
    assert "no 19999" not in known.absent
