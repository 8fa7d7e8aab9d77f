"""Scenarios that reason before they answer, and the signatures of their reasoning."""

import hashlib
from base64 import b64encode
from collections.abc import Callable

from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest, Message
from app.emulator.errors import model_refused
from app.emulator.request_parts import last_user_text
from app.emulator.scripted_models.script import Script
from app.emulator.scripted_models.tool_use import call_one


def check_signatures(messages: list[Message]) -> None:
    """Refuse signed reasoning that was changed, as Claude does."""
    for turn, message in enumerate(messages):
        for index, block in enumerate(message["content"]):
            reasoning = block.get("reasoningContent")
            signed = reasoning.get("reasoningText") if reasoning else None
            if signed and signed.get("signature") and signed["signature"] != _sign(signed["text"]):
                raise model_refused(f"messages.{turn}.content.{index}: Invalid `signature` in `thinking` block")


def reason(request: ConverseRequest, answer: Callable[[ConverseRequest], Script] = call_one) -> Script:
    """Reason, then call a tool or answer."""
    text = f"The user says: {last_user_text(request)[:80]!r}. I should answer."
    block: ContentBlock = {"reasoningContent": {"reasoningText": {"text": text, "signature": _sign(text)}}}
    return _before_an_answer(block, answer(request))


def reason_redacted(request: ConverseRequest) -> Script:
    """Reason in an encrypted block, then call a tool or answer."""
    data = b64encode(hashlib.sha256(last_user_text(request).encode()).digest()).decode()
    return _before_an_answer({"reasoningContent": {"redactedContent": data}}, call_one(request))


def reason_only(request: ConverseRequest) -> Script:
    """Reason without a signature and without an answer, as Qwen 3 was recorded to do."""
    text = f"Nothing to say to {last_user_text(request)[:40]!r}."
    return Script([{"reasoningContent": {"reasoningText": {"text": text}}}])


def _before_an_answer(reasoning: ContentBlock, answer: Script) -> Script:
    return Script([reasoning, *answer.blocks], answer.stop_reason)


def _sign(text: str) -> str:
    return b64encode(hashlib.sha256(f"signed:{text}".encode()).digest()).decode()
