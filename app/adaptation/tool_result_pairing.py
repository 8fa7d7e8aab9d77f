"""Tool results directly follow the turn that called the tools.

Converse requires all results in the next turn of the user. OpenAI's Responses pair calls and outputs by `call_id` at
any position (ogx#3224), and semantic-kernel 1.45 sends a message between them.

Source: docs/reference/contracts/converse-rules.md#tools
"""

from collections import deque
from itertools import accumulate

from app.adaptation.adapted_request import AdaptedRequest, Role
from app.adaptation.turn_alternation import alternate_turns
from app.converse.content import ContentBlock
from app.converse.request import Message


def pair_tool_results(adapted: AdaptedRequest) -> None:
    """Move each turn of calls directly before its results, after what stood between.

    Turns alternate already. They are made to alternate again after a move.
    """
    turns = adapted.body["messages"]
    callers = _callers(turns)
    moved = _moved(turns, callers)
    if moved:
        adapted.adjust("tool_results")
        adapted.body["messages"] = _paired(turns, callers, moved)
        alternate_turns(adapted)


def _paired(turns: list[Message], callers: dict[tuple[int, int], int], moved: dict[int, int]) -> list[Message]:
    together: list[Message] = []
    calling: dict[int, list[ContentBlock]] = {index: [] for index in moved.values()}
    given: dict[int, list[ContentBlock]] = {index: [] for index in moved.values()}
    for index, turn in enumerate(turns):
        if index in moved:
            calling[moved[index]] += turn["content"]
            continue
        rest: list[ContentBlock] = []
        last = rest
        for number, block in enumerate(turn["content"]):
            if "cachePoint" not in block:  # it stays with the block before it
                target = moved.get(callers.get((index, number), -1))
                last = rest if target is None else given[target]
            last.append(block)
        if index in calling:
            before = together.pop()["content"] if together and together[-1]["role"] == "assistant" else []
            _append(together, "assistant", _reasoning_first(before, calling[index]))
            _append(together, "user", given[index])
        if any("cachePoint" not in block for block in rest):
            _append(together, turn["role"], rest)
    return together


def _callers(turns: list[Message]) -> dict[tuple[int, int], int]:
    """Return the turn of the call of each result, which is given by its turn and its index there.

    Calls and results of one id are paired in their order.
    """
    callers: dict[tuple[int, int], int] = {}
    waiting: dict[str, deque[int]] = {}
    for index, turn in enumerate(turns):
        for number, block in enumerate(turn["content"]):
            if turn["role"] == "assistant" and "toolUse" in block:
                waiting.setdefault(block["toolUse"]["toolUseId"], deque()).append(index)
            elif turn["role"] == "user" and "toolResult" in block:
                calls = waiting.get(block["toolResult"]["toolUseId"])
                if calls:
                    callers[index, number] = calls.popleft()
    return callers


def _moved(turns: list[Message], callers: dict[tuple[int, int], int]) -> dict[int, int]:
    """Return the turns of calls that are not directly before the last of their results, and the turn of that result.

    Turns of the system do not count.
    """
    ranks = [*accumulate(turn["role"] != "system" for turn in turns)]
    lasts = {caller: index for (index, _), caller in callers.items()}
    return {caller: last for caller, last in lasts.items() if ranks[last] > ranks[caller] + 1}


def _reasoning_first(before: list[ContentBlock], calling: list[ContentBlock]) -> list[ContentBlock]:
    """Return one turn: the reasoning of the calls, what the assistant said since then, and the calls."""
    reasoning = [block for block in calling if "reasoningContent" in block]
    return [*reasoning, *before, *(block for block in calling if "reasoningContent" not in block)]


def _append(turns: list[Message], role: Role, content: list[ContentBlock]) -> None:
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += content
    else:
        turns.append({"role": role, "content": [*content]})
