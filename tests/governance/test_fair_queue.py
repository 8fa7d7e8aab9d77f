"""The order of calls that wait for a quota: shares, starvation, and what is served before a new call."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.governance.quotas.fair_queue import BATCH_WEIGHT, INTERACTIVE_WEIGHT, FairQueue, Flow, QueuedCall

costs = st.integers(1, 50_000)


def queue_of(*entries: QueuedCall[int]) -> FairQueue[int]:
    queue: FairQueue[int] = FairQueue()
    for entry in entries:
        queue.push(entry)
    return queue


def serve(queue: FairQueue[int]) -> QueuedCall[int]:
    entry = queue.peek()
    assert entry is not None
    assert queue.peek() is entry
    queue.pop(entry)
    return entry


def drain(queue: FairQueue[int]) -> list[QueuedCall[int]]:
    served = []
    while queue:
        served.append(serve(queue))
    return served


def entries(team: str, count: int, cost: int = 100, key: str = "", **flow: float | bool) -> list[QueuedCall[int]]:
    made = Flow(team, key or team, **flow)  # type: ignore[arg-type]
    return [QueuedCall(made, cost, number) for number in range(count)]


def test_a_small_team_waits_for_one_call_of_a_flood() -> None:
    queue = queue_of(*entries("flood", 50), *entries("small", 2))
    order = [entry.flow.team for entry in drain(queue)]
    assert order[:4].count("small") == 2


def test_calls_of_one_key_keep_their_order() -> None:
    queue = queue_of(*entries("a", 5), *entries("b", 5))
    served = drain(queue)
    assert [entry.item for entry in served if entry.flow.team == "a"] == [0, 1, 2, 3, 4]


def test_keys_of_a_team_share_its_part() -> None:
    many = [entry for number in range(9) for entry in entries("a", 20, key=f"a{number}")]
    queue = queue_of(*many, *entries("b", 100))
    served = Counter(serve(queue).flow.team for _ in range(100))
    assert abs(served["a"] - served["b"]) <= 2


def test_batch_calls_get_a_tenth_beside_interactive_ones_and_all_that_these_leave() -> None:
    queue = queue_of(*entries("a", 500), *entries("a", 500, is_batch=True))
    served = Counter(serve(queue).flow.is_batch for _ in range(400))
    part = BATCH_WEIGHT / (BATCH_WEIGHT + INTERACTIVE_WEIGHT)
    assert served[True] == pytest.approx(400 * part, rel=0.05)
    alone = queue_of(*entries("a", 3, is_batch=True))
    assert len(drain(alone)) == 3


@settings(max_examples=30, deadline=None)
@given(
    weights=st.lists(st.floats(1, 8), min_size=2, max_size=5),
    sizes=st.data(),
)
def test_each_team_gets_its_part_of_the_tokens(weights: list[float], sizes: st.DataObject) -> None:
    """Within 5 % of the weights, while all of them wait."""
    queue: FairQueue[int] = FairQueue()
    flows = [Flow(f"t{number}", "k", weight) for number, weight in enumerate(weights)]
    typical = [sizes.draw(st.lists(st.integers(200, 2000), min_size=1, max_size=4)) for _ in flows]
    sent = [0] * len(flows)

    def refill(index: int) -> None:
        cost = typical[index][sent[index] % len(typical[index])]
        sent[index] += 1
        queue.push(QueuedCall(flows[index], cost, index))

    for index in range(len(flows)):
        for _ in range(3):
            refill(index)
    # 60 rounds, so that the turn that is under way is less than 5 % of what a team gets
    total = 60 * max(map(max, typical)) * sum(weights)
    got, served = [0] * len(flows), 0
    while served < total:
        entry = serve(queue)
        got[entry.item] += entry.cost
        served += entry.cost
        refill(entry.item)
    for part, weight in zip(got, weights, strict=True):
        assert part / served == pytest.approx(weight / sum(weights), rel=0.05)


WEIGHTS = {"a": 1.0, "b": 1.0, "c": 4.0}
flows = st.builds(
    lambda team, key, is_batch: Flow(team, key, WEIGHTS[team], is_batch),
    st.sampled_from("abc"),
    st.sampled_from("xy"),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(flows, costs, st.sampled_from(["push", "push", "pop", "leave", "charge"])), max_size=80))
def test_every_call_is_served_once_whatever_happens(steps: list[tuple[Flow, int, str]]) -> None:
    queue: FairQueue[int] = FairQueue()
    waiting: list[QueuedCall[int]] = []
    for number, (flow, cost, step) in enumerate(steps):
        if step == "push":
            waiting.append(QueuedCall(flow, cost, number))
            queue.push(waiting[-1])
        elif step == "charge":
            queue.charge(flow, cost - 25_000)
        elif waiting and step == "pop":
            waiting.remove(serve(queue))
        elif waiting:
            queue.remove(waiting.pop(number % len(waiting)))
        assert len(queue) == len(waiting)
        assert queue.backlog == sum(entry.cost for entry in waiting)
    assert sorted(entry.item for entry in drain(queue)) == sorted(entry.item for entry in waiting)
    assert queue.peek() is None


@settings(max_examples=100, deadline=None)
@given(
    backlog=st.lists(st.tuples(flows, st.integers(1, 5000)), max_size=60),
    late=flows,
    cost=st.integers(1, 5000),
    noise=st.lists(st.tuples(flows, st.integers(1, 5000)), max_size=20),
)
def test_no_call_starves(backlog: list[tuple[Flow, int]], late: Flow, cost: int, noise: list[tuple[Flow, int]]) -> None:
    """However many calls come after it, a call is served when its key has got its part of what is served.

    That is at the worst the part of one of two keys, of a team of 6 parts, of a class of 10. Each flow that waits may be
    served one call more than its part.
    """
    queue: FairQueue[int] = FairQueue()
    for flow, size in backlog:
        queue.push(QueuedCall(flow, size, 0))
    mine = QueuedCall(late, cost, 1)
    queue.push(mine)
    others = [Flow("d", "z"), *[flow for flow, _ in noise]]
    ahead = sum(size for flow, size in backlog if (flow.team, flow.key) == (late.team, late.key)) + cost
    parts = 10 * (sum(WEIGHTS.values()) + 1) / WEIGHTS[late.team] * 2
    served = 0
    while mine.is_waiting:
        entry = serve(queue)
        served += entry.cost
        if entry is not mine:
            queue.push(QueuedCall(others[served % len(others)], 5000, 0))
        assert served <= parts * (ahead + 3 * 5000)


def test_a_large_call_makes_no_turn_of_others_longer() -> None:
    queue = queue_of(*entries("flood", 200, 400), *entries("large", 1, 200_000), *entries("small", 5, 400))
    order = [serve(queue).flow.team for _ in range(15)]
    assert order.count("large") == 1
    assert order[:14].count("small") >= 4


def test_a_debt_shrinks_while_a_flow_has_no_calls() -> None:
    queue = queue_of(*entries("flood", 500, 100), *entries("large", 1, 10_000))
    while serve(queue).flow.team != "large":
        pass
    for _ in range(120):
        serve(queue)
    queue.push(QueuedCall(Flow("large", "large"), 100, 0))
    order = [serve(queue).flow.team for _ in range(4)]
    assert "large" in order, "the flood has been served as much meanwhile"


steps = st.lists(st.tuples(flows, st.integers(1, 5000), st.sampled_from(["push", "push", "pop", "leave", "charge"])))


def queue_after(made: list[tuple[Flow, int, str]]) -> FairQueue[int]:
    queue: FairQueue[int] = FairQueue()
    waiting: list[QueuedCall[int]] = []
    for number, (flow, cost, step) in enumerate(made):
        if step == "push":
            waiting.append(QueuedCall(flow, cost, number))
            queue.push(waiting[-1])
        elif step == "charge":
            queue.charge(flow, cost - 2500)
        elif waiting and step == "pop":
            waiting.remove(serve(queue))
        elif waiting:
            queue.remove(waiting.pop(number % len(waiting)))
    return queue


def served_before(queue: FairQueue[int], mine: QueuedCall[int]) -> int:
    served = 0
    while (entry := serve(queue)) is not mine:
        served += entry.cost
    return served


@settings(max_examples=400, deadline=None)
@given(made=steps, late=flows, cost=st.integers(1, 5000))
def test_what_is_served_before_a_call_lies_within_the_bounds(
    made: list[tuple[Flow, int, str]], late: Flow, cost: int
) -> None:
    """In whatever state the queue is. Refusals at once depend on the lower bound."""
    queue = queue_after(made)
    least, largest = queue.served_before_new(late, cost)
    mine = QueuedCall(late, cost, -1)
    queue.push(mine)
    assert queue.served_before_last(late) == (least, largest)
    assert least <= served_before(queue, mine) <= largest


_BATCH = Flow("a", "x", is_batch=True)


# nine ninths add up to a little more than one, which must not serve the call a turn earlier
@example(made=[(Flow("a", "x"), 1, "push")] * 5 + [(Flow("a", "x"), 2505, "charge"), (_BATCH, 1, "push")], late=_BATCH)
@settings(max_examples=200, deadline=None)
@given(made=steps, late=flows)
def test_the_bounds_hold_for_the_last_call_of_a_flow_that_waits(made: list[tuple[Flow, int, str]], late: Flow) -> None:
    queue = queue_after([*made, (late, 700, "push")])
    for flow in queue.flows():
        entry = queue.last_of(flow)
        assert entry is not None
        least, largest = queue.served_before_last(flow)
        copied = queue_after([*made, (late, 700, "push")])
        mine = copied.last_of(flow)
        assert mine is not None
        assert mine.item == entry.item
        assert least <= served_before(copied, mine) <= largest


@settings(max_examples=100, deadline=None)
@given(teams=st.integers(1, 6), count=st.integers(1, 6), late=st.integers(0, 6))
def test_the_bounds_are_exact_for_a_call_of_equal_teams(teams: int, count: int, late: int) -> None:
    """Where all calls cost the same, the lower bound is what is served, so that every refusal that is due is made."""
    queue = queue_of(*[entry for team in range(teams) for entry in entries(f"t{team}", count)])
    least, _ = queue.served_before_new(Flow(f"t{late}", f"t{late}"), 100)
    mine = QueuedCall(Flow(f"t{late}", f"t{late}"), 100, -1)
    queue.push(mine)
    assert served_before(queue, mine) == pytest.approx(least)
