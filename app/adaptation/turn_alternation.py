"""Turns alternate between the user and the assistant.

Evidence: "A conversation must alternate between user and assistant roles" (langchain-aws#130).

Source: docs/reference/contracts/anthropic-on-invokemodel.md#system-turns
"""

from app.adaptation.adapted_request import AdaptedRequest, Role
from app.converse.request import Message


def alternate_turns(adapted: AdaptedRequest) -> None:
    """Merge adjacent turns of one role, and make turns of the system the user's where the model refuses them."""
    turns = _merged(adapted.body["messages"])
    if "system" in [turn["role"] for turn in turns]:
        turns = _merged(_with_accepted_roles(turns, adapted))
    adapted.body["messages"] = turns


def _merged(messages: list[Message]) -> list[Message]:
    turns: list[Message] = []
    role: Role | None = None
    for message in messages:
        if message["role"] == role:
            turns[-1]["content"] += message["content"]
        else:
            role = message["role"]
            turns.append({"role": role, "content": [*message["content"]]})
    return turns


def _with_accepted_roles(turns: list[Message], adapted: AdaptedRequest) -> list[Message]:
    """Return the turns with the system's as the user's where the model refuses them, or refuses that position.

    A turn of the system follows one of the user, and is the last or precedes one of the assistant.
    """
    accepted: list[Message] = []
    for index, turn in enumerate(turns):
        role: Role = turn["role"]
        if role == "system":
            before = turns[index - 1]["role"] if index else None
            after = turns[index + 1]["role"] if index + 1 < len(turns) else None
            if not (adapted.capabilities.turns.system and before == "user" and after in (None, "assistant")):
                role = "user"
                adapted.adjust("system_turn")
        accepted.append({"role": role, "content": turn["content"]})
    return accepted
