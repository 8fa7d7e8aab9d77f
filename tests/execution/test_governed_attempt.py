"""Attempts under the limits and budgets of their callers: what is held, what is charged, what is refused."""

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from app import errors
from app.bedrock.client import BedrockRequest
from app.composition.governance import Governance
from app.config.database_url import parse_database_url
from app.converse.call import ModelCall
from app.execution.executor import Executor
from app.execution.operations.converse import ConverseOperation, ConverseStreamOperation
from app.execution.operations.count_tokens import CountTokensOperation
from app.execution.operations.passthrough import PassthroughOperation
from app.execution.request_context import RequestContext
from app.governance.identity.caller import Caller, Policy
from app.governance.ledger.entry import Entry
from app.models.prices import Prices
from app.routing.circuit_breakers import Breakers
from app.storage import tables
from app.storage.database import Database
from app.storage.records import Budget, Limit
from app.storage.repository import budgets, limits
from app.wire import json
from tests.bedrock.test_stream_decoding import STREAM
from tests.databases import write_prepared
from tests.execution.test_executor import REPLY, Memory, Response, as_it_is, context, executor_over
from tests.waiting import until

pytestmark = pytest.mark.database

MODEL = "meta.llama3-8b-instruct-v1:0"
# per million tokens
PRICES = {
    MODEL: {"input": 1.0, "output": 2.0},
    "anthropic.claude-sonnet-4-20250514-v1:0": {"input": 1.0, "output": 2.0},
    "example.unknown-v1:0": {"input": 1.0, "output": 2.0},
}
MAX_TOKENS = 50
COST = 3 * 1_000 + 4 * 2_000
CALL = ModelCall(
    MODEL, {"messages": [{"role": "user", "content": [{"text": "x"}]}], "inferenceConfig": {"maxTokens": MAX_TOKENS}}
)
WORST = (len(json.dumps(CALL.converse)) + 500) * 1_000 + MAX_TOKENS * 2_000


class Slow(Memory):
    """An upstream that has a request, and answers it later."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer, self.count = answer, 0
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def open(self, request: Any) -> Any:
        self.count += 1
        self.is_asked.set()
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def money(amount: int, **changes: Any) -> Budget:
    return Budget(**{"scope": "key", "scope_id": "k", "period": "total", "amount_nano": amount, **changes})


def limit(kind: Any, capacity: int, **changes: Any) -> Limit:
    return Limit(**{"scope": "key", "scope_id": "k", "kind": kind, "capacity": capacity, **changes})


class Gateway:
    """What a gateway has of execution and governance, over one database."""

    def __init__(self, database: Database, governance: Governance) -> None:
        self.database, self.governance = database, governance
        self.caller = Caller("k")

    async def with_rules(self, *rules: Limit | Budget, **changes: Any) -> Caller:
        async with self.database.begin() as connection:
            for rule in rules:
                await (limits if isinstance(rule, Limit) else budgets).add(connection, rule)  # type: ignore[arg-type]
        found = {"limits": Limit, "budgets": Budget}
        kept: Any = {name: tuple(rule for rule in rules if isinstance(rule, kind)) for name, kind in found.items()}
        self.caller = Caller("k", Policy(**{"team_id": "t", "key_id": "k", **kept, **changes}))
        return self.caller

    async def executor(self, *answers: Any) -> Executor:
        executor = await executor_over(answers[0] if isinstance(answers[0], Memory) else Memory(*answers))
        return replace(
            Executor.over(
                executor.attempt_once.clients, executor.planner, executor.failover, govern=self.governance.govern
            )  # type: ignore[attr-defined]
        )

    def context(self) -> RequestContext:
        return replace(context(), caller=self.caller)

    async def call(self, *answers: Any, call: ModelCall = CALL, made: RequestContext | None = None) -> Any:
        executor = await self.executor(*(answers or (Response(200, [json.dumps(REPLY)]),)))
        return await executor.run(
            made or self.context(), call.model, lambda target: ConverseOperation.of(call, target, as_it_is)
        )

    async def stream(self, *answers: Any) -> Any:
        executor = await self.executor(*answers)
        return await executor.run(
            self.context(), MODEL, lambda target: ConverseStreamOperation.of(CALL, target, as_it_is)
        )

    async def entries(self) -> list[Entry]:
        """The settlements, after they have been posted."""
        await self.governance.charges.ledger.post_batch()
        async with self.database.begin(reads=True) as connection:
            query = select(tables.ledger).where(tables.ledger.c.phase == "settle")
            return [Entry(**row._mapping) for row in await connection.execute(query)]

    @property
    def held(self) -> int:
        return sum(each.held for each in self.governance.client.transactions.book.holdings.values())


@asynccontextmanager
async def gateway_of(folder: str, **options: Any) -> AsyncIterator[Gateway]:
    file = Path(folder) / "outcrop.db"
    await write_prepared(file)
    database = Database(parse_database_url(f"sqlite:///{file}"))
    governance = Governance(
        database, Prices(PRICES), Path(folder), **{"fail_open": False, "users_per_hour": 100, **options}
    )
    await governance.start()
    try:
        yield Gateway(database, governance)
    finally:
        await governance.close()
        await database.close()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        async with gateway_of(folder) as made:
            yield made


async def test_the_entry_of_a_hold_has_the_worst_cost(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without budgets: nothing else says what a call may have cost whose process is killed."""
    await gateway.with_rules()
    admitted: list[Entry] = []
    real = gateway.governance.charges.ledger.admit
    monkeypatch.setattr(gateway.governance.charges.ledger, "admit", lambda each: (admitted.append(each), real(each)))
    await gateway.call()
    (hold,) = admitted
    assert (hold.cost_nano, hold.charged_to, hold.at_what_was_held().cost_nano) == (WORST, {}, WORST)
    (settled,) = await gateway.entries()
    assert settled.cost_nano == COST


