"""JSON schemas as Bedrock compiles them for structured output and strict tools.

Objects are closed. Bounds of numbers and of arrays are refused ("For 'integer' type, properties maximum, minimum are
not supported", altk-boost#118, litellm#29168), so they are said in the description instead, as recording
native_output_numerical_constraints shows; lengths of strings are taken (recording native_output_profile_default). What
recurs, or leaves its properties open on purpose, cannot be compiled at all (AWS user guide). Pains 17 and 18.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.kit import json
from app.kit.members import listed

_MOST_NESTED, _MOST_ALTERNATIVES = 8, 500
# keywords of JSON Schema that hold a schema, schemas by name, and schemas in a row; all others hold data
_SCHEMAS = frozenset({"items", "not", "if", "then", "else", "contains", "additionalProperties", "propertyNames"})
_SCHEMA_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_UNIONS = frozenset({"anyOf", "oneOf", "allOf"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "maxItems"})


def closed_schema(schema: Any) -> Any:
    """The schema with `additionalProperties: false` wherever nothing is said, and its bounds in words."""
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _SCHEMA_MAPS and isinstance(value, dict):
            closed[keyword] = {name: closed_schema(each) for name, each in value.items()}
        elif keyword in _SCHEMA_LISTS and isinstance(value, list):
            closed[keyword] = [closed_schema(each) for each in value]
        else:
            closed[keyword] = closed_schema(value) if keyword in _SCHEMAS else value
    _say_bounds(closed)
    kind = closed.get("type", "object" if "properties" in closed else None)
    if "additionalProperties" not in closed and (kind == "object" or (isinstance(kind, list) and "object" in kind)):
        closed["additionalProperties"] = False
    return closed


def _say_bounds(schema: dict[str, Any]) -> None:
    bounds = {name: schema.pop(name) for name in list(schema) if name in _BOUNDS and _is_number(schema[name])}
    if _is_number(schema.get("minItems")) and schema["minItems"] > 1:
        bounds["minItems"] = schema.pop("minItems")
    if bounds:
        words = ", ".join(f"{name}={value}" for name, value in bounds.items())
        said = schema.get("description")
        schema["description"] = f"{said} ({words})" if isinstance(said, str) and said else words


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def without_unions(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object without alternatives at its top: what one of them names may be there, and need not be.

    A name that several give is what any of them says. What all of several ask for, `allOf`, is asked for still.
    """
    unions = _UNIONS & schema.keys()
    if not unions:
        return schema
    whole = {name: value for name, value in schema.items() if name not in unions}
    own = schema.get("properties")
    properties: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
    named: dict[str, list[Any]] = {}
    alternatives = {id(part): part for part in islice(_alternatives(schema), _MOST_ALTERNATIVES)}
    for part in alternatives.values():
        theirs = part.get("properties")
        for name, value in theirs.items() if isinstance(theirs, dict) else ():
            if name not in properties:
                named.setdefault(name, []).append(value)
    for name, values in named.items():
        each = _distinct(values)
        properties[name] = each[0] if len(each) == 1 else {"anyOf": each}
    demanding = [schema, *listed(schema.get("allOf"))]
    required = [name for part in demanding if isinstance(part, dict) for name in listed(part.get("required"))]
    if properties:
        whole["properties"] = properties
    if required:
        whole["required"] = _distinct(required)
    return whole


def _distinct(values: list[Any]) -> list[Any]:
    if len(values) == 1:
        return values
    distinct: dict[bytes, Any] = {}
    for value in values:
        distinct.setdefault(json.dumps_sorted(value), value)
    return list(distinct.values())


def _alternatives(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas that stand in unions at the top of a schema, however deep, with what they refer to."""
    choices: dict[int, list[dict[str, Any]]] = {}

    def within(part: dict[str, Any], room: int) -> Iterator[dict[str, Any]]:
        if id(part) not in choices:
            choices[id(part)] = _choices(part, root)
        for each in choices[id(part)] if room else ():
            yield each
            yield from within(each, room - 1)

    return within(root, _MOST_NESTED)


def _choices(part: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    choices = [each for keyword in sorted(_UNIONS & part.keys()) for each in listed(part[keyword])]
    if isinstance(part.get("$ref"), str):
        found: Any = root
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found.get(step) if isinstance(found, dict) else None
        choices.append(found)
    return [each for each in choices if isinstance(each, dict)]


def can_be_closed(schema: Any) -> bool:
    """True if the schema can be compiled: no object is left open on purpose, and none holds itself."""
    if not isinstance(schema, dict):
        return False
    outside = {name: value for name, value in schema.items() if name not in ("$defs", "definitions")}
    references = {"#": _references(outside)}
    for place in ("$defs", "definitions"):
        definitions = schema.get(place)
        for name, each in definitions.items() if isinstance(definitions, dict) else ():
            references[f"#/{place}/{name}"] = _references(each)
    return not _is_left_open(schema) and not _has_cycle(references)


def _parts(schema: dict[str, Any]) -> list[Any]:
    """The schemas directly inside a schema."""
    parts = [schema[keyword] for keyword in _SCHEMAS & schema.keys()]
    for keyword in _SCHEMA_MAPS & schema.keys():
        parts += schema[keyword].values() if isinstance(schema[keyword], dict) else []
    for keyword in _SCHEMA_LISTS & schema.keys():
        parts += listed(schema[keyword])
    return parts


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema, and all that stand in it."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += _parts(part)


def _is_left_open(schema: dict[str, Any]) -> bool:
    return any(part.get("additionalProperties", False) is not False for part in _schemas(schema))


def _references(schema: Any) -> set[str]:
    return {part["$ref"] for part in _schemas(schema) if isinstance(part.get("$ref"), str)}


def _has_cycle(references: dict[str, set[str]]) -> bool:
    ahead = {name: len(named & references.keys()) for name, named in references.items()}
    referring: dict[str, list[str]] = {}
    for name, named in references.items():
        for each in named:
            referring.setdefault(each, []).append(name)
    ends = [name for name, count in ahead.items() if not count]
    for end in ends:
        for name in referring.get(end, ()):
            ahead[name] -= 1
            if not ahead[name]:
                ends.append(name)
    return len(ends) < len(references)
