"""Splits turns whose blocks a model does not accept together, and moves media out of tool results.

Evidence: the tables of pydantic-ai#6098 (live, 2026-06: nothing beside a result on Llama 4 and Pixtral, no document on
Claude, of which PDF alone passed), "Conversation blocks and tool use blocks cannot be provided in the same turn"
(langchain-aws#1118, quarkus-langchain4j#1983), "This model doesn't support the image field" of a picture in a result
for all but Claude, Nova and Llama 4 (opencode#50272, llumiverse#655). Bedrock merges two turns of one role
(litellm#6053), so what must be apart has a turn of the other role between.
"""

from collections.abc import Iterator
from itertools import count
from typing import cast

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedRequest, Role
from app.converse.content import ContentBlock, ToolResultContentBlock
from app.converse.request import Message

_MEDIA = ("image", "document", "video")


def split_turns(adapted: AdaptedRequest) -> None:
    """Put a turn of one `.` between blocks that this model refuses in one turn, and media after their result.

    Tool results are the first blocks of their turn.
    """
    parted: list[Message] = []
    numbers, accepted = count(1), adapted.capabilities.turns
    for turn in adapted.body["messages"]:
        kinds = {kind for block in turn["content"] for kind in block}
        content = turn["content"]
        if "toolResult" in kinds:
            content = _with_media_after_results(content, adapted, numbers)
            first, second = _split(
                content,
                "toolResult",
                adapted.capabilities.turns.tools_apart,
                adapted.capabilities.turns.apart_from_results,
            )
        elif "toolUse" in kinds:
            second, first = _split(content, "toolUse", accepted.tools_apart)
        else:
            first, second = content, []
        parted.append({"role": turn["role"], "content": first or second})
        if first and second:
            adapted.adjust("tool_results")
            other: Role = "assistant" if turn["role"] == "user" else "user"
            parted += [
                {"role": other, "content": [{"text": PLACEHOLDER}]},
                {"role": turn["role"], "content": second},
            ]
    adapted.body["messages"] = parted


def _split(
    content: list[ContentBlock], kind: str, are_all_apart: bool, apart: frozenset[str] = frozenset()
) -> tuple[list[ContentBlock], list[ContentBlock]]:
    """Return the blocks of a kind, and all others if one of them must be apart; each with its cache points."""
    chosen: list[ContentBlock] = []
    others: list[ContentBlock] = []
    last = chosen
    for block in content:
        if "cachePoint" not in block:
            last = chosen if kind in block else others
        last.append(block)
    is_apart = are_all_apart or any(each in apart for block in others for each in block)
    return (chosen, others) if is_apart else (content, [])


def _with_media_after_results(
    content: list[ContentBlock], adapted: AdaptedRequest, numbers: Iterator[int]
) -> list[ContentBlock]:
    """Return the blocks with media that no result may hold after the results, each with a name in both positions."""
    kept: list[ContentBlock] = []
    moved: list[ContentBlock] = []
    for block in content:
        result = block.get("toolResult")
        if result is not None and any(_refused_media(piece, adapted) for piece in result["content"]):
            pieces = _moved_out(result["content"], moved, adapted, numbers)
            kept.append({"toolResult": {**result, "content": pieces}})
        else:
            kept.append(block)
    if not moved:
        return content
    adapted.adjust("tool_results")
    index = max(index for index, block in enumerate(kept) if "toolResult" in block) + 1
    while index < len(kept) and "cachePoint" in kept[index]:
        index += 1
    return [*kept[:index], *moved, *kept[index:]]


def _moved_out(
    pieces: list[ToolResultContentBlock], moved: list[ContentBlock], adapted: AdaptedRequest, numbers: Iterator[int]
) -> list[ToolResultContentBlock]:
    kept: list[ToolResultContentBlock] = []
    for piece in pieces:
        kind = _refused_media(piece, adapted)
        if not kind:
            kept.append(piece)
            continue
        name = f"{kind} {next(numbers)} of the tools' results"
        kept.append({"text": f"({name}: below)"})
        moved += [{"text": f"({name})"}, cast(ContentBlock, piece)]
    return kept


def _refused_media(piece: ToolResultContentBlock, adapted: AdaptedRequest) -> str:
    accepted = adapted.capabilities.turns.media_in_results
    return next((kind for kind in _MEDIA if kind in piece and kind not in accepted), "")
