"""Reasoning of earlier turns is sent back only to models that accept it.

Reasoning without its signature is refused (strands#2704).
"""

from app.adaptation.adapted_request import AdaptedRequest, Role
from app.converse.content import ContentBlock
from app.converse.encrypted_reasoning import is_encrypted
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
    is_complete = "redactedContent" in reasoning or bool(reasoning.get("reasoningText", {}).get("signature"))
    history = "encrypted" if is_encrypted(reasoning) else "signed"
    # "User messages cannot contain reasoning content"
    return role == "assistant" and adapted.capabilities.reasoning.history == history and is_complete