async def test_an_answer_is_charged_at_what_it_cost(gateway: Gateway) -> None:
    budget = money(10**9)
    await gateway.with_rules(budget, labels={"app": "a"})
    made = gateway.context()
    made.user = "ada"
    assert await gateway.call(made=made) == REPLY
    (entry,) = await gateway.entries()
    assert (entry.cost_nano, entry.input_tokens, entry.output_tokens) == (COST, 3, 4)
    assert (entry.team_id, entry.key_id, entry.user, entry.labels) == ("t", "k", "ada", {"app": "a"})
    assert (entry.model_asked, entry.model_served, entry.request_id, entry.outcome) == (MODEL, MODEL, "r", "ok")
    assert (entry.charged_to, entry.is_estimated) == ({f"budget/{budget.id}/total": COST}, False)
    assert entry.price_version == Prices().version
    assert gateway.held == 0


async def test_the_header_names_the_user_before_the_body(gateway: Gateway) -> None:
    await gateway.with_rules()
    for headers, body_user in (({"x-outcrop-user": "ada\x00"}, "bob"), ({}, "bob"), ({}, "")):
        made = gateway.context()
        made.head.headers.update(headers)
        made.user = body_user
        await gateway.call(made=made)
        made.head.headers.clear()
    assert [entry.user for entry in await gateway.entries()] == ["ada", "bob", ""]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
async def test_the_user_in_the_header_is_that_of_the_body(gateway: Gateway, encoding: str) -> None:
    await gateway.with_rules()
    for header, body_user in (("", "jürgen"), ("jürgen".encode(encoding).decode("latin-1"), "")):
        made = gateway.context()
        made.head.headers["x-outcrop-user"] = header
        made.user = body_user
        await gateway.call(made=made)
    assert [entry.user for entry in await gateway.entries()] == ["jürgen", "jürgen"]


@pytest.mark.parametrize("rules", [{"key_id": ""}, {}], ids=["a token", "a key"])
async def test_a_person_cannot_name_another_user(gateway: Gateway, rules: dict[str, str]) -> None:
    """Else callers would choose whose limit by user applies, and who is charged in reports."""
    await gateway.with_rules(**rules, person="eve")
    made = gateway.context()
    made.head.headers["x-outcrop-user"] = made.user = "ada"
    await gateway.call(made=made)
    assert [entry.user for entry in await gateway.entries()] == ["eve"]


