"""JSON schemas that are compiled, keywords that move to the description, and schemas that cannot be compiled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adaptation import AdaptedRequest, adapt
from app.adaptation.grammar import fit_together, grammar_of
from app.adaptation.schemas import Inliner, without_unions
from app.converse.call import Intent, ModelCall
from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from app.wire import json

TEXT = {"type": "string"}
KEYWORDS = (
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "description", "enum", "format", "items",
    "minItems", "nullable", "oneOf", "pattern", "properties", "required", "type",
)  # fmt: skip
A: Any = {"$defs": {"A": TEXT}}
OBJECT: Any = {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "grammar"),
    [
        (OBJECT, OBJECT),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}, "additionalProperties": False}),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"allOf": [{"oneOf": [TEXT]}]}, {"anyOf": [TEXT]}),
        ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        (
            {"oneOf": [{"$ref": "#/$defs/A"}], "discriminator": {"propertyName": "kind"}, "$defs": {"A": OBJECT}},
            {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": OBJECT}},
        ),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {}}}, "description": "d"},
         {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {}, "additionalProperties": False}}}),
        ({"allOf": [TEXT], "description": "d"}, {**TEXT, "description": "d"}),
        ({"allOf": [{"$ref": "#/$defs/A", "description": "e"}], **A}, {"$ref": "#/$defs/A", **A}),
        ({"allOf": [{"description": "e"}], **TEXT}, {**TEXT, "description": "e"}),
        ({"nullable": True, "allOf": [{"$ref": "#/$defs/A"}], **A}, {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], **A}),
        ({"nullable": True, "anyOf": [TEXT]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({**TEXT, "const": "a", "nullable": True}, {"anyOf": [{**TEXT, "const": "a"}, {"type": "null"}]}),
        ({"nullable": True, "enum": ["a"], "title": "t"}, {"title": "t", "anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
        ({**TEXT, "nullable": True}, {"type": ["string", "null"]}),
        ({**TEXT, "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({**TEXT, "enum": ["a", None], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({**TEXT, "nullable": False, "$comment": "c", "$schema": "s"}, TEXT),
        (
            {"type": ["array", "null"], "items": TEXT, "description": "d", "minItems": 1},
            {"description": "d", "anyOf": [{"type": "array", "items": TEXT, "minItems": 1}, {"type": "null"}]},
        ),
        ({"type": ["string", "integer"], "title": "t"}, {"type": ["string", "integer"], "title": "t"}),
        ({**TEXT, "format": "date-time"}, {**TEXT, "format": "date-time"}),
        ({**TEXT, "format": {}}, {**TEXT, "description": "format={}"}),
        ({**TEXT, "format": "binary"}, {**TEXT, "description": "format=binary"}),
        ({**TEXT, "pattern": "^[a-z]{2}$"}, {**TEXT, "pattern": "^[a-z]{2}$"}),
        ({**TEXT, "pattern": r"^(?=a)"}, {**TEXT, "description": "pattern=^(?=a)"}),
        ({**TEXT, "pattern": r"\bword"}, {**TEXT, "description": r"pattern=\bword"}),
        ({**TEXT, "pattern": r"(a)\1", "description": "d"}, {**TEXT, "description": r"d (pattern=(a)\1)"}),
        (
            {"type": "array", "items": TEXT, "uniqueItems": True, "maxItems": 3},
            {"type": "array", "items": TEXT, "description": "uniqueItems=true, maxItems=3"},
        ),
        (
            {"properties": {}, "minProperties": 1, "not": {"required": ["b"]}},
            {"properties": {}, "description": 'minProperties=1, not={"required":["b"]}', "additionalProperties": False},
        ),
        ({"enum": ["a", 1, None], "examples": ["a"]}, {"enum": ["a", 1, None], "description": 'examples=["a"]'}),
    ],
)  # fmt: skip
def test_schemas_are_compiled_into_grammars(schema: Any, grammar: Any) -> None:
    before = json.dumps(schema)
    made = grammar_of(schema)
    assert made == grammar
    assert json.dumps(schema) == before
    assert grammar_of(made) == made


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"properties": {"a": True}},
        {"properties": ["a"]},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "patternProperties": {"^a": TEXT}},
        {"type": "array", "prefixItems": [TEXT]},
        {"type": "array", "items": [TEXT]},
        {"oneOf": [TEXT], "anyOf": [TEXT]},
        {"type": "object"},
        {"properties": {"a": {"type": "object", "description": "anything"}}},
        {"properties": {"a": TEXT}, "required": ["b"]},
        {"properties": {"a": TEXT}, "oneOf": [{"properties": {"b": TEXT}}]},
        {"properties": {"a": TEXT}, "if": {}, "then": {"properties": {"b": TEXT}}},
        {"properties": {"a": TEXT}, "dependentSchemas": {"a": {"properties": {"b": TEXT}}}},
        {"properties": {"a": TEXT}, "allOf": [{"$ref": "#/$defs/A"}], **A},
        {"$ref": "#/$defs/A", "properties": {"a": TEXT}, **A},
        {"allOf": [OBJECT, OBJECT]},
        {"$ref": ""},
        {"$ref": 5},
        {"properties": {"k": TEXT}, "allOf": [{"oneOf": [OBJECT]}]},
        {"properties": {"k": TEXT}, "allOf": [{"allOf": [OBJECT]}]},
        {"required": ["id"], "anyOf": [OBJECT]},
        {"properties": {"a": {"type": "array", "items": TEXT}, "b": {"$ref": "#/properties/a/items"}}},
        {"properties": {"a": {"$ref": "#/$defs/B"}}, "$defs": {"A": TEXT}},
        {"properties": {"a": {"$ref": "#here"}}, "$defs": {"A": {"$anchor": "here", **TEXT}}},
        {"allOf": None},
        {"anyOf": None},
        {"allOf": [{"$ref": "#/$defs/A"}, TEXT]},
        {"type": [{}], "items": TEXT},
        {"type": {}},
        {"required": "a"},
        {"required": [[]]},
        {"enum": [{"a": 1}]},
        {"const": [1]},
        {"type": ["array", "null"], "items": TEXT, "anyOf": [TEXT]},
        {"properties": {"a": {"$ref": "#"}}},
        {"$ref": "#/$defs/N%3C", "$defs": {"N<": {"items": {"$ref": "#/$defs/N%3C"}}}},
    ],
)
def test_schemas_without_a_grammar_are_refused(schema: Any) -> None:
    assert grammar_of(schema) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a"]), inner, max_size=4),
    max_leaves=12,
)


@given(ANYTHING)
def test_any_json_is_compiled_or_refused_without_another_error(noise: Any) -> None:
    made = grammar_of(noise)
    assert made is None or grammar_of(made) == made
    if made is not None:
        assert fit_together([made], 1) or not fit_together([made, made], 2)
    if isinstance(noise, dict):
        assert without_unions(Inliner().bare(noise)).keys() <= {
            "type",
            "properties",
            "required",
            "additionalProperties",
        }


def test_a_repeated_type_counts_once() -> None:
    schema: Any = TEXT
    for _ in range(40):
        schema = {"type": ["object", "object"], "properties": {"a": schema}, "required": ["a"]}
    made = grammar_of(schema)
    assert made is not None
    assert len(json.dumps(made)) < 10_000


def optional(count: int) -> Any:
    return {"type": "object", "properties": {f"p{number}": TEXT for number in range(count)}}


def unions(count: int) -> Any:
    half = {f"p{number}": {"type": ["string", "null"]} for number in range(count // 2)}
    other = {f"q{number}": {"anyOf": [TEXT, {"type": "null"}]} for number in range(count - count // 2)}
    return {"type": "object", "properties": {**half, **other}, "required": [*half, *other]}


def test_strict_tools_optional_members_and_unions_of_one_call_are_limited() -> None:
    assert fit_together([optional(12), optional(12)], 2)
    assert not fit_together([optional(12), optional(13)], 2)
    assert fit_together([unions(16)], 1)
    assert not fit_together([unions(17)], 1)
    assert fit_together([OBJECT] * 21, 20)
    assert not fit_together([OBJECT] * 21, 21)


def strict(*schemas: Any, model: str = "anthropic.claude-sonnet-4-6", **more: Any) -> AdaptedRequest:
    specs = [
        {"toolSpec": {"name": f"t{index}", "strict": True, "inputSchema": {"json": schema}}}
        for index, schema in enumerate(schemas)
    ]
    body: Any = {"messages": [{"role": "user", "content": [{"text": "a"}]}], "toolConfig": {"tools": specs}, **more}
    return adapt(ModelCall("m", body, Intent()), capabilities_of(parse_model_id(model)))


def strictness(adapted: AdaptedRequest) -> list[bool]:
    return ["strict" in tool["toolSpec"] for tool in adapted.body["toolConfig"]["tools"]]


def test_all_tools_lose_strict_where_there_are_too_many() -> None:
    adapted = strict(
        OBJECT,
        {"type": "object", "additionalProperties": True},
        {"properties": {"a": {"oneOf": [TEXT]}}, "type": "object"},
    )
    assert strictness(adapted) == [True, False, True]
    assert sorted(adapted.adjusted) == ["tool_schema", "tool_strict"]
    assert strictness(strict(*[OBJECT] * 20)) == [True] * 20
    adapted = strict(*[OBJECT] * 21)
    assert (strictness(adapted), adapted.adjusted) == ([False] * 21, ["tool_strict"])


def test_an_answer_s_schema_is_native_only_if_it_fits_beside_those_of_tools() -> None:
    def output(schema: Any) -> Any:
        definition = {"schema": json.dumps_text(schema), "name": "n"}
        return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}

    assert "outputConfig" in strict(optional(12), outputConfig=output(optional(12))).body
    adapted = strict(optional(12), outputConfig=output(optional(13)))
    assert "outputConfig" not in adapted.body
    assert strictness(adapted) == [True]
    assert adapted.adjusted == ["tool_schema", "response_format"]
