"""What may share a turn with calls of tools and with what they gave, and what a result may hold.

Evidence: the tables of pydantic-ai#6098 (live, 2026-06: nothing beside a result on Llama 4 and Pixtral, no document on
Claude, of which PDF alone passed), "Conversation blocks and tool use blocks cannot be provided in the same turn"
(langchain-aws#1118, quarkus-langchain4j#1983), "This model doesn't support the image field" of a picture in a result
for all but Claude, Nova and Llama 4 (opencode#50272, llumiverse#655). Bedrock merges two turns of one role
(litellm#6053), so what must be apart has a turn of the other role between.
"""

from itertools import count
from typing import Any, cast

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedRequest
from app.converse.content import ContentBlock
from app.converse.request import Message

_MEDIA = ("image", "document", "video")


def split_turns(adapted: AdaptedRequest) -> None:
    """Put a turn of one `.` between blocks that this model does not take in one turn, and media beside their result.

    Tool results are the first blocks of their turn.
    """
    parted: list[Message] = []
    numbers, accepted = count(1), adapted.capabilities.turns
    for turn in adapted.body["messages"]:
        kinds = {kind for block in turn["content"] for kind in block}
        content = turn["content"]
        if "toolResult" in kinds:
            content = _with_media_beside(content, adapted, numbers)
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
            other: Any = "assistant" if turn["role"] == "user" else "user"
            parted += [
                {"role": other, "content": [{"text": PLACEHOLDER}]},
                {"role": turn["role"], "content": second},
            ]
    adapted.body["messages"] = parted


def _split(
    content: list[ContentBlock], kind: str, are_all_apart: bool, apart: frozenset[str] = frozenset()
) -> tuple[list[ContentBlock], list[ContentBlock]]:
    """The blocks of a kind, and what else there is, if anything of that must be apart; each with its cache points."""
    those: list[ContentBlock] = []
    others: list[ContentBlock] = []
    last = those
    for block in content:
        if "cachePoint" not in block:
            last = those if kind in block else others
        last.append(block)
    is_apart = are_all_apart or any(each in apart for block in others for each in block)
    return (those, others) if is_apart else (content, [])


def _with_media_beside(
    content: list[ContentBlock], adapted: AdaptedRequest, numbers: "count[int]"
) -> list[ContentBlock]:
    """The blocks, in which media that no result may hold stand behind the results, each under the name it has there."""
    inside = adapted.capabilities.turns.media_in_results
    beside: list[ContentBlock] = []
    kept: list[ContentBlock] = []
    for block in content:
        result = block.get("toolResult")
        if result is None or all(kind in inside for piece in result["content"] for kind in _MEDIA if kind in piece):
            kept.append(block)
            continue
        pieces: list[Any] = []
        for piece in result["content"]:
            kind = next((each for each in _MEDIA if each in piece and each not in inside), None)
            if kind is None:
                pieces.append(piece)
                continue
            name = f"{kind} {next(numbers)} of the tools' results"
            pieces.append({"text": f"({name}: below)"})
            beside += cast(list[ContentBlock], [{"text": f"({name})"}, piece])
        kept.append({"toolResult": {**result, "content": pieces}})
    if not beside:
        return content
    adapted.adjust("tool_results")
    index = max(index for index, block in enumerate(kept) if "toolResult" in block) + 1
    while index < len(kept) and "cachePoint" in kept[index]:
        index += 1
    return [*kept[:index], *beside, *kept[index:]]
