"""`cache_control` of blocks, tools and of the whole body."""

from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.wire.documents import text_in
from app.wire.json import JsonObject

_CACHEABLE = frozenset({"text", "image", "document", "search_result", "tool_use", "tool_result"})


def with_known_cache_control(block: JsonObject, path: str, adapted: AdaptedInvokeBody) -> JsonObject:
    """Return a block with only those members in its cache_control that Bedrock and the model accept."""
    control = block.get("cache_control")
    if not isinstance(control, dict):
        return block
    return {**block, "cache_control": _known(control, f"{path}.cache_control", adapted)}


def _known(control: JsonObject, path: str, adapted: AdaptedInvokeBody) -> JsonObject:
    known = {"type", "ttl"} if adapted.capabilities.caching.ttl else {"type"}
    given = {name: value for name, value in control.items() if value is not None}
    if "ttl" in given and "ttl" not in known:
        adapted.adjust("cache_ttl")
    adapted.ignored += [f"{path}.{name}" for name in given if name not in ("type", "ttl")]
    return {name: value for name, value in given.items() if name in known}


def cache_last_block(messages: list[object], control: object, adapted: AdaptedInvokeBody) -> None:
    """Put the cache_control of the whole body on its last block that can have one."""
    if not isinstance(control, dict):
        adapted.ignored.append("cache_control")
        return
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        blocks = content_blocks(message.get("content")) if isinstance(message, dict) else []
        for number in range(len(blocks) - 1, -1, -1):
            block = blocks[number]
            if isinstance(message, dict) and isinstance(block, dict) and _can_be_cached(block):
                own = block.get("cache_control") or _known(control, "cache_control", adapted)
                marked = {**block, "cache_control": own}
                messages[index] = {**message, "content": [*blocks[:number], marked, *blocks[number + 1 :]]}
                return
    adapted.ignored.append("cache_control")


def _can_be_cached(block: JsonObject) -> bool:
    if text_in(block, "type") not in _CACHEABLE:
        return False
    return block["type"] != "text" or bool(block.get("text"))


def content_blocks(content: object) -> list[object]:
    """Return a message's content as blocks; a string is one text block."""
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
