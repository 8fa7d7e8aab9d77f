"""What Bedrock refuses in an Anthropic Messages body before the rules of the model apply."""

import re

from app.emulator.anthropic_messages.content import as_blocks
from app.emulator.errors import MALFORMED, invalid
from app.wire.json import JsonObject

_FIELDS = frozenset(
    {
        "anthropic_beta",
        "anthropic_version",
        "cache_control",
        "context_management",
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
_NEWEST_VERSION = "2026-10-21"
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_-]+\Z")


def check_fields(body: object) -> JsonObject:
    """Return the body if it is an object that has the required fields and no unknown ones.

    Raises:
        ServiceError: a ValidationException.
    """
    if not isinstance(body, dict) or "anthropic_version" not in body:
        raise invalid(MALFORMED)
    for name in ("max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    if extra := sorted(set(body) - _FIELDS):
        raise invalid(f"{extra[0]}: Extra inputs are not permitted")
    return body


def check_messages(body: JsonObject) -> None:
    """Check the first role, the blocks of assistant turns and the ids of tool calls.

    Ids as in bifrost#5097 and claude-code#20901. Images in assistant turns are refused (seen live in 2026); documents
    are since version 2026-10-21 (docs/reference/contracts/anthropic-messages.md#versions).

    Raises:
        ServiceError: a ValidationException.
        LookupError, TypeError, AttributeError: a value has a wrong type.
    """
    if body["messages"][0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    refused = ("image", "document") if body["anthropic_version"] == _NEWEST_VERSION else ("image",)
    seen: set[str] = set()
    for turn, message in enumerate(body["messages"]):
        path = f"messages.{turn}.content"
        for index, block in enumerate(as_blocks(message["content"])):
            kind = block.get("type")
            if kind in refused and message["role"] == "assistant":
                raise invalid(f"{path}: '{kind}' blocks are not permitted within assistant turns")
            if kind == "tool_use":
                _check_tool_use_id(block["id"], f"{path}.{index}", seen)


def _check_tool_use_id(tool_use_id: str, path: str, seen: set[str]) -> None:
    if not _TOOL_USE_ID.match(tool_use_id):
        raise invalid(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if tool_use_id in seen:
        raise invalid(f"{path}: `tool_use` ids must be unique")
    seen.add(tool_use_id)
