"""Tool results directly follow the turn that called the tools.

Converse requires all results in the next turn of the user. OpenAI's Responses pair calls and outputs by `call_id` at
any position (ogx#3224), and semantic-kernel 1.45 sends a message between them. A result without a call, which Converse
refuses, becomes a text: agents cut off the beginning of a long conversation.

Source: docs/reference/contracts/converse-rules.md#tools
"""

from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import cast

from app.adaptation.adapted_request import AdaptedRequest, Role
from app.adaptation.turn_alternation import alternate_turns
from app.converse.content import ContentBlock, ToolResultBlock
from app.converse.request import Message
from app.wire import json


def pair_tool_results(adapted: AdaptedRequest) -> None:
    """Move each turn of calls directly before its results, after what stood between, and make unpaired results texts.

    Turns alternate already. They are made to alternate again after a move.
    """
    turns = adapted.body["messages"]
    callers = _callers(turns)
    if _has_unpaired(turns, callers):
        adapted.adjust("tool_results")
        turns = adapted.body["messages"] = [_without_unpaired(index, turn, callers) for index, turn in enumerate(turns)]
        callers = _callers(turns)
    moved = _moved(turns, callers)
    if moved:
        adapted.adjust("tool_results")
        adapted.body["messages"] = _paired(turns, callers, moved)
        alternate_turns(adapted)


def _has_unpaired(turns: list[Message], callers: dict[tuple[int, int], int]) -> bool:
    return any(
        "toolResult" in block and (index, number) not in callers
        for index, turn in enumerate(turns)
        if turn["role"] == "user"
        for number, block in enumerate(turn["content"])
    )


def _without_unpaired(index: int, turn: Message, callers: dict[tuple[int, int], int]) -> Message:
    """Return a turn whose results without a call are texts and media of the user."""
    if turn["role"] != "user":
        return turn
    content: list[ContentBlock] = []
    for number, block in enumerate(turn["content"]):
        if "toolResult" in block and (index, number) not in callers:
            content += _as_contents(block["toolResult"])
        else:
            content.append(block)
    return {"role": "user", "content": content}


def _as_contents(result: ToolResultBlock) -> Iterator[ContentBlock]:
    """Yield the contents of a result as blocks of a turn: its texts as one, then the others."""
    lines, others = [f"Output of the tool call {result['toolUseId']}:"], list[ContentBlock]()
    for piece in result["content"]:
        if "text" in piece:
            lines.append(piece["text"])
        elif "json" in piece:
            lines.append(json.dumps_text(piece["json"]))
        else:
            others.append(cast(ContentBlock, piece))
    yield {"text": "\n".join(lines)}
    yield from others


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
