"""JSON schemas: the schemas inside a schema, and objects without alternatives or definitions."""

from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import unquote

from msgspec import Struct

from app.wire import json
from app.wire.documents import listed, text_in
from app.wire.json import JsonObject

_MAX_NESTED, _MAX_ALTERNATIVES = 8, 500
_MAX_INLINED = 250_000  # bytes
_BARE = ("type", "properties", "required", "additionalProperties")
DEFINITIONS = ("$defs", "definitions")
# keywords of JSON Schema that hold a schema, schemas by name, and schemas in a row; all others hold data
_SCHEMAS = frozenset(
    {
        "additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
        "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_SCHEMA_MAPS = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_UNIONS = frozenset({"anyOf", "oneOf", "allOf"})


def _parts(schema: JsonObject) -> list[object]:
    """Return the schemas directly inside a schema."""
    parts: list[object] = [schema[keyword] for keyword in _SCHEMAS & schema.keys()]
    for keyword in _SCHEMA_MAPS & schema.keys():
        parts += schema[keyword].values() if isinstance(schema[keyword], dict) else []
    for keyword in _SCHEMA_LISTS & schema.keys():
        parts += listed(schema[keyword])
    return parts


def schemas_in(schema: object) -> Iterator[JsonObject]:
    """Return a schema and all schemas inside it."""
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += _parts(part)


def reference_in(schema: object) -> str:
    """Return the reference of a schema; empty if it has none."""
    return text_in(schema, "$ref")


def definitions_of(schema: JsonObject) -> dict[str, JsonObject]:
    """Return the definitions of a schema, by the reference to each."""
    return {
        f"#/{index}/{name}": each
        for index in DEFINITIONS
        for name, each in (schema[index].items() if isinstance(schema.get(index), dict) else ())
        if isinstance(each, dict)
    }


def plain(reference: str) -> str:
    """Return a reference with its escapes decoded, as definitions are named: `#/definitions/Partial%3CFoo%3E`."""
    return (
        unquote(reference).replace("~1", "/").replace("~0", "~") if "%" in reference or "~" in reference else reference
    )


class Inliner(Struct):
    """Makes schemas of objects that have only members at their top, with definitions inlined.

    A recursive definition accepts anything. So do definitions beyond the limit of one call.
    """

    room: int = _MAX_INLINED

    def bare(self, schema: JsonObject) -> JsonObject:
        """Return a schema without definitions, references and alternatives at its top."""
        definitions = definitions_of(schema)
        whole = {name: value for name, value in schema.items() if name not in DEFINITIONS}
        if definitions:
            sizes = {reference: len(json.dumps(each)) for reference, each in definitions.items()}
            whole = self._inlined(whole, definitions, sizes, frozenset())
        accepted = _BARE if "patternProperties" not in whole else _BARE[:-1]  # a closed schema would reject those
        return {name: value for name, value in without_unions(whole).items() if name in accepted}

    def _inlined(
        self, schema: JsonObject, definitions: dict[str, JsonObject], sizes: dict[str, int], within: frozenset[str]
    ) -> JsonObject:
        def inside(each: object) -> object:
            return self._inlined(each, definitions, sizes, within) if isinstance(each, dict) else each

        rest = {name: _mapped(name, each, inside) for name, each in schema.items()}
        reference = plain(reference_in(schema))
        if reference not in definitions:
            return rest
        del rest["$ref"]
        self.room -= sizes[reference]
        if reference in within or self.room < 0:
            return rest
        return _both(self._inlined(definitions[reference], definitions, sizes, within | {reference}), rest)


def _mapped(keyword: str, value: object, change: Callable[[object], object]) -> object:
    """Return the value of a keyword with each schema in it changed."""
    if keyword in _SCHEMA_MAPS and isinstance(value, dict):
        return {name: change(each) for name, each in value.items()}
    if keyword in _SCHEMAS | _SCHEMA_LISTS:
        return [change(each) for each in value] if isinstance(value, list) else change(value)
    return value


def _both(schema: JsonObject, other: JsonObject) -> JsonObject:
    """Return one schema for two. It is not closed, since one schema would reject the properties of the other."""
    if not (_UNIONS | {"patternProperties"}).isdisjoint(schema.keys() & other.keys()):
        return {"allOf": [schema, other]}
    both = {**schema, **other}
    required = _distinct([*listed(schema.get("required")), *listed(other.get("required"))])
    if required:
        both["required"] = required
    if isinstance(other.get("properties"), dict):
        both["properties"] = {**_properties(schema), **other["properties"]}
        both.pop("additionalProperties", None)
    return both


def has_unions(schema: JsonObject) -> bool:
    """Tell whether a schema has alternatives at its top."""
    return not _UNIONS.isdisjoint(schema)


def without_unions(schema: JsonObject) -> JsonObject:
    """Return the schema of an object without alternatives at its top.

    - Members of an alternative are optional.
    - A member that several alternatives name is what any of them says.
    - A member that `allOf` requires is still required.
    """
    if not has_unions(schema):
        return schema
    unions = _UNIONS & schema.keys()
    whole = {name: value for name, value in schema.items() if name not in unions}
    if properties := _with_members_of_alternatives(schema):
        whole["properties"] = properties
    definitions = definitions_of(schema)
    demanding = [schema, *(definitions.get(plain(reference_in(part)), part) for part in listed(schema.get("allOf")))]
    if required := [name for part in demanding if isinstance(part, dict) for name in listed(part.get("required"))]:
        whole["required"] = _distinct(required)
    return whole


def _with_members_of_alternatives(schema: JsonObject) -> JsonObject:
    properties: JsonObject = dict(_properties(schema))
    named: dict[str, list[object]] = {}
    alternatives = {id(part): part for part in islice(_alternatives(schema), _MAX_ALTERNATIVES)}
    for part in alternatives.values():
        for name, value in _properties(part).items():
            if name not in properties:
                named.setdefault(name, []).append(value)
    for name, values in named.items():
        each = _distinct(values)
        properties[name] = each[0] if len(each) == 1 else {"anyOf": each}
    return properties


def _properties(schema: JsonObject) -> JsonObject:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _distinct(values: list[object]) -> list[object]:
    if len(values) == 1:
        return values
    distinct: dict[bytes, object] = {}
    for value in values:
        distinct.setdefault(json.dumps_sorted(value), value)
    return list(distinct.values())


def _alternatives(root: JsonObject) -> Iterator[JsonObject]:
    """Return the schemas in unions at the top of a schema, at any depth, and the definitions that they refer to."""
    choices: dict[int, list[JsonObject]] = {}

    def within(part: JsonObject, room: int) -> Iterator[JsonObject]:
        if id(part) not in choices:
            choices[id(part)] = _choices(part, root)
        for each in choices[id(part)] if room else ():
            yield each
            yield from within(each, room - 1)

    return within(root, _MAX_NESTED)


def _choices(part: JsonObject, root: JsonObject) -> list[JsonObject]:
    choices = [each for keyword in sorted(_UNIONS & part.keys()) for each in listed(part[keyword])]
    if isinstance(part.get("$ref"), str):
        found: object = root
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found.get(plain(step)) if isinstance(found, dict) else None
        choices.append(found)
    return [each for each in choices if isinstance(each, dict)]


def requires_all(schema: object) -> bool:
    """Tell whether every object in a schema requires all its members."""
    if isinstance(schema, list):
        return all(map(requires_all, schema))
    if not isinstance(schema, dict):
        return True
    members = schema.get("properties")
    if isinstance(members, dict) and not members.keys() <= set(listed(schema.get("required"))):
        return False
    return all(map(requires_all, schema.values()))
