"""The turns of tasks that do heavy work in the event loop."""

import asyncio

from app.process.loop_turns import LoopTurns


async def iterations(order: list[str], caller: str, turns: LoopTurns, count: int) -> None:
    for _ in range(count):
        await turns.wait(caller)
        order.append(caller)


async def test_one_task_of_each_caller_goes_on_in_an_iteration_of_the_loop() -> None:
    turns, order = LoopTurns(), list[str]()
    tasks = [asyncio.create_task(iterations(order, "hostile", turns, 2)) for _ in range(20)]
    await asyncio.sleep(0)
    await iterations(order, "honest", turns, 5)
    assert order.count("hostile") <= 10
    await asyncio.gather(*tasks)
    assert order.count("hostile") == 40


async def test_a_task_that_is_cancelled_leaves_its_turn_to_the_next() -> None:
    turns, order = LoopTurns(), list[str]()
    first, second = (asyncio.create_task(iterations(order, "a", turns, 1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert order == ["a"]
    await iterations(order, "a", turns, 1)
    assert order == ["a", "a"]
