"""Tools: declarations, choices, names, ids and schemas."""

from typing import Any

import pytest

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.response_mapping import NO_MAPPING
from app.converse.call import Intent
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.wire import json
from tests.adaptation.calls import (
    CLAUDE_5,
    CLAUDE_45,
    CLAUDE_55,
    LLAMA,
    MISTRAL,
    NOVA,
    NOVA_2,
    PLAIN,
    TITAN,
    adapt_call,
    assistant,
    result,
    spec,
    text_format,
    use,
    user,
)


def test_tools_that_the_history_calls_are_declared() -> None:
    adapted = adapt_call(PLAIN, [user("a"), assistant(use("1", "x"), use("2", "x")), user(result("1"), result("2"))])
    assert adapted.body["toolConfig"] == {"tools": [spec("x")]}
    assert adapted.adjusted == ["tools"]


def test_no_tool_is_declared_for_results_without_calls() -> None:
    adapted = adapt_call(PLAIN, [user(result("1"))])
    assert ("toolConfig" in adapted.body, adapted.adjusted) == (False, ["tool_results"])


def test_server_tools_in_the_history_are_not_declared() -> None:
    ran = {"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}}
    got = {"toolResult": {"toolUseId": "s", "type": "n_result", "content": []}}
    assert "toolConfig" not in adapt_call(PLAIN, [user("a"), assistant(ran, got, "b"), user("c")]).body


@pytest.mark.parametrize("messages", [[user("a")], [user("a"), assistant(use("1")), user(result("1"))]])
def test_tools_are_refused_for_a_model_without_tools(messages: list[Any]) -> None:
    config = {} if len(messages) > 1 else {"toolConfig": {"tools": [spec("t")]}}
    with pytest.raises(InvalidRequest, match="takes no tools") as caught:
        adapt_call(TITAN, messages, **config)
    assert caught.value.param == "tools"


def test_forbidden_tools_are_removed_where_the_history_has_no_calls() -> None:
    adapted = adapt_call(PLAIN, intent=Intent(forbid_tools=True), toolConfig={"tools": [spec("t")]})
    assert "toolConfig" not in adapted.body
    assert adapted.mapping == NO_MAPPING


def test_forbidden_tools_stay_declared_where_the_history_has_calls() -> None:
    messages = [user("a"), assistant(use("1")), user(result("1"))]
    config = {"tools": [spec("t")], "toolChoice": {"any": {}}}
    adapted = adapt_call(PLAIN, messages, Intent(forbid_tools=True), toolConfig=config)
    assert adapted.body["toolConfig"] == {"tools": [spec("t")]}
    assert adapted.mapping.drop_tool_calls
    assert adapted.adjusted == ["tool_choice"]


@pytest.mark.parametrize("choice", [{"any": {}}, {"tool": {"name": "t"}}])
def test_a_tool_choice_that_the_model_refuses_is_removed(choice: Any) -> None:
    config = {"tools": [spec("t")], "toolChoice": choice}
    adapted = adapt_call(LLAMA, toolConfig=config)
    assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": [spec("t")]}, ["tool_choice"])
    assert adapt_call(MISTRAL, toolConfig=config).body["toolConfig"] == config


@pytest.mark.parametrize("cache", [[], [{"cachePoint": {"type": "default"}}]], ids=["", "cached"])
def test_only_the_named_tool_is_offered_where_the_model_accepts_no_named_choice(cache: list[Any]) -> None:
    config = {"tools": [spec("a"), spec("b"), *cache], "toolChoice": {"tool": {"name": "b"}}}
    only = [spec("b"), *cache]
    any_only = PLAIN.with_values({"tools": {"choices": frozenset({"any"})}})
    adapted = adapt_call(any_only, toolConfig=config)
    assert adapted.body["toolConfig"] == {"tools": only, "toolChoice": {"any": {}}}
    assert adapted.adjusted == []
    adapted = adapt_call(PLAIN.with_values({"tools": {"choices": frozenset()}}), toolConfig=config)
    assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": only}, ["tool_choice"])


@pytest.mark.parametrize(("capabilities", "effort"), [(CLAUDE_55, None), (CLAUDE_45, "low")])
def test_a_named_tool_leaves_the_list_of_tools_as_it_is(capabilities: Capabilities, effort: Any) -> None:
    """AWS user guide, preserved thinking: reasoning is refused once the tools before it have changed (griptape#2351)."""
    config = {"tools": [spec("a"), spec("b")], "toolChoice": {"tool": {"name": "b"}}}
    adapted = adapt_call(capabilities, intent=Intent(effort=effort), toolConfig=config)
    assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": config["tools"]}, ["tool_choice"])
    assert adapted.body["messages"] == [user("hi", "Call the tool b now.")]


def test_no_tool_call_is_requested_in_words_or_by_the_model_s_own_field() -> None:
    """pydantic-ai 2.68: Converse has no choice of none, Claude takes one beside it."""
    messages = [user("hi"), assistant(use("a")), user(result("a")), assistant("done"), user("sum up")]
    config = {"tools": [spec("t")], "toolChoice": {"auto": {}}}
    intent = Intent(forbid_tools=True, single_tool_call=True)
    claude = adapt_call(CLAUDE_45, messages, intent, toolConfig=config)
    assert claude.body["additionalModelRequestFields"] == {"tool_choice": {"type": "none"}}
    assert (claude.body["toolConfig"], claude.adjusted) == ({"tools": [spec("t")]}, [])
    plain = adapt_call(PLAIN, messages, intent, toolConfig=config)
    assert plain.body["system"] == [{"text": "Answer with text now, and call no tool."}]
    assert (plain.mapping.drop_tool_calls, plain.adjusted) == (True, ["tool_choice"])


def test_a_choice_of_an_unknown_tool_is_removed() -> None:
    config = {"tools": [spec("a")], "toolChoice": {"tool": {"name": "b"}}}
    adapted = adapt_call(CLAUDE_45.with_values({"tools": {"choices": frozenset({"any"})}}), toolConfig=config)
    assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": [spec("a")]}, ["tool_choice"])


def test_a_single_tool_call_is_requested_or_selected_from_the_reply() -> None:
    config = {"tools": [spec("t")]}
    claude = adapt_call(CLAUDE_45, intent=Intent(single_tool_call=True), toolConfig=config)
    assert claude.body["additionalModelRequestFields"] == {"tool_choice": {"disable_parallel_tool_use": True}}
    plain = adapt_call(PLAIN, intent=Intent(single_tool_call=True), toolConfig=config)
    assert plain.mapping.first_tool_only
    assert "additionalModelRequestFields" not in plain.body


def test_illegal_tool_names_are_replaced_and_restored_in_the_reply() -> None:
    name = "mcp.server/" + "x" * 70
    messages = [user("a"), assistant("b", use("1", name)), user(result("1"))]
    point = {"cachePoint": {"type": "default"}}
    config = {"tools": [spec(name), spec("fine"), point], "toolChoice": {"tool": {"name": name}}}
    adapted = adapt_call(PLAIN, messages, toolConfig=config)
    (sent,) = adapted.mapping.tool_names
    assert adapted.mapping.tool_names == {sent: name}
    assert len(sent) <= 64
    assert adapted.body["toolConfig"] == {
        "tools": [spec(sent), spec("fine"), point],
        "toolChoice": {"tool": {"name": sent}},
    }
    assert adapted.body["messages"][1] == assistant("b", use("1", sent))
    assert adapted.adjusted == ["tool_names"]
    assert "toolChoice" not in adapt_call(PLAIN, toolConfig={"tools": [spec("a.b")]}).body["toolConfig"]


def test_call_ids_are_legal_and_unique() -> None:
    long = "call_" + "x" * 80
    messages = [
        user("a"),
        assistant(use("same"), use(long)),
        user(result("same"), result(long)),
        assistant(use("same")),
        user(result("same")),
    ]
    adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
    ids = [next(iter(block.values()))["toolUseId"] for block in adapted.blocks() if "text" not in block]  # type: ignore[attr-defined]
    assert ids[0] == ids[2] == "same"
    assert ids[1] == ids[3] != long
    assert ids[4] == ids[5] == "same-2"
    assert adapted.adjusted == ["tool_ids"]


def test_strict_is_sent_only_to_models_that_accept_it() -> None:
    open_tool = {
        "toolSpec": {"name": "t", "strict": True, "inputSchema": {"json": {"type": "object", "properties": {}}}}
    }
    claude = adapt_call(CLAUDE_45, toolConfig={"tools": [open_tool]})
    assert claude.body["toolConfig"]["tools"][0]["toolSpec"] == {
        "name": "t",
        "strict": True,
        "inputSchema": {"json": {"type": "object", "properties": {}, "additionalProperties": False}},
    }
    assert claude.adjusted == ["tool_schema"]
    elsewhere = adapt_call(CLAUDE_5, toolConfig={"tools": [open_tool]})
    assert elsewhere.body["toolConfig"]["tools"] == [spec("t")]
    assert elsewhere.adjusted == ["tool_strict"]


def test_null_properties_and_required_are_left_out() -> None:
    made: Any = spec("t")
    made["toolSpec"]["inputSchema"]["json"] = {"type": "object", "properties": None, "required": None, "title": "x"}
    adapted = adapt_call(PLAIN, toolConfig={"tools": [made]})
    schema = adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]  # type: ignore[typeddict-item]
    assert (schema, adapted.adjusted) == ({"type": "object", "title": "x"}, ["tool_schema"])


