"""Fills a PostgreSQL with teams, keys, budgets and a ledger, for the benchmark and the pictures of the console."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

_TEAMS = (
    "Assistants",
    "Checkout",
    "Data platform",
    "Documentation",
    "Fraud",
    "Mobile",
    "Research",
    "Search",
    "Support",
)
_MODELS = (
    "us.anthropic.claude-sonnet-5-5",
    "us.anthropic.claude-haiku-5-5",
    "amazon.nova-pro-v1:0",
    "us.anthropic.claude-opus-5-5",
    "openai.gpt-oss-120b-1:0",
)
_KEYS = ("agents", "batch", "ci", "claude-code", "evaluation", "nightly", "prototype", "service", "staging")
_USERS_OF_TEAM = 50
_PROJECTS = 20
_SECONDS = 3600.0
_LARGE = ("ledger", "usage", "usage_totals")
_STORED = ("ledger", "usage", "usage_totals_hour", "usage_totals_day")
_SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "cost_nano", "estimated_nano", "unpriced_requests",
)  # fmt: skip


async def fill(url: str, keys: int, rows: int, *, days: int = 30, teams: int = len(_TEAMS)) -> None:
    """Insert keys, and attempts that were settled in the last days, with their sums by hour and by day.

    Half of the attempts name one of 50 end users of their team. A key has one of 40 sets of labels.

    Args:
        url: of a database with the schema, and without rows.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "set synchronous_commit = off; set timezone = 'UTC'; set work_mem = '512MB'; set maintenance_work_mem = '1GB'"
        )
        until = datetime.now(UTC)
        for statement in _people(until, keys, teams):
            await connection.execute(statement, timeout=_SECONDS)
        async with _without_indexes(connection):
            for statement in _attempts(until, keys, rows, days, teams):
                await connection.execute(statement, timeout=_SECONDS)
        await connection.execute("vacuum analyze", timeout=_SECONDS)
    finally:
        await connection.close()


@asynccontextmanager
async def _without_indexes(connection: Any) -> AsyncIterator[None]:
    """Drop the indexes of the large tables, and create them again in the end: filling is then several times as fast."""
    created = []
    for table in _STORED:
        await connection.execute(f"alter table {table} set unlogged")
    for table in _LARGE:
        primary = await connection.fetchval(
            "select pg_get_constraintdef(oid) from pg_constraint where conrelid = $1::text::regclass and contype = 'p'",
            table,
        )
        created.append(f"alter table {table} add constraint pk_{table} {primary}")
        await connection.execute(f"alter table {table} drop constraint pk_{table}")
        for index in await connection.fetch("select indexname, indexdef from pg_indexes where tablename = $1", table):
            created.append(index["indexdef"].replace(" ON ONLY ", " ON "))
            await connection.execute(f"drop index {index['indexname']}")
    yield
    for statement in created:
        await connection.execute(statement, timeout=_SECONDS)


def _people(until: datetime, keys: int, teams: int) -> Iterator[str]:
    moment = _moment(until)
    scope = "'{}'::jsonb, 'active'"
    team, key = _id("t", f"i % {teams}"), _id("k", "i")
    yield f"""insert into teams (id, name, labels, status, created_at, updated_at, revision)
        select {_id("t", "i")}, {_one_of(_TEAMS, "i")} || case when i < {len(_TEAMS)} then '' else ' ' || i end, {scope},
            {moment} - interval '40 days', {moment} - interval '40 days', 1 from generate_series(0, {teams - 1}) i"""
    yield f"""insert into keys (id, team_id, name, person, labels, status, created_at, updated_at, revision, models)
        select {key}, {team}, {_one_of(_KEYS, "i / " + str(teams))} || case when i < 81 then '' else '-' || i end, '', {scope},
            {moment} - i * interval '1 minute', {moment} - i * interval '1 minute', 1,
            case when i % 3 = 0 then '["*claude*"]'::jsonb end from generate_series(0, {keys - 1}) i"""
    for kind, number in (("team", teams), ("key", keys)):
        owner = _id(kind[0], "i")
        amount = "(50 + 25 * (i % 9)) * 1000000000::bigint"
        budget = f"'{'bt' if kind == 'team' else 'bk'}' || lpad(i::text, 24, '0')"
        yield f"""insert into budgets (id, scope, scope_id, per, per_value, period, amount_nano, action, mode, shadow,
                created_at, updated_at)
            select {budget}, '{kind}', {owner}, '', '', 'month', {amount}, 'block', 'hard', false, {moment}, {moment}
            from generate_series(0, {number - 1}) i"""
        yield f"""insert into balances (key, kind, source_id, settled, leased, refilled_at_ns, recalled_at_us)
            select 'budget/' || {budget} || '/{until:%Y-%m}', 'budget', {budget},
                ({amount} * (0.05 + (i * 37 % 100) / 108.0))::bigint, ({amount} * 0.01)::bigint, 0, 0
            from generate_series(0, {number - 1}) i"""
    yield f"""insert into replicas (id, host, version, state, started_at_us, expires_at_us, sequence)
        select 'r' || i, 'gateway-' || i, '0.1.0', 'live', extract(epoch from {moment})::bigint * 1000000,
            4102444800000000, 1 from generate_series(1, 2) i"""
    yield f"""insert into audit (id, at, actor, address, request_id, action, object_id, after)
        select {_id("0", "i")}, {moment} - ({keys} - i) * interval '1 minute', 'key:ops', '10.0.0.7', 'req-' || i,
            'key.create', {key}, jsonb_build_object('name', 'key ' || i, 'status', 'active')
        from generate_series(0, {keys - 1}) i"""


