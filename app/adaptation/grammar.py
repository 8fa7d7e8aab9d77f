"""JSON schemas as Bedrock compiles them into grammars, for structured output and strict tools.

Anthropic's page on structured outputs lists the keywords of a grammar. Every other keyword is refused by its name ("For
'array' type, property 'maxItems' is not supported", vercel/ai#17197; "Schema type 'oneOf' is not supported", #12876).

- Objects are closed, and alternatives are `anyOf`.
- Bounds move to the description (recording native_output_numerical_constraints). Lengths of strings are accepted
  (recording native_output_profile_default).
- A recursive schema, or one with open properties, cannot be compiled (AWS user guide; cua#3303; Portkey#1547).
"""

import re
from collections.abc import Sequence

from app.adaptation.schemas import DEFINITIONS, definitions_of, plain, reference_in, schemas_in
from app.wire import json
from app.wire.documents import listed
from app.wire.json import JsonObject

_TAKEN = frozenset(
    {
        "$defs", "$ref", "additionalProperties", "anyOf", "const", "default", "definitions", "description",
        "enum", "format", "items", "maxLength", "minItems", "minLength", "pattern", "properties", "required", "title",
        "type",
    }
)  # fmt: skip
# these add nothing to the rest of a schema
_WITHOUT_EFFECT = frozenset({"$anchor", "$comment", "$id", "$schema", "discriminator", "nullable"})
_ANNOTATIONS = frozenset({*_WITHOUT_EFFECT, *DEFINITIONS, "default", "deprecated", "description", "examples", "title"})
# without these, a closed schema would reject what they describe
_NEEDED = frozenset(
    {
        "$dynamicRef", "dependencies", "dependentSchemas", "else", "patternProperties", "prefixItems", "then",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
)  # fmt: skip
# look-around, back references, and word boundaries ("\b is not supported", GoModel#963)
_HARD_PATTERN = re.compile(r"\(\?|\\[1-9bBAZzGkpP]")
_OF_KIND = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
}
_OF_ANY_KIND = frozenset(name for names in _OF_KIND.values() for name in names)
# of all strict schemas of one call together (pydantic-ai#5579, inbox-zero#2323, vercel/ai#17268)
_MAX_STRICT_TOOLS, _MAX_OPTIONAL, _MAX_UNIONS = 20, 24, 16


class _NoGrammar(Exception):
    """A schema cannot be compiled."""


def grammar_of(schema: object) -> JsonObject | None:
    """Return the schema in the keywords that can be compiled; None if it cannot be compiled."""
    if not isinstance(schema, dict) or not _references(schema) <= definitions_of(schema).keys() or _recurs(schema):
        return None
    try:
        return _compiled(schema)
    except _NoGrammar:
        return None


def fit_together(grammars: Sequence[JsonObject], strict_tools: int) -> bool:
    """Tell whether one call may have these grammars; `strict_tools` of them are of tools."""
    optional = unions = 0
    for grammar in grammars:
        for part in schemas_in(grammar):
            optional += len(set(part.get("properties") or ()) - set(listed(part.get("required"))))
            unions += "anyOf" in part or isinstance(part.get("type"), list)
    return strict_tools <= _MAX_STRICT_TOOLS and optional <= _MAX_OPTIONAL and unions <= _MAX_UNIONS


def _compiled(schema: object) -> JsonObject:
    if not isinstance(schema, dict):
        raise _NoGrammar
    schema = _with_null(_with_one_kind_of_alternatives(schema))
    if "$ref" in schema:
        reference = reference_in(schema)
        if not reference or not schema.keys() - _ANNOTATIONS <= {"$ref"}:
            raise _NoGrammar  # keywords beside it would be lost
        return {"$ref": reference, **_definitions_of(schema)}
    if schema.keys() & _NEEDED or schema.get("additionalProperties", False) is not False:
        raise _NoGrammar
    made: JsonObject = {}
    left_out: JsonObject = {}
    for name, value in schema.items():
        if name in _TAKEN and _can_hold(name, value):
            made[name] = _compiled_member(name, value)
        elif name not in _WITHOUT_EFFECT:
            left_out[name] = value
    _describe(made, left_out)
    if "anyOf" in made and not made.keys().isdisjoint(_OF_KIND["object"]):
        raise _NoGrammar  # each closed alternative would reject the properties beside it
    if _is_of_object(made):
        _close(made)
    return _by_kind(made)


def _is_of_object(made: JsonObject) -> bool:
    kinds = made.get("type", "object" if "properties" in made else None)
    return kinds == "object" or (isinstance(kinds, list) and "object" in kinds)