def test_results_of_two_calls_with_one_id_keep_their_order() -> None:
    messages = [user("a"), assistant(use("x"), use("x")), user(result("x"), result("x"), result("y"))]
    adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
    ids = [next(iter(block.values()))["toolUseId"] for block in adapted.blocks() if "text" not in block]  # type: ignore[attr-defined]
    assert ids == ["x", "x-2", "x", "x-2"]
    assert adapted.body["messages"][-1]["content"][-1] == {"text": "Output of the tool call y:\nr"}


def test_alternatives_at_the_top_of_a_schema_are_merged_where_the_model_refuses_them() -> None:
    a, b = {"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"enum": [1]}}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "allOf": [a, {"required": ["b", "a"]}, {"properties": [], "required": "b"}, True],
        "anyOf": [b],
        "oneOf": {"x": 1},
    }
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}
    assert adapt_call(PLAIN, toolConfig={"tools": [tool]}).body["toolConfig"]["tools"] == [tool]
    adapted = adapt_call(
        Capabilities().with_values({"schemas": {"top_level_unions": False}}),
        toolConfig={"tools": [tool, spec("u")]},
    )
    assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": [1]}},
        "required": ["a", "b"],
    }
    assert adapted.adjusted == ["tool_schema"]


@pytest.mark.parametrize(
    ("schema", "properties"),
    [
        (
            {"oneOf": [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}]},
            {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}},
        ),
        (
            {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": {"A": {"properties": {"x": {}}}}},
            {"x": {}},
        ),
        ({"allOf": [{"anyOf": [{"properties": {"x": {}}}, 5]}]}, {"x": {}}),
        ({"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}, None),
    ],
)
def test_properties_of_all_alternatives_become_optional(schema: Any, properties: Any) -> None:
    tool = {"toolSpec": {"name": "t", "strict": True, "inputSchema": {"json": {"type": "object", **schema}}}}
    adapted = adapt_call(CLAUDE_45, toolConfig={"tools": [tool]})
    sent = adapted.body["toolConfig"]["tools"][0]["toolSpec"]
    assert sent["inputSchema"]["json"].get("properties") == properties
    # a schema that was made looser is not enforced
    assert "strict" not in sent
    assert sorted(adapted.adjusted) == ["tool_schema", "tool_strict"]


NODE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Node"}, "name": {"type": "string", "title": "N"}},
}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"title": "T", "$schema": "s", "required": ["a"]}, {"required": ["a"]}),
        ({"title": "T", "$defs": ["odd"]}, {}),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": {"type": "string"}}, "required": ["a"]}}},
            {"properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {"properties": {"a": {"$ref": "#/definitions/P%3CF%3E"}}, "definitions": {"P<F>": {"type": "string"}}},
            {"properties": {"a": {"type": "string"}}},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/L"}},
                "$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}},
            },
            {"properties": {"a": {"type": "array", "items": {}}}},
        ),
        (
            {
                "$ref": "#/$defs/U",
                "$defs": {"U": {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}},
            },
            {"properties": {"a": {}, "b": {}}},
        ),
        (
            {"oneOf": [{"$ref": "#/definitions/P%3CF%3E"}], "definitions": {"P<F>": {"properties": {"a": {}}}}},
            {"properties": {"a": {}}},
        ),
        ({"additionalProperties": False, "patternProperties": {"^x": {}}}, {}),
        (
            {"properties": {"a": {"additionalItems": {"$ref": "#/$defs/A"}}}, "$defs": {"A": {"type": "string"}}},
            {"properties": {"a": {"additionalItems": {"type": "string"}}}},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/A", "anyOf": [{"required": ["c"]}]}},
                "$defs": {"A": {"anyOf": [{"required": ["b"]}]}},
            },
            {"properties": {"a": {"allOf": [{"anyOf": [{"required": ["b"]}]}, {"anyOf": [{"required": ["c"]}]}]}}},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/A", "required": ["z"]}},
                "$defs": {"A": {"properties": {"b": {}}, "required": ["b"]}},
            },
            {"properties": {"a": {"properties": {"b": {}}, "required": ["b", "z"]}}},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/A", "properties": {"c": {}}}, "const": {"$ref": "#/$defs/B"}},
                "$defs": {
                    "A": {"properties": {"b": {}}, "required": ["b"], "additionalProperties": False},
                    "B": {"const": {"$ref": "#/$defs/A"}},
                },
            },
            {
                "properties": {
                    "a": {"properties": {"b": {}, "c": {}}, "required": ["b"]},
                    "const": {"const": {"$ref": "#/$defs/A"}},
                }
            },
        ),
        (
            {
                "properties": {"a": {"items": [{"$ref": "#/$defs/A"}, True], "anyOf": 5}},
                "$defs": {"A": {"type": "string"}},
            },
            {"properties": {"a": {"items": [{"type": "string"}, True], "anyOf": 5}}},
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": 5}},
            {"properties": {"a": {"$ref": "#/$defs/A"}}},
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/A", "description": "d"}}, "$defs": {"A": {"type": "string"}}},
            {"properties": {"a": {"type": "string", "description": "d"}}},
        ),
        (
            {"properties": {"n": {"anyOf": [{"$ref": "#/$defs/Node"}, {"$ref": "#/x"}]}}, "$defs": {"Node": NODE}},
            {
                "properties": {
                    "n": {
                        "anyOf": [
                            {
                                "type": "object",
                                "properties": {
                                    "next": {},
                                    "name": {"type": "string", "title": "N"},
                                },
                            },
                            {"$ref": "#/x"},
                        ]
                    }
                }
            },
        ),
    ],
)
def test_definitions_are_inlined_where_the_model_accepts_none(schema: Any, sent: Any) -> None:
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object", **schema}}}}
    adapted = adapt_call(NOVA, toolConfig={"tools": [tool]})
    assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {"type": "object", **sent}
    assert adapted.adjusted == ["tool_schema"]