def _attempts(until: datetime, keys: int, rows: int, days: int, teams: int) -> Iterator[str]:
    moment = _moment(until)
    # keys are used unequally, and more at noon than at night
    chosen = f"trunc({keys} * power(random(), 3))::int"
    user = f"case when i % 2 = 0 then '' else 'user-' || (k % {teams}) || '-' || (i / 2) % {_USERS_OF_TEAM} end"
    yield f"""insert into ledger (attempt_id, phase, number, at, replica_id, request_id, team_id, key_id, "user", labels,
            model_asked, model_served, location, tier, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
            cache_write_1h_tokens, reasoning_tokens, cost_nano, price_version, outcome, is_estimated, charged_to)
        select 'a' || i, 'settle', 0, at, 'r1', 'req-' || i, {_id("t", f"k % {teams}")}, {_id("k", "k")}, {user},
            {_labels("k")}::jsonb, model, model, '', '', input, output, 0, 0, 0, 0, input * 3000 + output * 15000, '2026-11',
            'ok', false, '{{}}'
        from (select i, {chosen} as k, 500 + i % 4000 as input, 50 + i % 900 as output,
                {_one_of(_MODELS, "power(random(), 2) * " + str(len(_MODELS)))} as model,
                {moment} - (({days} * i::float8 / {rows}) * interval '1 day')
                    - sin(i * 6.2832 * {days} / {rows}) * interval '2 hours' as at
            from generate_series(1, {rows}) i) drawn where at <= {moment}"""
    sums = ", ".join(_SUMS)
    yield f"""insert into usage (interval, start, team_id, key_id, "user", model, labels, {sums})
        select 'hour', date_trunc('hour', at), team_id, key_id, "user", model_served,
            {_labels("substr(key_id, 2)::int")}, count(*), sum(input_tokens), sum(output_tokens), 0, 0, 0, 0, sum(cost_nano),
            0, 0
        from ledger group by 2, 3, 4, 5, 6, 7 order by 2"""
    added = ", ".join(f"sum({name})" for name in _SUMS)
    yield f"""insert into usage (interval, start, team_id, key_id, "user", model, labels, {sums})
        select 'day', date_trunc('day', start), team_id, key_id, "user", model, labels, {added}
        from usage where interval = 'hour' group by 2, 3, 4, 5, 6, 7 order by 2"""
    for dimension, column in (("model", "model"), ("key", "key_id"), ("user", '"user"'), ("label", "labels")):
        yield f"""insert into usage_totals (interval, dimension, start, team_id, value, {sums})
            select interval, '{dimension}', start, team_id, {column}, {added} from usage group by 1, 3, 4, 5
            order by start"""
    yield """insert into request_counts (interval, start, requests, errors, throttles)
        select interval, start, sum(requests), (sum(requests) * 0.02 * random())::int, (sum(requests) * 0.05 * random())::int
        from usage_totals where dimension = 'model' group by 1, 2"""
    yield f"""insert into request_counts (interval, start, requests, errors, throttles)
        select 'minute', date_trunc('minute', {moment}) - i * interval '1 minute', 9 + i * 7 % 5, (i % 17 = 0)::int,
            (i % 11 = 3)::int + (i % 5 = 3)::int from generate_series(0, 59) i"""


def _moment(until: datetime) -> str:
    return f"timestamptz '{until.isoformat()}'"


def _labels(key: str) -> str:
    """Return the labels of a key, written as the ledger's writer writes them."""
    environment = f"case when ({key}) % 2 = 0 then 'prod' else 'dev' end"
    return f"""('{{"env":"' || {environment} || '","project":"p' || ({key}) / 2 % {_PROJECTS} || '"}}')"""


def _id(prefix: str, number: str) -> str:
    return f"'{prefix}' || lpad(({number})::text, 25, '0')"


def _one_of(values: tuple[str, ...], index: str) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"(array[{listed}])[1 + trunc({index})::int % {len(values)}]"
