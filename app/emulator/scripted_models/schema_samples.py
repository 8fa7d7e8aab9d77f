"""Sample values for JSON schemas: tool arguments and structured output of the scripted models."""

from app.wire.json import JsonObject

_MAX_DEPTH = 8


def sample_value(schema: object, root: object = None, depth: int = 0) -> object:
    """A value that conforms to a schema, always the same one.

    Args:
        root: the document in which references are resolved; by default the schema itself.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return {}
    if isinstance(schema.get("$ref"), str):
        return sample_value(_resolve(schema["$ref"], root), root, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return sample_value(schema[keyword][0], root, depth + 1)
    return _sample_of_type(schema, root, depth)


def _sample_of_type(schema: JsonObject, root: object, depth: int) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind:
        case "object" | None:
            properties = schema.get("properties", {})
            return {name: sample_value(value, root, depth + 1) for name, value in properties.items()}
        case "array":
            return [sample_value(schema.get("items", {}), root, depth + 1)]
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


def _resolve(reference: str, root: object) -> object:
    """The part of `root` that a reference such as `#/$defs/Name` points to."""
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if step and isinstance(found, dict) else found
    return found