def test_definitions_of_a_forced_answer_are_inlined() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
    adapted = adapt_call(NOVA, outputConfig=text_format(schema))
    sent = adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert sent == {"type": "object", "properties": {"a": {"type": "string"}}}


def test_inlined_definitions_are_limited_in_size() -> None:
    doubled = {
        f"d{index}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/d{index + 1}"} for side in "ab"}}
        for index in range(60)
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": doubled}
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}
    sent = json.dumps(adapt_call(NOVA, toolConfig={"tools": [tool]}).body)
    assert len(sent) < 1_000_000


def test_cache_points_that_are_dropped_do_not_count_against_the_limit() -> None:
    point: Any = {"cachePoint": {"type": "default"}}
    reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    turns = [
        user("a", point),
        assistant(reasoning, point, "x"),
        user("b", point),
        user(point, "c", point, "d", point),
    ]
    content = [block for message in adapt_call(PLAIN, turns).body["messages"] for block in message["content"]]
    assert content.count(point) == 4
    assert content[1] == point


def test_alternatives_without_properties_add_none() -> None:
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object", "anyOf": []}}}}
    adapted = adapt_call(
        Capabilities().with_values({"schemas": {"top_level_unions": False}}), toolConfig={"tools": [tool]}
    )
    assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {"type": "object"}