def _close(made: JsonObject) -> None:
    """Allow only the named members; refuse where that would reject what the schema allows."""
    properties = made.get("properties", {} if "additionalProperties" in made else None)
    if properties is None or "anyOf" in made or not set(made.get("required", ())) <= properties.keys():
        raise _NoGrammar
    made["additionalProperties"] = False


def _definitions_of(schema: JsonObject) -> JsonObject:
    return {name: _compiled_member(name, schema[name]) for name in DEFINITIONS if name in schema}


def _with_one_kind_of_alternatives(schema: JsonObject) -> JsonObject:
    """Return the schema with `oneOf` as `anyOf`, and the one schema of `allOf` merged into it.

    Of several schemas in `allOf`, each closed one would reject the properties of the others.
    """
    if "oneOf" in schema:
        if "anyOf" in schema:
            raise _NoGrammar
        schema = {("anyOf" if name == "oneOf" else name): value for name, value in schema.items()}
    if "allOf" not in schema:
        return schema
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    match schema["allOf"]:
        case [dict(only)] if only.keys() - _ANNOTATIONS <= {"$ref"} or only.keys().isdisjoint(rest):
            return _with_one_kind_of_alternatives({**only, **rest})
        case _:
            raise _NoGrammar


def _with_null(schema: JsonObject) -> JsonObject:
    """Replace OpenAPI's `nullable` by keywords of JSON Schema."""
    if schema.get("nullable") is not True:
        return schema
    if isinstance(schema.get("type"), str) and "const" not in schema:
        enum = schema.get("enum")
        allowed = {"enum": [*enum, None]} if isinstance(enum, list) and None not in enum else {}
        return {**schema, "type": [schema["type"], "null"], **allowed}
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    outside = {name: value for name, value in schema.items() if name in _ANNOTATIONS and name != "nullable"}
    inside = {name: value for name, value in schema.items() if name not in _ANNOTATIONS}
    return {**outside, "anyOf": [inside, {"type": "null"}]}


def _can_hold(name: str, value: object) -> bool:
    match name:
        case "format":
            return isinstance(value, str) and value in _FORMATS
        case "pattern":
            return isinstance(value, str) and not _HARD_PATTERN.search(value)
        case "minItems":
            return value in (0, 1)
        case _:
            return True


def _compiled_member(name: str, value: object) -> object:
    match name:
        case "properties" | "$defs" | "definitions":
            if not isinstance(value, dict):
                raise _NoGrammar
            return {each: _compiled(schema) for each, schema in value.items()}
        case "anyOf":
            if not isinstance(value, list):
                raise _NoGrammar
            return [_compiled(each) for each in value]
        case "items":
            return _compiled(value)
        case "enum":
            if any(isinstance(each, dict | list) for each in listed(value)):
                raise _NoGrammar
        case "const" if isinstance(value, dict | list):
            raise _NoGrammar
        case "required" | "type" if not _are_texts(value if name == "required" or isinstance(value, list) else [value]):
            raise _NoGrammar
    return value


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _describe(made: JsonObject, left_out: JsonObject) -> None:
    """Describe what the grammar cannot hold."""
    if left_out:
        words = ", ".join(
            f"{name}={value if isinstance(value, str) else json.dumps_text(value)}" for name, value in left_out.items()
        )
        description = made.get("description")
        made["description"] = f"{description} ({words})" if isinstance(description, str) and description else words


def _by_kind(made: JsonObject) -> JsonObject:
    """Return the schema with an alternative for each of its types, where a keyword is not for all of them.

    "For 'object' type, property 'items' is not supported", though arrays are allowed too.
    """
    kinds = made.get("type")
    if not isinstance(kinds, list) or not made.keys() & _OF_ANY_KIND:
        return made
    if "anyOf" in made:
        raise _NoGrammar
    parts = [
        {"type": kind, **{name: made[name] for name in _OF_KIND.get(kind, ()) if name in made}}
        for kind in dict.fromkeys(kinds)
    ]
    rest = {name: value for name, value in made.items() if name not in _OF_ANY_KIND and name != "type"}
    return {**rest, "anyOf": parts}


def _recurs(schema: JsonObject) -> bool:
    outside = {name: value for name, value in schema.items() if name not in DEFINITIONS}
    references = {"#": _references(outside)}
    for index in DEFINITIONS:
        definitions = schema.get(index)
        for name, each in definitions.items() if isinstance(definitions, dict) else ():
            references[f"#/{index}/{name}"] = _references(each)
    return _has_cycle(references)


def _references(schema: object) -> set[str]:
    return {plain(found) for part in schemas_in(schema) if (found := reference_in(part))}


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
