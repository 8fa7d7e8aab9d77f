"""What a tool gave stands right behind the turn that called it.

On Converse all results belong in the next turn of the user (contracts 6). OpenAI's Responses pair calls and outputs by
`call_id`, wherever these stand (ogx#3224), and semantic-kernel 1.45 sends a message between them.
"""

from typing import Literal

from app.converse.content import ContentBlock
from app.converse.request import Message
from app.tailor.draft import Draft

Role = Literal["user", "assistant", "system"]


def bring_together(turns: list[Message], draft: Draft) -> list[Message]:
    """The turns, in which each turn of calls stands right before what they gave, and what stood between before it.

    Args:
        turns: alternating ones.
    """
    callers = _callers(turns)
    lasts = {caller: place for (place, _), caller in callers.items()}
    moved = {caller: last for caller, last in lasts.items() if last > caller + 1}
    if not moved:
        return turns
    draft.repair("tool_results")
    together: list[Message] = []
    calling: dict[int, list[ContentBlock]] = {place: [] for place in moved.values()}
    given: dict[int, list[ContentBlock]] = {place: [] for place in moved.values()}
    for place, turn in enumerate(turns):
        if place in moved:
            calling[moved[place]] += turn["content"]
            continue
        rest: list[ContentBlock] = []
        for number, block in enumerate(turn["content"]):
            target = moved.get(callers.get((place, number), -1))
            (rest if target is None else given[target]).append(block)
        if place in calling:
            said = together.pop()["content"] if together and together[-1]["role"] == "assistant" else []
            _append(together, "assistant", _thoughts_first(said, calling[place]))
            _append(together, "user", given[place])
        _append(together, turn["role"], rest)
    return together


def _callers(turns: list[Message]) -> dict[tuple[int, int], int]:
    """For each result, by its turn and its place there, the turn of its call: the last one before it of that id."""
    callers: dict[tuple[int, int], int] = {}
    open_calls: dict[str, int] = {}
    for place, turn in enumerate(turns):
        for number, block in enumerate(turn["content"]):
            if "toolUse" in block and block["toolUse"].get("type") != "server_tool_use":
                open_calls[block["toolUse"]["toolUseId"]] = place
            elif "toolResult" in block and block["toolResult"]["toolUseId"] in open_calls:
                callers[place, number] = open_calls.pop(block["toolResult"]["toolUseId"])
    return callers


def _thoughts_first(said: list[ContentBlock], calling: list[ContentBlock]) -> list[ContentBlock]:
    """One turn of what was said since the calls, and the calls; it begins with the thoughts that led to them."""
    thoughts = [block for block in calling if "reasoningContent" in block]
    return [*thoughts, *said, *(block for block in calling if "reasoningContent" not in block)]


def _append(turns: list[Message], role: Role, content: list[ContentBlock]) -> None:
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += content
    elif content:
        turns.append({"role": role, "content": [*content]})
