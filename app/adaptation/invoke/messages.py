"""The messages of a body of Anthropic's Messages."""

from typing import Literal

from msgspec import Struct

from app.adaptation.adapted_request import PLACEHOLDER
from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.betas import PER_MESSAGE_OUTPUT
from app.adaptation.invoke.blocks import REASONING, adapt_blocks, adapt_content, is_blank
from app.adaptation.invoke.cache_control import cache_last_block, content_blocks
from app.adaptation.tool_loops import beginning_of_loop
from app.wire import json
from app.wire.documents import listed, text_in
from app.wire.json import JsonObject

_NOTHING: JsonObject = {}


class _PlainTurn(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str


class _PlainConversation(Struct):
    """A body whose turns are texts. Every model accepts them as they are, if none is blank."""

    messages: list[_PlainTurn]


def adapt_messages(adapted: AdaptedInvokeBody, cache_control: object) -> None:
    """Change messages into those that the model accepts.

    Args:
        cache_control: that of the whole body; None if it has none.
    """
    messages = adapted.body.get("messages")
    if not isinstance(messages, list):
        return
    plain = json.as_type(adapted.body, _PlainConversation) if cache_control is None else None
    if plain is not None and not any(is_blank(turn.content) for turn in plain.messages):
        return
    takes_output = PER_MESSAGE_OUTPUT in adapted.betas
    made = [_message(message, index, adapted, takes_output) for index, message in enumerate(messages)]
    if _NOTHING in made:  # Claude reads adjacent messages of one role as one turn
        made = [message for message in made if message is not _NOTHING]
    if not adapted.capabilities.turns.system:
        made = _without_system_turns(made, adapted)
    if cache_control is not None:
        cache_last_block(made, cache_control, adapted)
    adapted.body["messages"] = made
    if "thinking" in adapted.body:
        _reason_only_after_reasoning(adapted)


def _message(message: object, index: int, adapted: AdaptedInvokeBody, takes_output: bool) -> object:
    """Return the message that the model accepts; `_NOTHING` for a turn of the assistant's without content."""
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if type(content) is str and "output_config" not in message and not is_blank(content):
        return message
    path, role = f"messages[{index}]", text_in(message, "role")
    if "output_config" in message and not takes_output:
        message = {name: value for name, value in message.items() if name != "output_config"}
        adapted.ignored.append(f"{path}.output_config")
    if isinstance(content, list):
        content = adapt_content(adapt_blocks(content, path, adapted), role, path, adapted)
    elif is_blank(content):
        adapted.adjust("blank_text")
        content = "" if role == "assistant" else PLACEHOLDER
    if role == "assistant" and content in ([], ""):
        return _NOTHING
    return {**message, "content": content} if "content" in message else message


def _reason_only_after_reasoning(adapted: AdaptedInvokeBody) -> None:
    """Turn reasoning off inside a tool loop that began without it.

    A loop must begin with reasoning, and another model may have begun it: "Expected `thinking` or `redacted_thinking`,
    but found `tool_use`".
    """
    if text_in(adapted.body.get("thinking"), "type") != "enabled":
        return
    beginning = beginning_of_loop(
        adapted.body["messages"], lambda turn: text_in(turn, "role") == "assistant", _has_results
    )
    if beginning is not None and text_in(content_blocks(beginning.get("content"))[0], "type") not in REASONING:
        del adapted.body["thinking"]
        adapted.adjust("reasoning_effort")


def _has_results(turn: object) -> bool:
    return isinstance(turn, dict) and any(_is_result(block) for block in listed(turn.get("content")))


def _is_result(block: object) -> bool:
    return text_in(block, "type") == "tool_result"


def _without_system_turns(messages: list[object], adapted: AdaptedInvokeBody) -> list[object]:
    """Return the system's turns as the user's, and adjacent turns of one role as one, tool results first."""
    if "system" not in [message.get("role") for message in messages if isinstance(message, dict)]:
        return messages
    adapted.adjust("system_turn")
    groups: list[list[object]] = []
    for index, message in enumerate(messages):
        turn = {**message, "role": "user"} if isinstance(message, dict) and _has_role(message, "system") else message
        if isinstance(turn, dict) and groups and _has_role(groups[-1][0], turn.get("role")):
            adapted.ignored += [f"messages[{index}].{name}" for name in turn if name not in ("role", "content")]
            groups[-1].append(turn)
        else:
            groups.append([turn])
    return [_merged(group) if len(group) > 1 else group[0] for group in groups]


def _has_role(turn: object, role: object) -> bool:
    return isinstance(turn, dict) and turn.get("role") == role


def _merged(group: list[object]) -> JsonObject:
    turns = [turn for turn in group if isinstance(turn, dict)]
    blocks = [block for turn in turns for block in content_blocks(turn.get("content"))]
    return {**turns[0], "content": sorted(blocks, key=lambda block: not _is_result(block))}
