"""Normalizes a request before its mode is chosen, so that every mode treats it alike."""

from app.errors import ThreadRefused
from app.wire.json import JsonObject

# features that need no beta any more
OBSOLETE_BETAS = frozenset({"structured-outputs-2025-11-13"})


def normalize(document: JsonObject) -> JsonObject:
    """Replace `output_format`, which litellm 1.110 sends, by its successor `output_config.format`, unless that is set.

    Raises:
        ThreadRefused: the request belongs to a thread of messages, which only Anthropic's own servers store.
    """
    if document.get("thread") is not None:
        raise ThreadRefused("threads are kept by Anthropic's own servers: send the whole conversation", param="thread")
    wanted = document.get("output_format")
    if wanted is None:
        return document
    rest = {name: value for name, value in document.items() if name != "output_format"}
    config = document.get("output_config")
    if config is None:
        return {**rest, "output_config": {"format": wanted}}
    if isinstance(config, dict) and config.get("format") is None:
        return {**rest, "output_config": {**config, "format": wanted}}
    return rest


def has_schema(document: JsonObject) -> bool:
    """Tell whether the response must match a JSON schema."""
    config = document.get("output_config")
    return isinstance(config, dict) and config.get("format") is not None
