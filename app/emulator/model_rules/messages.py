"""What a model accepts in messages: images, system turns, prefill, and reasoning that comes back."""

from app.converse.request import Message
from app.emulator.catalog import Model
from app.emulator.errors import invalid
from app.emulator.model_rules.refusal import ModelRefusal

_MAX_IMAGES = 20


def check_images(model: Model, messages: list[Message]) -> None:
    """Refuse images where the model takes none, or too many of them."""
    images = sum("image" in block for message in messages for block in message["content"])
    if images and "IMAGE" not in model.inputs:
        raise invalid(
            "This model doesn't support the image content block that you provided. Update the content block "
            "and try again."
        )
    if images > _MAX_IMAGES:
        raise ModelRefusal(f"messages: too many images: image_count > {_MAX_IMAGES}")  # boto3#4632, cline#1844


def check_system_turns(model: Model, messages: list[Message]) -> None:
    """Only the newest Claude accepts them, after a user turn, and last or before an assistant turn.

    docs/reference/contracts/anthropic-on-invokemodel.md#system-turns
    """
    roles = [message["role"] for message in messages]
    for turn, role in enumerate(roles):
        if role != "system":
            continue
        if model.rules != "claude-5":
            raise ModelRefusal('messages: Unexpected role "system".')
        if turn == 0 or roles[turn - 1] != "user" or roles[turn + 1 : turn + 2] not in ([], ["assistant"]):
            raise ModelRefusal(f"messages.{turn}: a system message must follow a user turn.")


def check_prefill(model: Model, messages: list[Message]) -> None:
    """Check a conversation that ends with an assistant turn."""
    if messages[-1]["role"] != "assistant":
        return
    if model.rules in ("claude-5", "claude-4.6"):
        # MiMo-Code#1702
        raise ModelRefusal(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    text = messages[-1]["content"][-1].get("text") or ""
    if text != text.rstrip():
        raise ModelRefusal("messages: final assistant content cannot end with trailing whitespace")


def check_signatures(messages: list[Message]) -> None:
    """Refuse reasoning that comes back without its signature."""
    for turn, message in enumerate(messages):
        for index, block in enumerate(message["content"]):
            reasoning = block.get("reasoningContent")
            text = reasoning.get("reasoningText") if reasoning else None
            if text and not text.get("signature"):
                raise ModelRefusal(f"messages.{turn}.content.{index}.thinking.signature: Field required")
