"""What Bedrock lets stand together: beside calls of tools, beside their results, and within a result.

pydantic-ai#6098 and langchain-aws#1118 (live, 2026-06); opencode#50272 and llumiverse#655 (2026-09).
"""

from typing import Any

from app.emulator.catalog import Model
from app.emulator.errors import invalid, model_refused

_APART = ("llama", "mistral")
_SHOWN_IN_RESULTS = ("claude", "nova", "llama")


def check_apart(model: Model, messages: list[Any]) -> None:
    """Check what shares a turn.

    Raises:
        ServiceError: a ValidationException in AWS's words.
    """
    for turn, message in enumerate(messages):
        blocks = message["content"]
        kinds = {kind for block in blocks for kind, value in block.items() if value is not None} - {"cachePoint"}
        for kind, words in (("toolUse", "tool use"), ("toolResult", "tool result")):
            if model.family in _APART and kind in kinds and len(kinds) > 1:
                raise invalid(
                    f"messages.{turn}.content: Conversation blocks and {words} blocks cannot be provided in the same "
                    "turn."
                )
        results = [block["toolResult"] for block in blocks if block.get("toolResult") is not None]
        documents = [block["document"] for block in blocks if block.get("document") is not None]
        if model.family.startswith("claude") and results and any(each["format"] != "pdf" for each in documents):
            raise model_refused(
                f"messages.{turn - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                + ", ".join(result["toolUseId"] for result in results)
            )
        has_picture = any("image" in part for result in results for part in result["content"])
        if has_picture and not model.family.startswith(_SHOWN_IN_RESULTS) and model.provider != "Scripted":
            raise invalid("This model doesn't support the image field for user messages. Remove image and try again.")
