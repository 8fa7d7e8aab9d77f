"""Reasoning of earlier turns is sent back only to models that accept it.

Reasoning without its signature is refused (strands#2704).
"""

from app.adaptation.adapted_request import AdaptedRequest, Role
from app.converse.content import ContentBlock
from app.converse.encrypted_reasoning import is_encrypted, item_of
from app.converse.request import Message


def adapt_reasoning_history(adapted: AdaptedRequest) -> None:
    """Drop reasoning that the model refuses: reasoning without a signature, or all where the model signs none."""
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        kept = [block for block in message["content"] if _is_accepted(block, message["role"], adapted)]
        if adapted.capabilities.turns.prefill == "refused" and all("reasoningContent" in block for block in kept):
            kept = []  # refused as a prefill, at any position (hermes-agent#105780)
        if len(kept) < len(message["content"]):
            adapted.adjust("reasoning")
        messages.append({**message, "content": kept})
    adapted.body["messages"] = messages


def _is_accepted(block: ContentBlock, role: Role, adapted: AdaptedRequest) -> bool:
    reasoning = block.get("reasoningContent")
    if reasoning is None:
        return True
    if role != "assistant":
        return False  # "User messages cannot contain reasoning content"
    if adapted.capabilities.reasoning.history == "encrypted":
        return item_of(reasoning) is not None
    is_complete = "redactedContent" in reasoning or bool(reasoning.get("reasoningText", {}).get("signature"))
    return adapted.capabilities.reasoning.history == "signed" and is_complete and not is_encrypted(reasoning)