def test_a_schema_without_a_type_becomes_an_object() -> None:
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"properties": {}}}}}
    point = {"cachePoint": {"type": "default"}}
    adapted = adapt_call(PLAIN, toolConfig={"tools": [tool, point], "toolChoice": {"any": {}}})
    assert adapted.body["toolConfig"] == {"tools": [spec("t"), point], "toolChoice": {"any": {}}}
    assert adapted.adjusted == ["tool_schema"]


def test_palmyra_gets_results_alone_and_without_a_status() -> None:
    """pydantic-ai 2.68, live on Palmyra X4 and X5: "This model doesn't support the status field"."""
    palmyra = capabilities_of(parse_model_id("us.writer.palmyra-x5-v1:0"))
    failed: Any = {"toolResult": {**result("a")["toolResult"], "status": "error"}}
    adapted = adapt_call(palmyra, [user("hi"), assistant(use("a")), user(failed, "and?")])
    assert adapted.body["messages"] == [
        user("hi"),
        assistant(use("a")),
        user(result("a")),
        assistant("."),
        user("and?"),
    ]
    assert "tool_results" in adapted.adjusted


def test_no_text_is_added_to_a_turn_of_the_assistant() -> None:
    adapted = AdaptedRequest({"messages": [assistant("It is")]}, Intent(), PLAIN)
    adapted.add_to_last_turn("Call the tool t now.")
    assert adapted.body["messages"] == [assistant("It is")]


