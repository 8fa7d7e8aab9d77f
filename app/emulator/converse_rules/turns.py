"""The order of turns, and blank system text."""

from itertools import pairwise

from app.converse.request import ConverseRequest, Message
from app.emulator.errors import invalid


def check_system(request: ConverseRequest) -> None:
    """Refuse blank text in `system`."""
    for index, block in enumerate(request.get("system") or []):
        if "text" in block and not block["text"].strip():
            raise invalid(
                f"The text field in the SystemContentBlock object at system.{index} is blank. "
                "Add text to the text field, and try again."
            )


def check_turns(messages: list[Message]) -> None:
    """Refuse a conversation that does not start with the user, or does not alternate."""
    roles = [message["role"] for message in messages if message["role"] != "system"]
    if not roles or roles[0] != "user":
        # pydantic-ai#4495, dify#12340
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a "
            "user message."
        )
    if any(first == second for first, second in pairwise(roles)):
        # langchain-aws#130, ell#369
        raise invalid(
            "A conversation must alternate between user and assistant roles. Make sure the conversation "
            "alternates between user and assistant roles and try again."
        )
