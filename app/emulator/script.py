"""What a scripted model says: content blocks, how it stops, and how slowly."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Script:
    """An answer, before limits and stop sequences have cut it.

    pause: seconds before each event of a stream. cache_read, cache_write: tokens to report so.
    """

    blocks: list[dict[str, Any]]
    stop_reason: str = "end_turn"
    pause: float = 0.0
    cache_read: int = 0
    cache_write: int = 0
    trace: dict[str, Any] | None = field(default=None)


def last_text(request: dict[str, Any]) -> str:
    """The text of the last user turn."""
    for message in reversed(request["messages"]):
        if message["role"] == "user":
            return "\n".join(block["text"] for block in message["content"] if "text" in block)
    return ""


def last_results(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool results of the last turn, with which the system may have had a word behind it, as in Claude Code's."""
    spoken = [message for message in request["messages"] if message["role"] != "system"] or request["messages"]
    return [block["toolResult"] for block in spoken[-1]["content"] if "toolResult" in block]


def sample_of(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A value that fits a JSON schema, always the same one; `root` is where its references lead."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 8:
        return {}
    if isinstance(schema.get("$ref"), str):
        return sample_of(_resolved(schema["$ref"], root), root, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return sample_of(schema[keyword][0], root, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind:
        case "object" | None:
            return {name: sample_of(value, root, depth + 1) for name, value in schema.get("properties", {}).items()}
        case "array":
            return [sample_of(schema.get("items", {}), root, depth + 1)]
        case "integer":
            return int(schema.get("minimum", 7))
        case "number":
            return float(schema.get("minimum", 1.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "sample"


def _resolved(reference: str, root: Any) -> Any:
    """What a reference such as `#/$defs/Name` leads to."""
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if step and isinstance(found, dict) else found
    return found