SEARCH = {"systemTool": {"name": "nova_grounding"}}


def test_nova_2_searches_the_web_beside_its_tools() -> None:
    config = {"tools": [spec("f")], "toolChoice": {"any": {}}}
    adapted = adapt_call(NOVA_2, intent=Intent(web_search=True), toolConfig=config)
    assert adapted.body["toolConfig"] == {"tools": [spec("f"), SEARCH], "toolChoice": {"any": {}}}
    adapted = adapt_call(NOVA_2, intent=Intent(web_search=True, forbid_tools=True), toolConfig={"tools": [spec("f")]})
    assert adapted.body["toolConfig"] == {"tools": [SEARCH]}
    assert (adapted.adjusted, adapted.ignored) == ([], [])


def test_a_schema_is_asked_for_beside_a_search() -> None:
    """A forced tool would leave no room for the search."""
    adapted = adapt_call(NOVA_2, intent=Intent(web_search=True), outputConfig=text_format({"type": "object"}))
    assert adapted.body["toolConfig"] == {"tools": [SEARCH]}
    assert adapted.adjusted == ["response_format"]


@pytest.mark.parametrize("capabilities", [NOVA, CLAUDE_5, PLAIN])
def test_a_search_that_a_model_does_not_make_is_ignored(capabilities: Capabilities) -> None:
    adapted = adapt_call(capabilities, intent=Intent(web_search=True))
    assert (adapted.ignored, "toolConfig" in adapted.body) == (["web_search_options"], False)
