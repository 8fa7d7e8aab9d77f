"""Where bodies of InvokeModel name the number of tokens to generate.

Each vendor has names of its own (Amazon Bedrock user guide, inference request parameters, 2026-11).
"""

from collections.abc import Collection

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
_NAMES = frozenset(".".join(path) for path in _PATHS)
_OF_CHAT = frozenset({"max_tokens", "max_completion_tokens"})
# which of them models read, by the beginning of their ids; a model ignores the others
_READ_BY: tuple[tuple[str, frozenset[str]], ...] = (
    ("ai21.j2", frozenset({"maxTokens"})),
    ("ai21.", frozenset({"max_tokens"})),
    ("amazon.nova", frozenset({"inferenceConfig.maxTokens", "inferenceConfig.max_new_tokens"})),
    ("amazon.titan", frozenset({"textGenerationConfig.maxTokenCount"})),
    ("anthropic.", frozenset({"max_tokens", "max_tokens_to_sample"})),
    ("cohere.", frozenset({"max_tokens"})),
    ("meta.", frozenset({"max_gen_len"})),
    ("mistral.", frozenset({"max_tokens"})),
    ("writer.", frozenset({"max_tokens"})),
    *[(f"{vendor}.", _OF_CHAT) for vendor in (
        "deepseek", "google", "minimax", "moonshot", "moonshotai", "nvidia", "openai", "qwen", "xai", "zai",
    )],
)  # fmt: skip
# of Converse, for every model
CONVERSE = frozenset({"inferenceConfig.maxTokens"})


def names_of_length(base: str) -> Collection[str]:
    """Return the lengths that a model reads in a body of InvokeModel, by their paths; all where that is not known.

    Args:
        base: the id of the model without its geography, or an ARN.
    """
    return next((names for beginning, names in _READ_BY if base.startswith(beginning)), _NAMES)


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
