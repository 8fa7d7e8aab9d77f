"""The lease protocol, checked by a state machine over its two sides, without a database.

Bounds: up to three live replicas at a time, one budget, one rate and one number of permits, up to 40 steps in each of
the examples. Transactions are delayed, lost before and after their commit, and answered late; replicas crash with and
without their journal, are restarted, and are marked lost while they still run.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Struct, field

from app.governance.leases.balance import MINUTE_NS, Ask, Balance, Lease, LeaseReply, LeaseRequest, apply_request
from app.governance.leases.lease_book import Holding, LeaseBook

BUDGET, RATE, PERMITS = "budget/b/2026-11", "rate/r", "permits/p"
REQUESTS = 1_000_000_000
FOREVER = 1e18


KEYS = (BUDGET, PERMITS, RATE)


class Found(Struct):
    """Holdings of the keys, as a caller keeps them. found_in: the mapping of the book at that time."""

    found_in: dict[str, Holding]
    holdings: tuple[Holding, ...]


class Attempt(Struct):
    """An open attempt. found: where its amounts are held, if they were held there without looking them up."""

    name: int
    hold: int
    found: Found | None = None


class Replica(Struct):
    """A replica in the model. journal: of each attempt the hold, and the cost once it is settled."""

    name: int
    book: LeaseBook = field(default_factory=lambda: LeaseBook(valid_until=FOREVER))
    open: list[Attempt] = field(default_factory=list)
    found: Found | None = None
    journal: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    posted: set[int] = field(default_factory=set)
    # a transaction that is on its way, and its answer once it is committed
    request: LeaseRequest | None = None
    reply: LeaseReply | None = None
    waiting: list[Attempt] = field(default_factory=list)


class Protocol(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ns = MINUTE_NS
        self.balances: dict[str, Balance] = {}
        self.leases: dict[tuple[int, str], Lease] = {}
        self.states: dict[int, str] = {}
        # of the ledger: what is posted for each attempt, and what of it is estimated
        self.ledger: dict[int, int] = {}
        self.estimated: set[int] = set()
        self.open_in_database: dict[int, tuple[int, int]] = {}
        self.replicas: dict[int, Replica] = {}
        self.dead: dict[int, Replica] = {}
        self.journal_lost: set[int] = set()
        self.names = 0
        # the truth: what each attempt cost, when requests were admitted, and what runs
        self.costs: dict[int, int] = {}
        self.admitted: list[int] = []
        self.running = 0

    @initialize(budget=st.integers(20, 100), requests=st.integers(3, 12), permits=st.integers(2, 6))
    def set_up(self, budget: int, requests: int, permits: int) -> None:
        self.balances = {
            BUDGET: Balance(BUDGET, "budget", budget),
            RATE: Balance(RATE, "rate", requests),
            PERMITS: Balance(PERMITS, "permits", permits),
        }
        self.start()
        self.start()

    def name(self) -> int:
        self.names += 1
        return self.names

    def lease(self, replica: int, key: str) -> Lease:
        return self.leases.setdefault((replica, key), Lease())

    def some(self, data: st.DataObject, found: list[Any]) -> Any:
        return found[data.draw(st.integers(0, len(found) - 1))]

    # what replicas do

    def start(self) -> None:
        name = self.name()
        self.replicas[name] = Replica(name)
        self.states[name] = "live"

    def admit(self, replica: Replica, attempt: Attempt) -> None:
        replica.open.append(attempt)
        replica.journal[attempt.name] = (attempt.hold, None)
        replica.book.settle(RATE, 1, 1, self.now_ns / 1e9)
        self.admitted.append(self.now_ns)
        self.running += 1

    @precondition(lambda self: self.replicas)
    @rule(
        data=st.data(),
        holds=st.lists(st.integers(0, 30), min_size=1, max_size=3),
        waits=st.booleans(),
        looks_up=st.booleans(),
    )
    def call(self, data: st.DataObject, holds: list[int], waits: bool, looks_up: bool) -> None:
        replica = self.some(data, list(self.replicas.values()))
        for hold in holds:
            attempt = Attempt(self.name(), hold)
            if self.take(replica, attempt, looks_up=looks_up):
                self.admit(replica, attempt)
            elif replica.request is None:
                replica.waiting.append(attempt)
        if replica.request is None:
            self.send_of(replica, gives_back=False)
            if not waits:
                self.commit_of(replica)
                if replica.reply is not None:
                    self.receive_of(replica, is_lost=False)

    def take(self, replica: Replica, attempt: Attempt, *, looks_up: bool) -> bool:
        """Hold what an attempt needs, by its keys or in the holdings that are known."""
        book, now = replica.book, self.now_ns / 1e9
        if replica.found is None or replica.found.found_in is not book.holdings:
            found = book.find(KEYS)
            replica.found = None if found is None else Found(book.holdings, found)
        if looks_up or replica.found is None:
            return book.take(needs_of(attempt), now)
        needs = needs_of(attempt)
        attempt.found = replica.found
        return book.take_from(replica.found.holdings, [needs[key] for key in KEYS], now)

    def settle(self, replica: Replica, attempt: Attempt, cost: int) -> None:
        book, now, found = replica.book, self.now_ns / 1e9, attempt.found
        if found is not None and found.found_in is book.holdings:
            book.settle_from(found.holdings, [attempt.hold, 1], [cost, 0], now)
        else:
            book.settle(BUDGET, attempt.hold, cost, now)
            book.settle(PERMITS, 1, 0, now)

    @precondition(lambda self: any(each.open for each in self.replicas.values()))
    @rule(data=st.data(), part=st.integers(0, 100))
    def answer(self, data: st.DataObject, part: int) -> None:
        replica = self.some(data, [each for each in self.replicas.values() if each.open])
        attempt = self.some(data, replica.open)
        replica.open.remove(attempt)
        cost = attempt.hold * part // 100
        self.costs[attempt.name] = cost
        replica.journal[attempt.name] = (attempt.hold, cost)
        self.settle(replica, attempt, cost)
        self.running -= 1

    @precondition(lambda self: self.replicas)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        self.some(data, list(self.replicas.values())).book.drop_empty()

    # transactions

    @precondition(lambda self: any(each.request is None for each in self.replicas.values()))
    @rule(data=st.data(), gives_back=st.booleans(), leases_more=st.booleans())
    def send(self, data: st.DataObject, gives_back: bool, leases_more: bool) -> None:
        replica = self.some(data, [each for each in self.replicas.values() if each.request is None])
        self.send_of(replica, gives_back, leases_more)

    def send_of(self, replica: Replica, gives_back: bool, leases_more: bool = False) -> None:
        asks, now = [Ask(needs_of(attempt)) for attempt in replica.waiting], self.now_ns / 1e9
        returns = [BUDGET, RATE, PERMITS] if gives_back else []
        more = replica.book.running_low(now) - set(returns) if leases_more else ()
        replica.request = replica.book.begin(asks, now, posts=[RATE], returns=returns, more=more)

    @precondition(lambda self: any(each.request and not each.reply for each in self.replicas.values()))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.commit_of(self.some(data, [each for each in self.replicas.values() if each.request and not each.reply]))

    def commit_of(self, replica: Replica) -> None:
        if self.states[replica.name] != "live":
            self.become_another(replica)
            return
        leases = {key: self.lease(replica.name, key) for key in self.balances}
        assert replica.request is not None
        replica.reply = apply_request(replica.request, self.balances, leases, self.now_ns, len(self.replicas))
        self.check_capacity()

    @precondition(lambda self: any(each.reply for each in self.replicas.values()))
    @rule(data=st.data(), is_lost=st.booleans())
    def receive(self, data: st.DataObject, is_lost: bool) -> None:
        self.receive_of(self.some(data, [each for each in self.replicas.values() if each.reply]), is_lost)

    def receive_of(self, replica: Replica, is_lost: bool) -> None:
        request, reply = replica.request, replica.reply
        replica.request = replica.reply = None
        assert request is not None
        assert reply is not None
        if is_lost:
            # the leases are read from their rows; a replica that was marked lost meanwhile finds that in its next one
            if self.states[replica.name] == "live":
                replica.book.apply(request, {key: self.lease(replica.name, key).amount for key in self.balances})
                replica.waiting = []
            else:
                self.become_another(replica)
            return
        replica.book.finish(request, reply, self.now_ns / 1e9)
        for attempt, shortage in zip(replica.waiting, reply.shortages, strict=True):
            if shortage is None:
                self.admit(replica, attempt)
        replica.waiting = []

    @precondition(lambda self: any(each.request and not each.reply for each in self.replicas.values()))
    @rule(data=st.data())
    def lose_request(self, data: st.DataObject) -> None:
        replica = self.some(data, [each for each in self.replicas.values() if each.request and not each.reply])
        assert replica.request is not None
        replica.book.abandon(replica.request)
        replica.request, replica.waiting = None, []

    # the ledger

    def insert(self, owner: int, attempt: int, cost: int, *, estimated: bool) -> None:
        """What one transaction does with an entry: only one that is new, or a correction, changes the balance."""
        before = self.ledger.get(attempt)
        if before is not None and (attempt not in self.estimated or estimated):
            return
        self.ledger[attempt] = cost
        self.lease(owner, BUDGET).post(self.balances[BUDGET], cost - (before or 0), self.now_ns)
        if estimated:
            self.estimated.add(attempt)
        else:
            self.estimated.discard(attempt)

    @precondition(lambda self: self.replicas)
    @rule(data=st.data(), answer_is_lost=st.booleans())
    def post(self, data: st.DataObject, answer_is_lost: bool) -> None:
        replica = self.some(data, list(self.replicas.values()))
        if replica.request is not None or self.states[replica.name] != "live":
            return
        for attempt in replica.open:
            self.open_in_database[attempt.name] = (replica.name, attempt.hold)
        settled = {name: cost for name, (_, cost) in replica.journal.items() if cost is not None}
        for name, cost in settled.items():
            self.insert(replica.name, name, cost, estimated=False)
        if answer_is_lost:
            return
        charge = sum(cost for name, cost in settled.items() if name not in replica.posted)
        replica.posted |= settled.keys()
        replica.book.confirm({BUDGET: charge}, {BUDGET: self.lease(replica.name, BUDGET).amount})

    # failures

    def become_another(self, replica: Replica) -> None:
        """A replica finds that it was marked lost: its attempts are finished under its old name."""
        replica.book.abandon(replica.request or LeaseRequest())
        replica.request, replica.reply, replica.waiting = None, None, []
        self.crash_one(replica)
        self.start()

    def crash_one(self, replica: Replica) -> None:
        del self.replicas[replica.name]
        self.dead[replica.name] = replica
        for attempt in replica.open:
            # Bedrock bills it, though nobody knows how much: at most what it held
            self.costs[attempt.name] = attempt.hold
            self.running -= 1

    @rule(data=st.data(), kind=st.sampled_from(["start", "crash", "crash without journal", "mark lost", "replay"]))
    def fail(self, data: st.DataObject, kind: str) -> None:
        if kind == "start" and len(self.replicas) < 3:
            self.start()
        elif kind.startswith("crash") and self.replicas:
            self.crash(data, kind.endswith("journal"))
        elif kind == "mark lost":
            self.mark_lost(data)
        elif self.dead.keys() - self.journal_lost:
            self.replay(data)

    def crash(self, data: st.DataObject, journal_is_lost: bool) -> None:
        replica = self.some(data, list(self.replicas.values()))
        self.crash_one(replica)
        if journal_is_lost:
            self.journal_lost.add(replica.name)

    def mark_lost(self, data: st.DataObject) -> None:
        """Another replica decides that one is lost: rightly, or because it is slow."""
        found = [name for name, state in self.states.items() if state == "live"]
        if not found:
            return
        name = self.some(data, found)
        self.states[name] = "lost"
        for attempt, (owner, hold) in list(self.open_in_database.items()):
            if owner == name:
                self.insert(name, attempt, hold, estimated=True)
        if name in self.replicas:
            # the model has no time to live: a replica that is not dead stops admitting when it is marked lost
            self.replicas[name].book.valid_until = 0.0
        for key, balance in self.balances.items():
            self.lease(name, key).charge(balance, self.now_ns)

    def replay(self, data: st.DataObject) -> None:
        name = self.some(data, sorted(self.dead.keys() - self.journal_lost))
        replica = self.dead.pop(name)
        for attempt, (hold, cost) in replica.journal.items():
            self.insert(name, attempt, hold if cost is None else cost, estimated=cost is None)
        for key, balance in self.balances.items():
            lease = self.lease(name, key)
            if key == RATE:
                lease.charge(balance, self.now_ns)
            lease.give_back(balance, lease.amount)
        self.states[name] = "closed"

    @rule(milliseconds=st.sampled_from([1, 100, 600, 5_000, 40_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * 1_000_000

    # what must always hold

    @invariant()
    def leased_is_the_sum_of_the_leases(self) -> None:
        for key, balance in self.balances.items():
            held = [lease for (_, other), lease in self.leases.items() if other == key]
            assert balance.leased == sum(lease.amount for lease in held if not lease.is_charged)
            assert all(lease.amount >= 0 for lease in held)

    @invariant()
    def settled_is_the_ledger_and_what_is_charged(self) -> None:
        if self.balances:
            charged = sum(lease.amount for (_, key), lease in self.leases.items() if key == BUDGET and lease.is_charged)
            assert self.balances[BUDGET].settled == sum(self.ledger.values()) + charged

    @invariant()
    def check_capacity(self) -> None:
        for balance in self.balances.values():
            free = balance.free(self.now_ns)
            assert free is not None
            assert free >= 0

    @invariant()
    def no_replica_holds_more_than_it_has_leased(self) -> None:
        """Entries whose posting was not answered count twice until they are posted again: as a part of both sides."""
        for name, replica in self.replicas.items():
            if self.states[name] == "live":
                unanswered = sum(self.ledger.get(each, 0) for each in replica.journal.keys() - replica.posted)
                assert all(
                    each.idle + (unanswered if key == BUDGET else 0) >= 0 for key, each in replica.book.holdings.items()
                )

    @invariant()
    def holdings_are_what_attempts_hold(self) -> None:
        """Those of attempts that run, and nothing in a holding that the book has forgotten."""
        for replica in self.replicas.values():
            for key in replica.book.holdings:
                needed = sum(needs_of(each)[key] for each in replica.open if key != RATE)
                assert replica.book.of(key).held == needed
            if replica.found is not None and replica.found.found_in is not replica.book.holdings:
                forgotten = [each for each in replica.found.holdings if each not in replica.book.holdings.values()]
                assert all(not (each.held or each.spent) for each in forgotten)

    @invariant()
    def no_budget_is_passed_by_what_was_truly_spent(self) -> None:
        if self.balances:
            held = sum(each.hold for replica in self.replicas.values() for each in replica.open)
            assert sum(self.costs.values()) + held <= (self.balances[BUDGET].capacity or 0)

    @invariant()
    def no_more_requests_start_than_the_rate_allows(self) -> None:
        """A full capacity at once, and what is refilled since: for each span between two admissions."""
        rate = self.balances[RATE].capacity if self.balances else 0
        for index, start in enumerate(self.admitted):
            for count, end in enumerate(self.admitted[index:], start=1):
                assert rate is not None
                assert count <= rate + (end - start) * rate // MINUTE_NS + 1 * ((end - start) * rate % MINUTE_NS > 0)

    @invariant()
    def no_more_run_than_there_are_permits(self) -> None:
        if self.balances and all(self.states[name] == "live" for name in self.replicas):
            assert self.running <= (self.balances[PERMITS].capacity or 0)

    def teardown(self) -> None:
        """When all journals were replayed, all is posted once, and nothing is leased."""
        if not self.balances:
            return
        for replica in list(self.replicas.values()):
            self.crash_one(replica)
        while self.dead.keys() - self.journal_lost:
            self.replay(FirstOf())
        self.leased_is_the_sum_of_the_leases()
        self.settled_is_the_ledger_and_what_is_charged()
        lost = {attempt for name in self.journal_lost for attempt in self.dead[name].journal}
        assert {name: cost for name, cost in self.ledger.items() if name not in lost} == {
            name: cost for name, cost in self.costs.items() if name not in lost
        }
        if not self.journal_lost:
            assert all(balance.leased == 0 for balance in self.balances.values())
            assert self.balances[BUDGET].settled == sum(self.costs.values())


class FirstOf:
    """Draws the smallest value of a strategy of integers: for steps outside of a rule."""

    def draw(self, _: Any) -> int:
        return 0


def needs_of(attempt: Attempt) -> dict[str, int]:
    return {BUDGET: attempt.hold, RATE: 1, PERMITS: 1}


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