async def test_the_worst_case_is_held_and_a_spent_budget_refuses(gateway: Gateway) -> None:
    await gateway.with_rules(money(WORST))
    await gateway.call()
    with pytest.raises(errors.BudgetSpent, match="spend limit reached") as refused:
        await gateway.call()
    assert refused.value.is_final
    assert [entry.cost_nano for entry in await gateway.entries()] == [COST]
    assert gateway.held == 0


async def test_a_call_without_a_length_holds_the_longest_answer(gateway: Gateway) -> None:
    without: Any = ModelCall(MODEL, {"messages": CALL.converse["messages"]})
    longest = 2_048 * 2_000
    await gateway.with_rules(money(longest))
    with pytest.raises(errors.BudgetSpent):
        await gateway.call(call=without)


@pytest.mark.parametrize("length", [10**13, 10**18])
async def test_a_length_that_no_answer_has_keeps_nobody_from_the_database(gateway: Gateway, length: int) -> None:
    """Else what it costs fits into no column, and all calls failed that waited for the same transaction."""
    await gateway.with_rules(money(10**9, action="warn"))
    long: Any = ModelCall("example.unknown-v1:0", {**CALL.converse, "inferenceConfig": {"maxTokens": length}})
    assert await asyncio.gather(*[gateway.call(call=each) for each in (long, CALL, long)]) == [REPLY] * 3
    assert [entry.outcome for entry in await gateway.entries()] == ["ok"] * 3


async def test_an_attempt_that_bedrock_refuses_is_not_charged_and_another_one_is(gateway: Gateway) -> None:
    rate = limit("requests_per_minute", 1)
    await gateway.with_rules(money(2 * WORST), rate)
    await gateway.call(Response(503, [b"{}"]), Response(200, [json.dumps(REPLY)]))
    found = await gateway.entries()
    assert [(entry.outcome, entry.cost_nano) for entry in found] == [("overloaded", 0), ("ok", COST)]
    assert gateway.held == 0
    with pytest.raises(errors.RateLimited, match="1 requests per minute"):
        await gateway.call()


async def test_a_refusal_says_nothing_about_the_target(gateway: Gateway) -> None:
    """The breaker of a target neither pauses nor closes because of a caller's own limits."""
    await gateway.with_rules(limit("requests_per_minute", 1))
    await gateway.call()
    executor = await gateway.executor(Response(200, [json.dumps(REPLY)]))
    breakers = Breakers(1, 60.0)
    executor = replace(executor, failover=replace(executor.failover, breakers=breakers))
    (target,) = executor.planner.plan(MODEL)
    breaker = breakers[(target.model.raw, target.location, "converse")]

    async def ask() -> None:
        with pytest.raises(errors.RateLimited, match="per minute"):
            await executor.run(gateway.context(), MODEL, lambda target: ConverseOperation.of(CALL, target, as_it_is))

    await ask()
    assert (breaker.failures, breaker.paused_until) == (0, 0.0)
    breaker.note(errors.UpstreamUnreachable("no"), is_probe=False)
    breaker.open_until = 0.0
    await ask()
    # the next caller is the probe
    assert (breaker.failures, breaker.wait()) == (1, 0.0)


@pytest.mark.parametrize(
    "answer", [Response(200, [b'{"outp'], breaks=True), Response(200, [b"no json"])], ids=["broken", "malformed"]
)
async def test_an_answer_that_does_not_arrive_is_charged_at_an_estimate(gateway: Gateway, answer: Response) -> None:
    await gateway.with_rules(money(10**9))
    with pytest.raises(errors.UpstreamFailed):
        await gateway.call(answer)
    (entry,) = await gateway.entries()
    assert (entry.cost_nano, entry.is_estimated, entry.outcome) == (WORST, True, "upstream_failed")
    assert gateway.held == 0


