"""Reduces paths and fields that callers wrote to what the log may contain.

A name that this module does not list may be a caller's content, and becomes `*`.
"""

import re

from app.errors import GatewayError

_MAX_NAMES = 8
_INDEX = re.compile(r"\[(\d{1,6})\]")
# of our paths, and of what clients append to a base URL
_SEGMENTS = frozenset(
    (
        *("", "anthropic", "api", "apply", "audio", "batches", "bedrock", "chat", "completions", "converse"),
        *("converse-stream", "count-tokens", "count_tokens", "docs", "embeddings", "files", "generations", "guardrail"),
        *("health", "images", "input_items", "invoke", "invoke-with-response-stream", "messages", "metrics", "model"),
        *("cancel", "compact"),
        *("models", "moderations", "openai", "openapi.json", "ready", "redoc", "rerank", "responses", "speech"),
        *("transcriptions", "v1", "v2", "version"),
    )
)
_FIELDS = frozenset(
    (
        *("additionalModelRequestFields", "arguments", "cache_control", "call_id", "content", "conversation", "data"),
        *("detail", "dimensions", "document", "documents", "encoding_format", "file", "file_data", "file_id"),
        *("file_url", "format", "frequency_penalty", "function", "function_call", "functions", "id", "image"),
        *("image_url", "include", "inferenceConfig", "input", "input_audio", "input_schema", "instructions"),
        *("json_schema", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens"),
        *("media_type", "messages", "metadata", "modalities", "model", "n", "name", "output", "output_config"),
        *("parallel_tool_calls", "parameters", "presence_penalty", "previous_response_id", "prompt", "query"),
        *("reasoning", "reasoning_effort", "response_format", "role", "schema", "seed", "service_tier", "signature"),
        *("source", "stop", "stop_sequences", "store", "stream", "stream_options", "system", "temperature", "text"),
        *("thinking", "thinking_blocks", "tool_call_id", "tool_calls", "tool_choice", "tool_use_id", "toolConfig"),
        *("tools", "top_k", "top_logprobs", "top_n", "top_p", "truncation", "type", "url", "user"),
        "x-outcrop-timeout",
    )
)


def loggable_path(path: str) -> str:
    """Return a path without segments that no endpoint has: `/v1/v1/*`."""
    segments = path.split("/")[1 : _MAX_NAMES + 1]
    return "".join(f"/{segment if segment in _SEGMENTS else '*'}" for segment in segments)


def loggable_field(error: GatewayError) -> str:
    """Return the field that an error names, without unknown names: `field messages[0].*`; empty if it names none."""
    if not error.param:
        return ""
    names = error.param.split(".")[:_MAX_NAMES]
    return "field " + ".".join(name if _INDEX.sub("", name) in _FIELDS else "*" for name in names)
