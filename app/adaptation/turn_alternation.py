"""Turns alternate between the user and the assistant.

Evidence: "A conversation must alternate between user and assistant roles" (langchain-aws#130).

Source: docs/reference/contracts/anthropic-on-invokemodel.md#system-turns
"""

from itertools import groupby

from app.adaptation.adapted_request import AdaptedRequest, Role
from app.converse.request import Message


def alternate_turns(adapted: AdaptedRequest) -> None:
    """Merge adjacent turns of one role, and make turns of the system the user's where the model refuses them."""
    adapted.body["messages"] = _merged(_with_accepted_roles(_merged(adapted.body["messages"]), adapted))


def _merged(messages: list[Message]) -> list[Message]:
    return [
        {"role": role, "content": [block for message in group for block in message["content"]]}
        for role, group in groupby(messages, key=lambda message: message["role"])
    ]


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
