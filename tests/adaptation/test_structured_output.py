"""Structured output: native schemas, forced tools and instructions."""

from typing import Any

import pytest

from app.adaptation.response_mapping import EventMapping, ResponseMapping
from app.converse.call import Intent
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.wire import json
from tests.adaptation.calls import (
    CLAUDE_45,
    LLAMA,
    MISTRAL,
    NOVA_2,
    PLAIN,
    QWEN,
    adapt_call,
    spec,
    text_format,
    user,
)

OPEN = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": ["object", "null"]}}}}


def test_a_native_schema_is_closed_and_its_data_is_unchanged() -> None:
    data = {"type": "object"}
    item = {"type": ["object", "null"], "properties": {"b": {"const": "object"}}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": item}},
        "$defs": {"d": {"properties": {}}},
        "default": data,
    }
    adapted = adapt_call(CLAUDE_45, outputConfig=text_format(schema))
    closed = {"type": "object", "properties": {"b": {"const": "object"}}, "additionalProperties": False}
    assert json.loads(adapted.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"anyOf": [closed, {"type": "null"}]}}},
        "$defs": {"d": {"properties": {}, "additionalProperties": False}},
        "default": data,
        "additionalProperties": False,
    }
    assert adapted.adjusted == ["response_format"]


def test_a_schema_nested_too_deeply_is_refused() -> None:
    deep = '{"not":' * 100_000 + "{}" + "}" * 100_000
    output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": deep}}}}
    with pytest.raises(InvalidRequest, match="nested") as caught:
        adapt_call(CLAUDE_45, outputConfig=output)
    assert caught.value.param == "response_format.json_schema.schema"


def test_a_closed_schema_is_unchanged() -> None:
    closed = text_format({"type": "object", "additionalProperties": False})
    adapted = adapt_call(CLAUDE_45, outputConfig=closed)
    assert (adapted.body["outputConfig"], adapted.adjusted) == (closed, [])


def test_bounds_of_a_schema_move_to_its_description() -> None:
    number = {"type": "integer", "minimum": 1, "maximum": 5, "description": "Stars"}
    array = {"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "string", "minLength": 1}}
    schema = {"type": "object", "properties": {"a": number, "b": array, "minimum": {"type": "string"}}}
    adapted = adapt_call(CLAUDE_45, outputConfig=text_format(schema))
    sent = json.loads(adapted.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    assert sent["properties"] == {
        "a": {"type": "integer", "description": "Stars (minimum=1, maximum=5)"},
        "b": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "description": "minItems=2, maxItems=3",
        },
        "minimum": {"type": "string"},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": True}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "$defs": ["a"], "definitions": "b"},
        {
            "type": "object",
            "$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}},
            "properties": {"a": {"$ref": "#/$defs/n"}},
        },
        {
            "type": "object",
            "$defs": {"n": {"items": {"$ref": "#/$defs/m"}}, "m": {"not": {"$ref": "#/$defs/n"}}, "o": {}},
            "properties": {"a": {"$ref": "#/$defs/o"}},
        },
    ],
)
def test_a_schema_that_cannot_be_compiled_is_enforced_by_a_forced_tool(schema: Any) -> None:
    for capabilities, choice in ((CLAUDE_45, {"tool": {"name": "json_answer"}}), (QWEN, {"any": {}})):
        adapted = adapt_call(capabilities, outputConfig=text_format(schema))
        assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == schema
        assert adapted.body["toolConfig"]["toolChoice"] == choice
        assert "outputConfig" not in adapted.body


@pytest.mark.parametrize(
    "schema", [[1], "x", True, None, {"type": "object", "additionalProperties": True, "anyOf": []}]
)
def test_a_schema_that_no_tool_may_have_becomes_an_instruction(schema: Any) -> None:
    adapted = adapt_call(CLAUDE_45, outputConfig=text_format(schema))
    assert "toolConfig" not in adapted.body
    assert "outputConfig" not in adapted.body


def test_a_citation_names_a_document_as_the_caller_did() -> None:
    pages = [{"document": {"name": name, "format": "pdf", "source": {"bytes": "eA=="}}} for name in ("a.pdf", "b")]
    adapted = adapt_call(CLAUDE_45, [user("x", *pages)])
    assert adapted.mapping.document_names == {"a-pdf": "a.pdf"}
    block = {"citationsContent": {"content": [{"text": "t"}], "citations": [{"title": "a-pdf"}, {"title": "b"}, {}]}}
    reply: Any = {"output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": "end_turn"}
    (restored,) = adapted.mapping.reply(reply)["output"]["message"]["content"]
    assert restored["citationsContent"]["citations"] == [{"title": "a.pdf"}, {"title": "b"}, {}]


