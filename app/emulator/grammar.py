"""What Bedrock's compiler of JSON schemas says of those that it does not take, in its words as others saw them."""

import re
from collections.abc import Iterator
from typing import Any

_REFUSED = {
    # litellm#33981, vercel/ai#17197, and reports of propertyNames and minProperties with a request id (2026)
    "array": ("maxItems", "uniqueItems"),
    "object": ("maxProperties", "minProperties", "patternProperties", "propertyNames"),
}
_BOUNDS = ("maximum", "minimum")
_HARD_PATTERN = re.compile(r"\(\?[=!<]|\\[1-9b]")
_MOST_TOOLS, _MOST_OPTIONAL, _MOST_UNIONS = 20, 24, 16


def complaint(schema: Any) -> str:
    """Why a schema cannot be compiled; empty if it can."""
    return next((words for part in _parts(schema) if (words := _of_part(part))), "")


def complaint_together(schemas: list[Any], strict_tools: int) -> str:
    """Why the schemas of one call cannot be compiled together (pydantic-ai#5579, inbox-zero#2323, vercel/ai#17268)."""
    if strict_tools > _MOST_TOOLS:
        most = f"The maximum number of strict tools supported is {_MOST_TOOLS}."
        return f"Too many strict tools ({strict_tools}). {most}"
    parts = [part for schema in schemas for part in _parts(schema)]
    optional = sum(len(part.get("properties") or ()) - len(part.get("required") or ()) for part in parts)
    unions = sum("anyOf" in part or isinstance(part.get("type"), list) for part in parts)
    if optional > _MOST_OPTIONAL:
        return f"Schemas contains too many optional parameters ({optional}, limit: {_MOST_OPTIONAL})."
    if unions > _MOST_UNIONS:
        return f"Schemas contains too many parameters with union types ({unions}, limit: {_MOST_UNIONS})."
    return ""


def _of_part(part: dict[str, Any]) -> str:
    if "oneOf" in part:
        return "Schema type 'oneOf' is not supported"  # vercel/ai#12876
    told = part.get("type")
    for kind in told if isinstance(told, list) else [told] if isinstance(told, str) else []:
        for name in _REFUSED.get(kind, ()):
            if name in part:
                return f"For '{kind}' type, property '{name}' is not supported"
        if kind == "object" and part.get("additionalProperties") is not False:
            return "For 'object' type, 'additionalProperties' must be explicitly set to false"
        if kind in ("integer", "number") and (bounds := [name for name in _BOUNDS if name in part]):
            # altk-boost#118, litellm#29168
            return f"For '{kind}' type, properties {', '.join(bounds)} are not supported"
        if kind == "array" and part.get("minItems", 0) not in (0, 1):
            return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if kind != "array" and "items" in part:
            return f"For '{kind}' type, property 'items' is not supported"
    if _HARD_PATTERN.search(part.get("pattern") or ""):
        return "Unsupported regex feature in pattern field"  # GoModel#963
    return ""


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and those in it; what `properties` holds are names."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions"):
            for each in value.values():
                yield from _parts(each)
        elif name in ("anyOf", "oneOf", "allOf"):
            for each in value:
                yield from _parts(each)
        elif name == "items":
            yield from _parts(value)