async def test_an_estimate_is_what_calls_of_the_model_usually_cost(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9))
    for _ in range(6):
        await gateway.call()
    with pytest.raises(errors.UpstreamFailed):
        await gateway.call(Response(200, [b"no json"]))
    *_, entry = await gateway.entries()
    assert (entry.cost_nano, entry.input_tokens, entry.output_tokens) == (COST, 3, 4)


async def test_a_caller_who_leaves_is_charged(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9), limit("max_parallel_requests", 1))

    is_sent = asyncio.Event()

    class Silent(Memory):
        async def open(self, request: Any) -> Any:
            is_sent.set()
            await asyncio.sleep(60)

    call = asyncio.create_task(gateway.call(Silent()))
    await is_sent.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (entry,) = await gateway.entries()
    assert (entry.cost_nano, entry.is_estimated, entry.outcome) == (WORST, True, "cancelled")
    assert gateway.held == 0


async def test_callers_who_leave_release_their_parallel_request(gateway: Gateway) -> None:
    await gateway.with_rules(limit("max_parallel_requests", 5))

    sent = 0

    class Silent(Memory):
        async def open(self, request: Any) -> Any:
            nonlocal sent
            sent += 1
            await asyncio.sleep(60)

    for turn in range(4):
        calls = [asyncio.create_task(gateway.call(Silent())) for _ in range(5)]
        await until(lambda: sent == 5 * turn + 5)  # noqa: B023
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert await asyncio.gather(*[gateway.call() for _ in range(5)]) == [REPLY] * 5


async def test_an_attempt_without_a_connection_is_not_charged(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9))
    with pytest.raises(errors.UpstreamUnreachable):
        await gateway.call(errors.UpstreamUnreachable("no"))
    assert {entry.cost_nano for entry in await gateway.entries()} == {0}


async def test_a_stream_is_charged_when_it_ends(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9), limit("max_parallel_requests", 1))
    relay = await gateway.stream(Response(200, [STREAM[:200], STREAM[200:]]))
    assert not await gateway.entries()
    with pytest.raises(errors.RateLimited, match="parallel"):
        await gateway.call()
    await relay.deliver(lambda _: True)
    relay.close()
    (entry,) = await gateway.entries()
    assert (entry.outcome, entry.output_tokens, entry.is_estimated) == ("ok", 4, False)
    assert gateway.held == 0


async def test_a_stream_that_nobody_reads_is_charged_at_an_estimate(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9))
    relay = await gateway.stream(Response(200, [STREAM[:200], STREAM[200:]]))
    # as when the caller leaves before the first piece is sent
    del relay
    await asyncio.sleep(0.01)
    (entry,) = await gateway.entries()
    assert (entry.outcome, entry.cost_nano, entry.is_estimated) == ("cut", WORST, True)
    assert gateway.held == 0


async def test_the_stream_of_a_caller_who_has_left_is_read_to_its_end(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9), limit("max_parallel_requests", 1))
    answer = Response(200, [STREAM[:200], STREAM[200:]])
    relay = await gateway.stream(answer)
    relay.close()
    # what the model writes is billed, but the caller may make another request
    assert await gateway.call() == REPLY
    await asyncio.sleep(0)
    found = await gateway.entries()
    assert {(entry.outcome, entry.output_tokens, entry.is_estimated) for entry in found} == {("ok", 4, False)}
    assert (len(found), answer.is_closed, gateway.held) == (2, True, 0)


async def test_a_caller_who_leaves_lets_what_was_sent_end_and_nothing_more(gateway: Gateway) -> None:
    """Bedrock bills the answer, so its tokens are waited for; a failure is not a reason to call another time."""
    await gateway.with_rules(money(10**9), limit("max_parallel_requests", 1))
    for answer, expected in ((Response(200, [json.dumps(REPLY)]), COST), (errors.UpstreamUnreachable("no"), 0)):
        upstream, made = Slow(answer), gateway.context()
        call = asyncio.create_task(gateway.call(upstream, made=made))
        await upstream.is_asked.wait()
        assert made.outlive is not None
        assert made.outlive(made, call)
        # the one parallel request is free
        assert await gateway.call() == REPLY
        upstream.may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        entry = max(await gateway.entries(), key=lambda each: each.at)
        assert (entry.cost_nano, entry.is_estimated, upstream.count) == (expected, False, 1)
    assert gateway.held == 0


