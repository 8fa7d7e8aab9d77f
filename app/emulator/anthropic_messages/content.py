"""Content blocks and tools of Anthropic Messages, converted to Converse's."""

from app.emulator.errors import invalid
from app.wire.json import JsonObject

# recording anthropic_bedrock_count_tokens_rejects_server_tools
_TOOL_TYPES = ("bash_20250124", "custom", "text_editor_20250124", "text_editor_20250429", "text_editor_20250728")


def as_blocks(content: object) -> list[JsonObject]:
    """The blocks of `content`, which may be a plain string.

    Raises:
        TypeError: it is neither a string nor a list.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise TypeError
    return content


def content_block(block: JsonObject) -> JsonObject:
    """Convert one block.

    Raises:
        ServiceError: a ValidationException for an unknown type of block, or for a block without its members.
    """
    match block:
        case {"type": "text", "text": str(text)}:
            return {"text": text}
        case {"type": "image", "source": {"type": "base64", "media_type": str(media_type), "data": str(data)}}:
            return {"image": {"format": media_type.rpartition("/")[2], "source": {"bytes": data}}}
        case {"type": "document"}:
            return {"document": {"format": "pdf", "name": block.get("title") or "document", "source": {}}}
        case {"type": "search_result"}:
            return {"searchResult": block}
        case {"type": "thinking", "thinking": str(text), "signature": signature}:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case {"type": "redacted_thinking", "data": data}:
            return {"reasoningContent": {"redactedContent": data}}
        case {"type": "tool_use" | "server_tool_use", "id": tool_id, "name": name, "input": arguments}:
            return {"toolUse": {"toolUseId": tool_id, "name": name, "input": arguments}}
        case {"type": "tool_result", "tool_use_id": tool_id}:
            content = [content_block(part) for part in as_blocks(block.get("content") or [])]
            status = "error" if block.get("is_error") else "success"
            return {"toolResult": {"toolUseId": tool_id, "content": content, "status": status}}
        case _:
            raise invalid(f"messages: Input tag {block.get('type')!r} does not match any of the expected tags")


def tool(declared: JsonObject) -> JsonObject:
    """Convert a tool; one that Anthropic defines takes any arguments.

    Raises:
        ServiceError: a ValidationException for an unknown type of tool.
    """
    kind = declared.get("type", "custom")
    if kind not in _TOOL_TYPES:
        expected = ", ".join(f"'{each}'" for each in _TOOL_TYPES)
        raise invalid(
            f"tools.0: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
        )
    schema = declared["input_schema"] if kind == "custom" else {"type": "object", "properties": {}}
    return {"toolSpec": {"name": declared["name"], "inputSchema": {"json": schema}}}
