"""What the documents of OpenAI's APIs at Bedrock report, in terms of the internal model.

Sources:
- docs/reference/contracts/openai-chat.md#reply
- docs/reference/contracts/openai-responses.md#objects
"""

import re

from app.converse.usage import Usage
from app.wire.json import JsonObject

_REPEATING = re.compile(r"call_[0-9]+\Z")
_MAX_CALL_ID = 64


def usage_of_completion(document: JsonObject) -> Usage | None:
    """Return the tokens of a chat completion or a chunk; None if it holds no count."""
    return _usage(document.get("usage"), "prompt", "completion")


def usage_of_response(document: JsonObject) -> Usage | None:
    """Return the tokens of a response, or of an event with one; None if it holds no count."""
    inside = document.get("response")
    return _usage((inside if isinstance(inside, dict) else document).get("usage"), "input", "output")


def _usage(usage: object, prompt: str, completion: str) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    details = usage.get(f"{prompt}_tokens_details") or {}
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    return Usage(
        input=max((usage.get(f"{prompt}_tokens") or 0) - read - written, 0),
        output=usage.get(f"{completion}_tokens") or 0,
        cache_read=read,
        cache_write=written,
        reasoning=(usage.get(f"{completion}_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def unique_call_id(call_id: object, item_id: object) -> object:
    """Make an id of a call unique across responses, by the end of its item's id.

    Source: recordings bedrock_mantle reused_tool_call_ids.
    """
    if not isinstance(call_id, str) or not isinstance(item_id, str) or not _REPEATING.match(call_id):
        return call_id
    return f"{call_id}_{item_id[len(call_id) + 1 - _MAX_CALL_ID :]}"