def test_text_before_a_forced_answer_is_dropped() -> None:
    mapping = EventMapping(ResponseMapping(answer_tool="json_answer"))
    text: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Well, "}}}
    start: Any = {
        "contentBlockStart": {
            "contentBlockIndex": 1,
            "start": {"toolUse": {"toolUseId": "t", "name": "json_answer"}},
        }
    }
    piece: Any = {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}}
    late: Any = {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"text": "Done."}}}
    assert mapping.feed([text, start, piece, late]) == [
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "{}"}}}
    ]


def test_text_without_a_forced_answer_is_sent_before_its_stop() -> None:
    mapping = EventMapping(ResponseMapping(answer_tool="json_answer"))
    cited: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"citation": {"title": "t"}}}}
    text: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Blocked."}}}
    end: Any = {"contentBlockStop": {"contentBlockIndex": 0}}
    stop: Any = {"messageStop": {"stopReason": "guardrail_intervened"}}
    assert mapping.feed([cited, text, end]) == []
    assert mapping.feed([stop]) == [cited, text, end, stop]


def test_references_without_recursion_are_compiled() -> None:
    schema = {
        "type": "object",
        "$defs": {"n": {"type": "string"}, "m": {"items": {"$ref": "#/$defs/n"}}},
        "properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/m"}, {"$ref": "#/$defs/n"}]}},
    }
    assert "toolConfig" not in adapt_call(CLAUDE_45, outputConfig=text_format(schema)).body


def test_a_schema_is_enforced_by_a_forced_tool_where_the_model_has_no_native_schemas() -> None:
    output = {**text_format(OPEN, description="A thing"), "effort": "low"}
    adapted = adapt_call(MISTRAL, outputConfig=output)
    (tool,) = adapted.body["toolConfig"]["tools"]
    assert tool["toolSpec"] == {"name": "json_answer", "description": "A thing", "inputSchema": {"json": OPEN}}
    assert adapted.body["toolConfig"]["toolChoice"] == {"tool": {"name": "json_answer"}}
    assert (adapted.mapping.answer_tool, adapted.body["outputConfig"]) == ("json_answer", {"effort": "low"})


@pytest.mark.parametrize(
    ("capabilities", "more"),
    [
        (LLAMA, {}),
        (MISTRAL, {"toolConfig": {"tools": [spec("t")]}}),
        (NOVA_2, {"intent": Intent(effort="low")}),
    ],
)
def test_a_schema_becomes_an_instruction_where_no_tool_can_be_forced(capabilities: Capabilities, more: Any) -> None:
    adapted = adapt_call(capabilities, system=[{"text": "s"}], outputConfig=text_format(OPEN), **more)
    assert json.dumps_text(OPEN) in adapted.body["system"][1]["text"]
    assert "outputConfig" not in adapted.body
    assert adapted.adjusted == ["response_format"]


def test_a_schema_of_no_object_becomes_an_instruction() -> None:
    adapted = adapt_call(MISTRAL, outputConfig=text_format({"anyOf": []}))
    assert "toolConfig" not in adapted.body
    assert '{"anyOf":[]}' in adapted.body["system"][0]["text"]


def test_a_json_object_without_a_schema_becomes_an_instruction() -> None:
    assert "JSON object" in adapt_call(PLAIN, intent=Intent(json_object=True)).body["system"][0]["text"]


def test_gpt_6_gets_strict_beside_a_schema_that_requires_all_members() -> None:
    """AWS user guide, card of GPT-6.1 Sol: Converse needs `text.format.strict` in additionalModelRequestFields."""
    gpt = capabilities_of(parse_model_id("us.openai.gpt-6.1-sol"))
    closed: Any = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    adapted = adapt_call(gpt, outputConfig=text_format(closed))
    assert adapted.body["additionalModelRequestFields"] == {"text": {"format": {"strict": True}}}
    assert (adapted.body["outputConfig"], adapted.adjusted) == (text_format(closed), [])
    optional = adapt_call(gpt, outputConfig=text_format({**closed, "required": []}))
    assert "outputConfig" not in optional.body
    assert optional.adjusted == ["response_format"]
    older = adapt_call(capabilities_of(parse_model_id("us.openai.gpt-5.6-sol")), outputConfig=text_format(closed))
    assert "additionalModelRequestFields" not in older.body


def test_the_description_of_a_schema_is_part_of_an_instruction() -> None:
    config = {"tools": [spec("t")]}
    adapted = adapt_call(NOVA_2, outputConfig=text_format({"type": "object"}, description="A city."), toolConfig=config)
    assert adapted.body["system"][0]["text"].startswith("A city.\nAnswer with JSON only")
