"""What is settled of a request before its mode is chosen, so that every mode says the same of it."""

from typing import Any

from app.errors import ThreadRefused

# what these asked for needs no asking any more
OBSOLETE_BETAS = frozenset({"structured-outputs-2025-11-13"})


def normalize(document: dict[str, Any]) -> dict[str, Any]:
    """The request in the words of today: `output_format` became `output_config.format` (Anthropic's page on structured
    outputs), and is heard where the latter is not given; litellm 1.110 still sends it.

    Raises:
        ThreadRefused: it continues, or begins, a thread of messages, whose beginning Anthropic's own servers keep.
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


def has_schema(document: dict[str, Any]) -> bool:
    """True if the answer has to be of a JSON schema."""
    config = document.get("output_config")
    return isinstance(config, dict) and config.get("format") is not None
