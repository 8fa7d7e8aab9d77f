"""The first turn is the user's, and the last is one that the model continues.

Evidence: "A conversation must start with a user message" (pydantic-ai#4495, dify#12340); "does not support assistant
message prefill" (MiMo-Code#1702).
"""

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedRequest
from app.converse.request import Message
from app.errors import InvalidRequest


def adapt_ends(adapted: AdaptedRequest) -> None:
    """Begin with a turn of the user, and trim the white space at the end of a last turn of the assistant.

    Raises:
        InvalidRequest: the conversation ends with the assistant, and the model does not continue it.
    """
    turns = adapted.body["messages"]
    if not turns or turns[0]["role"] != "user":
        turns = [{"role": "user", "content": [{"text": PLACEHOLDER}]}, *turns]
        adapted.adjust("first_turn")
    if turns[-1]["role"] == "assistant":
        turns = [*turns[:-1], _continued(turns[-1], adapted)]
    adapted.body["messages"] = turns


def _continued(last: Message, adapted: AdaptedRequest) -> Message:
    if adapted.capabilities.turns.prefill == "refused":
        reason = "this model does not continue a message: end with the user's"
        raise InvalidRequest(reason, param=adapted.path("messages"))
    content = last["content"]
    index = max(index for index, block in enumerate(content) if "cachePoint" not in block)
    text = content[index].get("text")
    if adapted.capabilities.turns.prefill != "trimmed" or text is None or text == text.rstrip():
        return last
    adapted.adjust("prefill")
    return {"role": last["role"], "content": [*content[:index], {"text": text.rstrip()}, *content[index + 1 :]]}
