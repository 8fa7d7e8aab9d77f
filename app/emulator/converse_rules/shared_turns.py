"""Kinds of content that may not share a turn: with tool calls, with tool results, and within a result.

pydantic-ai#6098 and langchain-aws#1118 (live, 2026-06); opencode#50272 and llumiverse#655 (2026-09).
"""

from app.converse.content import ContentBlock
from app.converse.request import Message
from app.emulator.catalog import Model
from app.emulator.errors import invalid, model_refused

_SEPARATE_TOOL_TURNS = ("llama", "mistral")
_IMAGES_IN_RESULTS = ("claude", "nova", "llama")


def check_shared_turns(model: Model, messages: list[Message]) -> None:
    """Check which kinds of blocks each turn combines."""
    for turn, message in enumerate(messages):
        if model.rules in _SEPARATE_TOOL_TURNS:
            _check_tools_alone(message["content"], turn)
        if model.rules.startswith("claude"):
            _check_documents_beside_results(message["content"], turn)
        if not model.rules.startswith(_IMAGES_IN_RESULTS) and model.provider != "Scripted":
            _check_images_in_results(message["content"])


def _check_tools_alone(blocks: list[ContentBlock], turn: int) -> None:
    kinds = {kind for block in blocks for kind, value in block.items() if value is not None} - {"cachePoint"}
    for kind, words in (("toolUse", "tool use"), ("toolResult", "tool result")):
        if kind in kinds and len(kinds) > 1:
            raise invalid(
                f"messages.{turn}.content: Conversation blocks and {words} blocks cannot be provided in the same turn."
            )


def _check_documents_beside_results(blocks: list[ContentBlock], turn: int) -> None:
    result_ids = [block["toolResult"]["toolUseId"] for block in blocks if block.get("toolResult") is not None]
    documents = [block["document"] for block in blocks if block.get("document") is not None]
    if result_ids and any(document["format"] != "pdf" for document in documents):
        raise model_refused(
            f"messages.{turn - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            + ", ".join(result_ids)
        )


def _check_images_in_results(blocks: list[ContentBlock]) -> None:
    results = [block["toolResult"] for block in blocks if block.get("toolResult") is not None]
    if any("image" in part for result in results for part in result["content"]):
        raise invalid("This model doesn't support the image field for user messages. Remove image and try again.")