async def test_a_hard_budget_pays_the_worst_case_of_calls_whose_callers_leave(gateway: Gateway) -> None:
    """What calls usually use is not a measure: callers leave those that take long."""
    for rule, cost in ((money(10**9), WORST), (money(10**9, mode="estimated", period="day"), COST)):
        await gateway.with_rules(rule)
        await asyncio.gather(*[gateway.call() for _ in range(6)])
        upstream = Slow(None)
        call = asyncio.create_task(gateway.call(upstream))
        await upstream.is_asked.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        entry = max(await gateway.entries(), key=lambda each: each.at)
        assert (entry.cost_nano, entry.is_estimated, entry.outcome) == (cost, True, "cancelled")


async def test_what_arrived_of_a_stream_is_charged(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    await gateway.with_rules(money(10**9, mode="estimated"))
    await asyncio.gather(*[gateway.call() for _ in range(6)])
    monkeypatch.setattr("app.governance.charges._BYTES_OF_A_TOKEN", 10)
    relay = await gateway.stream(Response(200, [STREAM[:200], STREAM[200:]]))
    del relay
    await asyncio.sleep(0.01)
    entry = max(await gateway.entries(), key=lambda each: each.at)
    assert (entry.outcome, entry.output_tokens, entry.is_estimated) == ("cut", 20, True)


async def test_a_stream_that_breaks_is_charged_at_an_estimate(gateway: Gateway) -> None:
    """Also from a hard budget: its caller could not know."""
    await gateway.with_rules(money(10**9))
    await asyncio.gather(*[gateway.call() for _ in range(6)])
    relay = await gateway.stream(Response(200, [STREAM[:200]], breaks=True))
    with pytest.raises(errors.UpstreamFailed):
        await relay.deliver(lambda _: True)
    relay.close()
    await asyncio.sleep(0.01)
    entry = max(await gateway.entries(), key=lambda each: each.at)
    assert (entry.outcome, entry.output_tokens, entry.is_estimated) == ("cut", 4, True)


async def test_a_request_is_freed_without_the_garbage_collector(gateway: Gateway) -> None:
    """A cycle for each request had it run for every few requests."""
    await gateway.with_rules(money(10**9))
    await gateway.call()
    gc.collect()
    # of tests that ran before
    kept = [each for each in gc.get_objects() if isinstance(each, RequestContext)]
    gc.disable()
    try:
        await gateway.call()
        assert len([each for each in gc.get_objects() if isinstance(each, RequestContext)]) == len(kept)
    finally:
        gc.enable()


async def test_a_key_has_a_part_of_the_calls_that_go_on(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**9))
    calls = []
    for number in range(12):
        upstream, made = Slow(Response(200, [json.dumps(REPLY)])), gateway.context()
        calls.append((upstream, asyncio.create_task(gateway.call(upstream, made=made))))
        await upstream.is_asked.wait()
        assert made.outlive is not None
        assert made.outlive(made, calls[-1][1]) == (number < 10)
    other = await gateway.with_rules()
    gateway.caller = replace(other, name="another")
    upstream, made = Slow(Response(200, [json.dumps(REPLY)])), gateway.context()
    calls.append((upstream, asyncio.create_task(gateway.call(upstream, made=made))))
    await upstream.is_asked.wait()
    assert made.outlive is not None
    assert made.outlive(made, calls[-1][1])
    for each, _ in calls:
        each.may_answer.set()
    await asyncio.gather(*[task for _, task in calls], return_exceptions=True)


async def test_a_model_without_a_price_is_refused_only_by_a_budget_that_blocks(gateway: Gateway) -> None:
    unknown: Any = ModelCall("scripted.echo-v1:0", CALL.converse)
    await gateway.with_rules(money(10**9, action="warn"))
    await gateway.call(call=unknown)
    await gateway.with_rules(money(10**9))
    with pytest.raises(errors.ModelNotFound, match=r"the model 'scripted\.echo-v1:0' is not known, or the price"):
        await gateway.call(call=unknown)
    (entry,) = await gateway.entries()
    assert (entry.cost_nano, entry.input_tokens) == (None, 3)


