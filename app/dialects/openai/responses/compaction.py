"""Compacts conversations: `POST /v1/responses/compact`. The model itself summarizes what was said.

The summary travels in an item `compaction`, signed for its caller, and is a message again when it comes back. No
surface of Bedrock is known to compact.

Source: Open Responses, specification of 2026-04-24
"""

from typing import Any

from app.dialects.http.documents import validate
from app.dialects.http.identifiers import new_id
from app.dialects.openai.responses.listing import completed_items
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.errors import InvalidRequest, UpstreamFailed
from app.wire.documents import text_in
from app.wire.json import JsonObject

# instead of a model's name: any model may read a summary
SCOPE = "compaction"
_KINDS = frozenset({"compaction", "compaction_summary", "context_compaction"})
_SIGNED = "oc1."
_SUMMARY = "summary"
_PROMPT = """\
Summarize the conversation before this message, so that another assistant can continue it without having seen it. Keep \
the goals of the user, all decisions and facts, names of files, commands and their results, the state of the work, and \
what is left to do. Answer with the summary alone, and call no tools."""
_INTRODUCTION = "Summary of the conversation before this point:\n\n"
# members of a request that would change the form of the summary
_DROPPED = ("include", "stream", "stream_options", "text", "tool_choice")
# values of members that change nothing
_WITHOUT_EFFECT: tuple[object, ...] = (None, False, [], "none")


def summary_request(document: JsonObject) -> JsonObject:
    """Return the request for the summary of a conversation.

    Raises:
        InvalidRequest: no model, no conversation, or a member that is dropped and has no valid value.
    """
    if not document.get("model"):
        raise InvalidRequest("is needed", param="model")
    sent = document.get("input")
    if sent is not None and not isinstance(sent, str | list):
        raise InvalidRequest("must be a text or a list of items", param="input")
    if not sent and not document.get("previous_response_id"):
        raise InvalidRequest("must hold a message", param="input")
    items = sent if isinstance(sent, list) else [_message(sent)] if isinstance(sent, str) else []
    validate({name: document[name] for name in (*_DROPPED, "store") if name in document}, ResponseRequest)
    kept = {name: value for name, value in document.items() if name not in _DROPPED}
    choice = {"tool_choice": "none"} if document.get("tools") else {}
    return {**kept, **choice, "input": [*items, _message(_PROMPT)], "store": False}


def dropped_members(document: JsonObject) -> list[str]:
    """Return the names of the members that have no effect on the summary."""
    return [name for name in (*_DROPPED, "store") if document.get(name) not in _WITHOUT_EFFECT]


def _message(text: str) -> JsonObject:
    return {"type": "message", "role": "user", "content": text}


def compacted(response: JsonObject, items: list[object], signer: ReasoningSigner) -> JsonObject:
    """Return the compacted conversation: the user's messages, and the summary of all.

    Args:
        response: holds the summary. items: of the conversation, without the request for a summary.

    Raises:
        InvalidRequest: `max_output_tokens` cut the summary off. UpstreamFailed: it is empty or incomplete.
    """
    details = response.get("incomplete_details") or {}
    if response.get("max_output_tokens") and details.get("reason") == "max_output_tokens":
        raise InvalidRequest("is too small for the summary of this conversation", param="max_output_tokens")
    texts = [
        text_in(part, "text")
        for item in response["output"]
        if item.get("type") == "message"
        for part in item.get("content") or ()
    ]
    summary = "".join(texts).strip()
    if not summary or response.get("status") != "completed":
        status = str(response.get("status"))
        raise UpstreamFailed("the model did not complete its summary", detail=status, is_final=True)
    block: Any = {_SUMMARY: summary}
    made = {"id": new_id("cmp_"), "type": "compaction", "encrypted_content": signer.close(block)}
    messages = [item for item in items if isinstance(item, dict) and _is_users(item)]
    users = [{**item, "status": "completed"} for item in completed_items(messages, response["id"])]
    return {
        "id": response["id"],
        "object": "response.compaction",
        "created_at": response["created_at"],
        "output": [*users, made],
        "usage": response["usage"],
    }


def _is_users(item: JsonObject) -> bool:
    return item.get("role") == "user" and text_in(item, "type") in ("", "message")


def read_summary(item: object, path: str, signer: ReasoningSigner) -> object:
    """Return the message that holds the summary of an item; any other item as it is.

    Raises:
        InvalidRequest: a summary of another caller, or of another deployment, with its path: the conversation would go
            on without its beginning.
    """
    signed = text_in(item, "encrypted_content")
    if text_in(item, "type") not in _KINDS or not signed.startswith(_SIGNED):
        return item
    opened: Any = signer.open(signed) or {}
    if _SUMMARY not in opened:
        raise InvalidRequest("the summary was not made here for this caller", param=f"{path}.encrypted_content")
    return _message(_INTRODUCTION + opened[_SUMMARY])
