"""What Chat Completions and Responses share: the time of creation, usage, and framing."""

from app.converse.reply import TokenUsage
from app.wire import json
from app.wire.json import JsonObject

CREATED = 1784577556


def is_gpt_oss(body: JsonObject) -> bool:
    """True if a request is for a gpt-oss."""
    return str(body.get("model")).startswith("openai.gpt-oss")


def openai_usage(usage: TokenUsage, prompt: str, completion: str) -> dict[str, object]:
    """Convert usage; `prompt` and `completion` are the names that the API gives to the two sides."""
    read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    input_tokens = usage["inputTokens"] + read + written
    return {
        f"{prompt}_tokens": input_tokens,
        f"{prompt}_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        f"{completion}_tokens": usage["outputTokens"],
        f"{completion}_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + usage["outputTokens"],
    }


def sse_frame(document: JsonObject) -> bytes:
    """Frame one event as these APIs do: first its data, then its name."""
    name = f"event: {document['type']}\n" if "type" in document else ""
    return b"data: " + json.dumps(document) + b"\n" + name.encode() + b"\n"