async def test_counting_tokens_and_reading_lists_are_free(gateway: Gateway) -> None:
    await gateway.with_rules(money(0), limit("requests_per_minute", 1))
    executor = await gateway.executor(Response(200, [b'{"inputTokens":7}']))
    claude = ModelCall("anthropic.claude-sonnet-4-20250514-v1:0", CALL.converse)
    for _ in range(3):
        executor = await gateway.executor(Response(200, [b'{"inputTokens":7}']))
        made = gateway.context()
        assert await executor.run(made, claude.model, lambda target: CountTokensOperation.of(claude, target)) == 7
        for request in (
            BedrockRequest("bedrock", "GET", "/foundation-models"),
            BedrockRequest("bedrock-runtime", "POST", f"/model/{MODEL}/count-tokens", body=b"{}"),
        ):
            operation = PassthroughOperation(surface=request.service, request=request)  # type: ignore[arg-type]
            executor = await gateway.executor(Response(200, [b"any"]))
            await executor.forward(gateway.context(), "", operation)
    assert await gateway.entries() == []


async def test_a_callers_own_body_is_held_at_the_length_that_it_requests(gateway: Gateway) -> None:
    body = json.dumps(CALL.converse)
    request = BedrockRequest("bedrock-runtime", "POST", f"/model/{MODEL}/converse", body=body)
    operation = PassthroughOperation(surface="converse", request=request, usage_in="body")  # type: ignore[arg-type]
    # the template of tools is counted, since the body is not searched for them
    await gateway.with_rules(money(WORST + 1_500_000))
    executor = await gateway.executor(Response(200, [json.dumps(REPLY)]))
    await executor.forward(gateway.context(), MODEL, operation)
    (entry,) = await gateway.entries()
    assert (entry.cost_nano, entry.is_estimated) == (COST, False)
    body = json.dumps({"messages": CALL.converse["messages"]})
    operation = replace(operation, request=replace(request, body=body))
    with pytest.raises(errors.BudgetSpent):
        await executor.forward(gateway.context(), MODEL, operation)


async def test_several_calls_of_one_request_are_one_request(gateway: Gateway) -> None:
    await gateway.with_rules(limit("requests_per_minute", 1), limit("max_parallel_requests", 1))
    made = gateway.context()
    await asyncio.gather(*[gateway.call(made=made) for _ in range(5)])
    assert len(await gateway.entries()) == 5
    assert gateway.held == 0
    with pytest.raises(errors.RateLimited):
        await gateway.call()


async def test_a_key_of_the_environment_has_no_limits_and_is_in_the_ledger(gateway: Gateway) -> None:
    await gateway.call()
    (entry,) = await gateway.entries()
    assert (entry.team_id, entry.key_id, entry.cost_nano, entry.charged_to) == ("", "k", COST, {})


async def test_a_journal_that_cannot_be_written_refuses_and_holds_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.with_rules(money(10**9))
    journal: Any = gateway.governance.charges.ledger._journal

    def full(*_: object) -> None:
        from app.governance.ledger.journal import JournalFull

        raise JournalFull("no space")

    monkeypatch.setattr(journal, "write", full)
    with pytest.raises(errors.Overloaded, match="cannot record"):
        await gateway.call()
    assert gateway.held == 0


async def test_the_usual_request_makes_no_round_trip(gateway: Gateway) -> None:
    await gateway.with_rules(money(10**12), limit("requests_per_minute", 10**6), limit("max_parallel_requests", 100))
    await asyncio.gather(*[gateway.call() for _ in range(20)])
    transactions, started = gateway.governance.client.transactions, time.monotonic()
    before = transactions.count
    for _ in range(200):
        await gateway.call()
    # five batches of entries a second, renewals and returns
    assert transactions.count - before <= 10 + 10 * (time.monotonic() - started)
    assert len(await gateway.entries()) == 220
