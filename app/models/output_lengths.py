"""Where bodies of InvokeModel name the number of tokens to generate.

Each vendor has names of its own (Amazon Bedrock user guide, inference request parameters, 2026-11).
"""

from app.wire.json import JsonObject

Path = tuple[str, ...]

_PATHS: tuple[Path, ...] = (
    ("max_tokens",),
    ("maxTokens",),
    ("max_completion_tokens",),
    ("max_output_tokens",),
    ("max_tokens_to_sample",),
    ("max_gen_len",),
    ("max_new_tokens",),
    ("inferenceConfig", "maxTokens"),
    ("inferenceConfig", "max_new_tokens"),
    ("textGenerationConfig", "maxTokenCount"),
    ("parameters", "max_new_tokens"),
)


def lengths_in(body: JsonObject) -> dict[str, object]:
    """Return the lengths that a body names, by their paths."""
    found: dict[str, object] = {}
    for path in _PATHS:
        value: object = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found[".".join(path)] = value
    return found
