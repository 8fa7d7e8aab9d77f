"""The errors of Bedrock's JSON schema compiler, which serves strict tools and structured output."""

import re
from collections.abc import Iterator, Sequence

from app.wire.json import JsonObject

# litellm#33981, vercel/ai#17197, and reports of propertyNames and minProperties with a request id (2026)
_UNSUPPORTED = {
    "array": ("maxItems", "uniqueItems"),
    "object": ("maxProperties", "minProperties", "patternProperties", "propertyNames"),
}
_BOUNDS = ("maximum", "minimum")
_UNSUPPORTED_PATTERN = re.compile(r"\(\?[=!<]|\\[1-9b]")
_MAX_TOOLS, _MAX_OPTIONAL, _MAX_UNIONS = 20, 24, 16


def schema_error(schema: object) -> str:
    """Why a schema cannot be compiled; empty if it can."""
    return next((error for part in _subschemas(schema) if (error := _subschema_error(part))), "")


def combined_error(schemas: Sequence[object], strict_tools: int) -> str:
    """Why the schemas of one call cannot be compiled together (pydantic-ai#5579, inbox-zero#2323, vercel/ai#17268)."""
    if strict_tools > _MAX_TOOLS:
        limit = f"The maximum number of strict tools supported is {_MAX_TOOLS}."
        return f"Too many strict tools ({strict_tools}). {limit}"
    parts = [part for schema in schemas for part in _subschemas(schema)]
    optional = sum(len(part.get("properties") or ()) - len(part.get("required") or ()) for part in parts)
    unions = sum("anyOf" in part or isinstance(part.get("type"), list) for part in parts)
    if optional > _MAX_OPTIONAL:
        return f"Schemas contains too many optional parameters ({optional}, limit: {_MAX_OPTIONAL})."
    if unions > _MAX_UNIONS:
        return f"Schemas contains too many parameters with union types ({unions}, limit: {_MAX_UNIONS})."
    return ""


def _subschema_error(part: JsonObject) -> str:
    if "oneOf" in part:
        return "Schema type 'oneOf' is not supported"  # vercel/ai#12876
    for kind in _types(part):
        if error := _keyword_error(kind, part):
            return error
    if _UNSUPPORTED_PATTERN.search(part.get("pattern") or ""):
        return "Unsupported regex feature in pattern field"  # GoModel#963
    return ""


def _types(part: JsonObject) -> list[str]:
    kind = part.get("type")
    if isinstance(kind, list):
        return kind
    return [kind] if isinstance(kind, str) else []


def _keyword_error(kind: str, part: JsonObject) -> str:
    for name in _UNSUPPORTED.get(kind, ()):
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
    return ""


def _subschemas(schema: object) -> Iterator[JsonObject]:
    """A schema and those within it; the keys of `properties` and of definitions are names, not keywords."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions"):
            for part in value.values():
                yield from _subschemas(part)
        elif name in ("anyOf", "oneOf", "allOf"):
            for part in value:
                yield from _subschemas(part)
        elif name == "items":
            yield from _subschemas(value)
