"""Adaptation, pass by pass: what one model needs, what is reported, and that the call stays as it was."""

from typing import Any

import pytest

from app.adaptation import AdaptedRequest, adapt
from app.adaptation.response_mapping import EventMapping, ResponseMapping
from app.converse.call import Intent, ModelCall
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.wire import json

CLAUDE_45 = capabilities_of(parse_model_id("anthropic.claude-sonnet-4-5-20250929-v1:0"))
CLAUDE_46 = capabilities_of(parse_model_id("anthropic.claude-sonnet-4-6"))
CLAUDE_5 = capabilities_of(parse_model_id("anthropic.claude-sonnet-5"))
CLAUDE_55 = capabilities_of(parse_model_id("anthropic.claude-opus-5-5"))
NOVA_2 = capabilities_of(parse_model_id("amazon.nova-2-lite-v1:0"))
NOVA = capabilities_of(parse_model_id("amazon.nova-pro-v1:0"))
LLAMA = capabilities_of(parse_model_id("meta.llama4-maverick-17b-instruct-v1:0"))
GPT_OSS = capabilities_of(parse_model_id("openai.gpt-oss-120b-1:0"))
QWEN = capabilities_of(parse_model_id("qwen.qwen3-32b-v1:0"))
MISTRAL = capabilities_of(parse_model_id("mistral.pixtral-large-2502-v1:0"))
TITAN = capabilities_of(parse_model_id("amazon.titan-text-express-v1"))
PLAIN = Capabilities()

SYSTEM: Any = {"role": "system", "content": [{"text": "s"}]}
OBJECT = {"type": "object", "properties": {}}


def spec(name: str) -> Any:
    return {"toolSpec": {"name": name, "inputSchema": {"json": OBJECT}}}


def user(*blocks: Any) -> Any:
    return {"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: Any) -> Any:
    return {**user(*blocks), "role": "assistant"}


def use(tool_id: str, name: str = "t") -> Any:
    return {"toolUse": {"toolUseId": tool_id, "name": name, "input": {}}}


def result(tool_id: str) -> Any:
    return {"toolResult": {"toolUseId": tool_id, "content": [{"text": "r"}]}}


def adapt_call(
    capabilities: Capabilities, messages: list[Any] | None = None, intent: Intent | None = None, **body: Any
) -> AdaptedRequest:
    converse: Any = {"messages": [user("hi")] if messages is None else messages, **body}
    before = json.dumps(converse)
    adapted = adapt(ModelCall("m", converse, intent or Intent()), capabilities)
    assert json.dumps(converse) == before, "adaptation wrote into the call"
    return adapted


class TestTurns:
    def test_turns_of_one_role_are_merged_without_a_word(self) -> None:
        adapted = adapt_call(PLAIN, [user("a"), user("b"), assistant("c"), assistant("d"), user("e")])
        assert adapted.body["messages"] == [user("a", "b"), assistant("c", "d"), user("e")]
        assert adapted.adjusted == []

    def test_blank_text_is_dropped_and_reported(self) -> None:
        adapted = adapt_call(
            PLAIN, [user("a", "  \n"), assistant(" "), user("b")], system=[{"text": " "}, {"text": "s"}]
        )
        assert adapted.body["messages"] == [user("a", "b")]
        assert adapted.body["system"] == [{"text": "s"}]
        assert adapted.adjusted == ["blank_text"]

    def test_a_system_prompt_of_nothing_vanishes(self) -> None:
        assert "system" not in adapt_call(PLAIN, system=[{"text": ""}, {"cachePoint": {"type": "default"}}]).body

    @pytest.mark.parametrize(
        "messages", [[], [assistant("a")], [user(" ")], [user({"cachePoint": {"type": "default"}})]]
    )
    def test_the_user_begins(self, messages: list[Any]) -> None:
        adapted = adapt_call(PLAIN, messages)
        assert adapted.body["messages"][0] == user(".")
        assert "first_turn" in adapted.adjusted

    def test_results_come_first_with_their_cache_points(self) -> None:
        point = {"cachePoint": {"type": "default"}}
        messages = [user("a"), assistant(use("1"), use("2")), user("b", point), user(result("1"), point, result("2"))]
        adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
        assert adapted.body["messages"][2] == user(result("1"), point, result("2"), "b", point)

    def test_a_system_turn_stays_only_where_it_is_known(self) -> None:
        messages = [user("a"), SYSTEM, assistant("b"), user("c"), SYSTEM]
        assert adapt_call(CLAUDE_5, messages).body["messages"] == messages
        adapted = adapt_call(PLAIN, messages)
        assert adapted.body["messages"] == [user("a", "s"), assistant("b"), user("c", "s")]
        assert adapted.adjusted == ["system_turn"]

    @pytest.mark.parametrize(
        ("messages", "sent"),
        [
            ([SYSTEM, user("a")], [user("s", "a")]),
            ([user("a"), SYSTEM, user("b")], [user("a", "s", "b")]),
            ([user("a"), assistant("b"), SYSTEM], [user("a"), assistant("b"), user("s")]),
            ([user("a"), SYSTEM, SYSTEM], [user("a"), {"role": "system", "content": [{"text": "s"}, {"text": "s"}]}]),
        ],
    )
    def test_and_only_in_its_place(self, messages: list[Any], sent: list[Any]) -> None:
        assert adapt_call(CLAUDE_5, messages).body["messages"] == sent

    def test_results_stay_together_around_a_system_turn(self) -> None:
        messages = [user("a"), assistant(use("1"), use("2")), user(result("1")), SYSTEM, user(result("2"))]
        adapted = adapt_call(CLAUDE_5, messages, toolConfig={"tools": [spec("t")]})
        assert adapted.body["messages"][2:] == [user(result("1"), result("2"), "s")]

    def test_a_conversation_that_ends_with_the_assistant(self) -> None:
        messages = [user("a"), assistant("b \n")]
        assert adapt_call(PLAIN, messages).body["messages"] == messages
        trimmed = adapt_call(CLAUDE_45, messages)
        assert (trimmed.body["messages"][1], trimmed.adjusted) == (assistant("b"), ["prefill"])
        assert adapt_call(CLAUDE_45, [user("a"), assistant("b")]).adjusted == []
        for capabilities in (CLAUDE_46, CLAUDE_5):
            with pytest.raises(InvalidRequest, match="does not continue") as caught:
                adapt_call(capabilities, messages)
            assert caught.value.param == "messages"

    def test_blank_text_in_results_is_dropped(self) -> None:
        blank = {"toolResult": {"toolUseId": "1", "content": [{"text": " "}, {"json": {}}]}}
        adapted = adapt_call(PLAIN, [user("a"), assistant(use("1")), user(blank)], toolConfig={"tools": [spec("t")]})
        assert adapted.body["messages"][2]["content"][0]["toolResult"]["content"] == [{"json": {}}]
        assert adapted.adjusted == ["blank_text"]

    @pytest.mark.parametrize("said", [[], [{"text": ""}], [{"text": " "}, {"text": "\n"}]])
    @pytest.mark.parametrize("more", [{}, {"status": "error"}])
    def test_a_result_that_says_nothing_is_not_empty(self, said: Any, more: Any) -> None:
        silent = {"toolResult": {"toolUseId": "1", "content": said, **more}}
        adapted = adapt_call(PLAIN, [user("a"), assistant(use("1")), user(silent)], toolConfig={"tools": [spec("t")]})
        expected = {"toolResult": {"toolUseId": "1", "content": [{"text": "."}], **more}}
        assert adapted.body["messages"][2]["content"] == [expected]
        assert adapted.adjusted == ["blank_text"]

    def test_what_the_provider_found_may_be_nothing(self) -> None:
        found = {"toolResult": {"toolUseId": "1", "content": [], "type": "web_search_tool_result"}}
        adapted = adapt_call(PLAIN, [user("a"), {"role": "assistant", "content": [found, {"text": "b"}]}, user("c")])
        assert adapted.body["messages"][1]["content"][0] == found

    def test_a_cache_point_stands_behind_content(self) -> None:
        point: Any = {"cachePoint": {"type": "default"}}
        turn = user({"text": " "}, point, {"text": "x"}, {"text": ""}, point)
        adapted = adapt_call(
            PLAIN, [turn, assistant("b"), user("c")], system=[{"text": ""}, point, {"text": "s"}, point]
        )
        assert adapted.body["messages"][0]["content"] == [{"text": "x"}, point]
        assert adapted.body["system"] == [{"text": "s"}, point]
        assert adapted.adjusted == ["blank_text", "cache_points"]
        reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
        adapted = adapt_call(PLAIN, [user("a"), assistant(reasoning, {"text": " "}, point, "b"), user("c")])
        assert adapted.body["messages"][1]["content"] == [reasoning, {"text": "b"}]


class TestTools:
    def test_history_with_tools_gets_them_declared(self) -> None:
        adapted = adapt_call(
            PLAIN, [user("a"), assistant(use("1", "x"), use("2", "x")), user(result("1"), result("2"))]
        )
        assert adapted.body["toolConfig"] == {"tools": [spec("x")]}
        assert adapted.adjusted == ["tools"]

    def test_results_alone_get_some_tool_declared(self) -> None:
        assert adapt_call(PLAIN, [user(result("1"))]).body["toolConfig"] == {"tools": [spec("unknown_tool")]}

    def test_tools_that_the_provider_ran_need_no_declaration(self) -> None:
        ran = {"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}}
        got = {"toolResult": {"toolUseId": "s", "type": "n_result", "content": []}}
        assert "toolConfig" not in adapt_call(PLAIN, [user("a"), assistant(ran, got, "b"), user("c")]).body

    @pytest.mark.parametrize("messages", [[user("a")], [user("a"), assistant(use("1")), user(result("1"))]])
    def test_a_model_without_tools_says_so(self, messages: list[Any]) -> None:
        config = {} if len(messages) > 1 else {"toolConfig": {"tools": [spec("t")]}}
        with pytest.raises(InvalidRequest, match="takes no tools") as caught:
            adapt_call(TITAN, messages, **config)
        assert caught.value.param == "tools"

    def test_forbidden_tools_are_taken_away_where_the_history_has_none(self) -> None:
        adapted = adapt_call(PLAIN, intent=Intent(forbid_tools=True), toolConfig={"tools": [spec("t")]})
        assert "toolConfig" not in adapted.body
        assert not adapted.mapping.is_needed

    def test_forbidden_tools_stay_declared_where_the_history_has_some(self) -> None:
        messages = [user("a"), assistant(use("1")), user(result("1"))]
        config = {"tools": [spec("t")], "toolChoice": {"any": {}}}
        adapted = adapt_call(PLAIN, messages, Intent(forbid_tools=True), toolConfig=config)
        assert adapted.body["toolConfig"] == {"tools": [spec("t")]}
        assert adapted.mapping.drop_tool_calls
        assert adapted.adjusted == ["tool_choice"]

    @pytest.mark.parametrize("choice", [{"any": {}}, {"tool": {"name": "t"}}])
    def test_a_choice_that_the_model_does_not_know_is_taken_away(self, choice: Any) -> None:
        config = {"tools": [spec("t")], "toolChoice": choice}
        adapted = adapt_call(LLAMA, toolConfig=config)
        assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": [spec("t")]}, ["tool_choice"])
        assert adapt_call(MISTRAL, toolConfig=config).body["toolConfig"] == config

    @pytest.mark.parametrize("cache", [[], [{"cachePoint": {"type": "default"}}]], ids=["", "cached"])
    def test_of_a_named_tool_alone_the_choice_is_left(self, cache: list[Any]) -> None:
        config = {"tools": [spec("a"), spec("b"), *cache], "toolChoice": {"tool": {"name": "b"}}}
        only = [spec("b"), *cache]
        any_only = CLAUDE_45.with_values({"tools": {"choices": frozenset({"any"})}})
        adapted = adapt_call(any_only, toolConfig=config)
        assert adapted.body["toolConfig"] == {"tools": only, "toolChoice": {"any": {}}}
        assert adapted.adjusted == []
        adapted = adapt_call(CLAUDE_45.with_values({"tools": {"choices": frozenset()}}), toolConfig=config)
        assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": only}, ["tool_choice"])
        adapted = adapt_call(CLAUDE_45, intent=Intent(effort="low"), toolConfig=config)
        assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": only}, ["tool_choice"])

    def test_a_name_that_no_tool_has_forces_none(self) -> None:
        config = {"tools": [spec("a")], "toolChoice": {"tool": {"name": "b"}}}
        adapted = adapt_call(CLAUDE_45.with_values({"tools": {"choices": frozenset({"any"})}}), toolConfig=config)
        assert (adapted.body["toolConfig"], adapted.adjusted) == ({"tools": [spec("a")]}, ["tool_choice"])

    def test_one_call_at_a_time(self) -> None:
        config = {"tools": [spec("t")]}
        claude = adapt_call(CLAUDE_45, intent=Intent(single_tool_call=True), toolConfig=config)
        assert claude.body["additionalModelRequestFields"] == {"tool_choice": {"disable_parallel_tool_use": True}}
        plain = adapt_call(PLAIN, intent=Intent(single_tool_call=True), toolConfig=config)
        assert plain.mapping.first_tool_only
        assert "additionalModelRequestFields" not in plain.body

    def test_illegal_names_are_changed_everywhere_and_back(self) -> None:
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

    def test_ids_are_legal_and_used_once(self) -> None:
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

    def test_strictness_goes_only_where_it_is_taken(self) -> None:
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

    def test_members_that_are_null_where_none_may_be_are_left_out(self) -> None:
        made: Any = spec("t")
        made["toolSpec"]["inputSchema"]["json"] = {"type": "object", "properties": None, "required": None, "title": "x"}
        adapted = adapt_call(PLAIN, toolConfig={"tools": [made]})
        schema = adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]  # type: ignore[typeddict-item]
        assert (schema, adapted.adjusted) == ({"type": "object", "title": "x"}, ["tool_schema"])

    def test_two_calls_of_one_id_get_their_results_in_order(self) -> None:
        messages = [user("a"), assistant(use("x"), use("x")), user(result("x"), result("x"), result("y"))]
        adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
        ids = [next(iter(block.values()))["toolUseId"] for block in adapted.blocks() if "text" not in block]  # type: ignore[attr-defined]
        assert ids == ["x", "x-2", "x", "x-2", "y"]

    def test_a_schema_without_alternatives_at_its_top_where_the_model_takes_none(self) -> None:
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
    def test_what_any_alternative_names_may_be_there(self, schema: Any, properties: Any) -> None:
        tool = {"toolSpec": {"name": "t", "strict": True, "inputSchema": {"json": {"type": "object", **schema}}}}
        adapted = adapt_call(CLAUDE_45, toolConfig={"tools": [tool]})
        sent = adapted.body["toolConfig"]["tools"][0]["toolSpec"]
        assert sent["inputSchema"]["json"].get("properties") == properties
        # what was made looser on the way is enforced by nobody
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
    def test_a_schema_stands_alone_where_it_may_hold_no_definitions(self, schema: Any, sent: Any) -> None:
        tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object", **schema}}}}
        adapted = adapt_call(NOVA, toolConfig={"tools": [tool]})
        assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {"type": "object", **sent}
        assert adapted.adjusted == ["tool_schema"]

    def test_so_does_that_of_a_forced_answer(self) -> None:
        schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
        adapted = adapt_call(NOVA, outputConfig=text_format(schema))
        sent = adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
        assert sent == {"type": "object", "properties": {"a": {"type": "string"}}}

    def test_definitions_that_hold_each_other_many_times_grow_only_so_far(self) -> None:
        doubled = {
            f"d{index}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/d{index + 1}"} for side in "ab"}}
            for index in range(60)
        }
        schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": doubled}
        tool = {"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}
        sent = json.dumps(adapt_call(NOVA, toolConfig={"tools": [tool]}).body)
        assert len(sent) < 1_000_000

    def test_points_that_go_take_no_other_s_place(self) -> None:
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

    def test_alternatives_that_name_nothing_leave_nothing(self) -> None:
        tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object", "anyOf": []}}}}
        adapted = adapt_call(
            Capabilities().with_values({"schemas": {"top_level_unions": False}}), toolConfig={"tools": [tool]}
        )
        assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {"type": "object"}

    def test_a_schema_says_that_it_is_an_object(self) -> None:
        tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"properties": {}}}}}
        point = {"cachePoint": {"type": "default"}}
        adapted = adapt_call(PLAIN, toolConfig={"tools": [tool, point], "toolChoice": {"any": {}}})
        assert adapted.body["toolConfig"] == {"tools": [spec("t"), point], "toolChoice": {"any": {}}}
        assert adapted.adjusted == ["tool_schema"]


class TestMedia:
    @pytest.mark.parametrize(
        ("name", "sent"),
        [
            ("a/b:c.v2", "a-b-c-v2"),
            ("  two   spaces ", "two spaces"),
            ("Überblick", "-berblick"),
            ("", "document"),
            ("x" * 300, "x" * 192),
        ],
    )
    def test_names_are_made_legal(self, name: str, sent: str) -> None:
        document = {"document": {"format": "pdf", "name": name, "source": {"bytes": "AA=="}}}
        adapted = adapt_call(PLAIN, [user("t", document)])
        assert adapted.body["messages"][0]["content"][1]["document"]["name"] == sent
        assert adapted.adjusted == ["document_name"]

    def test_names_are_unique_also_inside_results(self) -> None:
        def document(name: str) -> Any:
            return {"document": {"name": name, "source": {"text": "x"}}}

        inside = {"toolResult": {"toolUseId": "1", "content": [{"text": "r"}, document("a_1")]}}
        messages = [user("t", document("a_1"), document("a_1")), assistant(use("1")), user(inside)]
        adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
        names = [block["document"]["name"] for block in adapted.blocks() if "document" in block]
        assert names == ["a_1", "a_1 (2)"]
        assert adapted.body["messages"][2]["content"][0]["toolResult"]["content"][1]["document"]["name"] == "a_1 (3)"

    def test_a_document_gets_a_text_beside_it(self) -> None:
        document = {"document": {"name": "a", "source": {"text": "x"}}}
        adapted = adapt_call(PLAIN, [user(document)])
        assert adapted.body["messages"] == [user(document, ".")]
        assert adapted.adjusted == ["document_text"]
        point = {"cachePoint": {"type": "default"}}
        adapted = adapt_call(PLAIN, [user(document, point)])
        assert adapted.body["messages"] == [user(document, ".", point)]


class TestSampling:
    def test_temperature_is_clamped(self) -> None:
        adapted = adapt_call(PLAIN, inferenceConfig={"temperature": 1.7, "topP": 0.5})
        assert adapted.body["inferenceConfig"] == {"temperature": 1.0, "topP": 0.5}
        assert adapted.adjusted == ["temperature"]

    def test_not_both_where_the_model_takes_one(self) -> None:
        adapted = adapt_call(CLAUDE_45, inferenceConfig={"temperature": 0.7, "topP": 0.5})
        assert (adapted.body["inferenceConfig"], adapted.adjusted) == ({"temperature": 0.7}, ["top_p"])
        assert adapt_call(CLAUDE_45, inferenceConfig={"topP": 0.5}).body["inferenceConfig"] == {"topP": 0.5}

    def test_none_where_the_model_refuses_it(self) -> None:
        adapted = adapt_call(CLAUDE_5, inferenceConfig={"temperature": 0.7, "topP": 0.5})
        assert "inferenceConfig" not in adapted.body
        assert adapted.adjusted == ["temperature", "top_p"]
        assert adapt_call(CLAUDE_5, inferenceConfig={"maxTokens": 5}).body["inferenceConfig"] == {"maxTokens": 5}

    def test_blank_stop_sequences_are_dropped(self) -> None:
        adapted = adapt_call(PLAIN, inferenceConfig={"stopSequences": ["\n\n", "END"]})
        assert (adapted.body["inferenceConfig"], adapted.adjusted) == ({"stopSequences": ["END"]}, ["stop"])
        assert "inferenceConfig" not in adapt_call(PLAIN, inferenceConfig={"stopSequences": [" "]}).body

    def test_too_many_stop_sequences_are_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="2500"):
            adapt_call(PLAIN, inferenceConfig={"stopSequences": [f"s{number}" for number in range(2501)]})


class TestReasoning:
    def test_unsigned_reasoning_do_not_go_back_to_who_signs(self) -> None:
        signed = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
        unsigned = {"reasoningContent": {"reasoningText": {"text": "t"}}}
        redacted = {"reasoningContent": {"redactedContent": "AA=="}}
        messages = [user("a"), assistant(signed, unsigned, redacted, "b"), user("c")]
        adapted = adapt_call(CLAUDE_45, messages)
        assert adapted.body["messages"][1] == assistant(signed, redacted, "b")
        assert adapted.adjusted == ["reasoning"]
        assert adapt_call(NOVA_2, messages).body["messages"][1] == assistant("b")
        assert adapt_call(PLAIN, messages).body["messages"][1] == assistant(signed, redacted, "b")

    @pytest.mark.parametrize(
        ("capabilities", "effort", "fields"),
        [
            (CLAUDE_45, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
            (CLAUDE_46, "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
            (
                CLAUDE_5,
                "max",
                {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            ),
            (CLAUDE_5, "none", {"thinking": {"type": "disabled"}}),
            (CLAUDE_46, "xhigh", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
            (
                CLAUDE_5,
                "xhigh",
                {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
            ),
            (NOVA_2, "xhigh", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
            (GPT_OSS, "medium", {"reasoning_effort": "medium"}),
            (QWEN, "max", {"reasoning_config": "high"}),
        ],
    )
    def test_effort_in_each_model_s_words(self, capabilities: Capabilities, effort: Any, fields: Any) -> None:
        assert adapt_call(capabilities, intent=Intent(effort=effort)).body["additionalModelRequestFields"] == fields

    def test_who_thinks_unasked_does_not_where_a_tool_is_forced_and_cannot_be_meanwhile(self) -> None:
        either = CLAUDE_5.with_values({"reasoning": {"with_forced_tool": False}})
        for choice in ({"any": {}}, {"tool": {"name": "t"}}):
            config = {"tools": [spec("t")], "toolChoice": choice}
            adapted = adapt_call(either, toolConfig=config)
            assert adapted.body["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
            assert adapted.body["toolConfig"]["toolChoice"] == choice
            assert adapted.adjusted == ["reasoning_effort"]
            assert "additionalModelRequestFields" not in adapt_call(CLAUDE_5, toolConfig=config).body
            adapted = adapt_call(CLAUDE_5, intent=Intent(effort="low"), toolConfig=config)
            assert adapted.body["toolConfig"]["toolChoice"] == choice
        for free in ({}, {"toolChoice": {"auto": {}}}):
            adapted = adapt_call(either, toolConfig={"tools": [spec("t")], **free})
            assert "additionalModelRequestFields" not in adapted.body
        forced = {"tools": [spec("t")], "toolChoice": {"any": {}}}
        assert "additionalModelRequestFields" not in adapt_call(CLAUDE_46, toolConfig=forced).body

    def test_who_cannot_think_is_reported(self) -> None:
        adapted = adapt_call(LLAMA, intent=Intent(effort="high"))
        assert (adapted.ignored, adapted.adjusted) == (["reasoning_effort"], [])
        assert adapt_call(LLAMA, intent=Intent(effort="none")).ignored == []
        for always in (CLAUDE_55, GPT_OSS, capabilities_of(parse_model_id("deepseek.r1-v1:0"))):
            assert adapt_call(always, intent=Intent(effort="none")).ignored == ["reasoning_effort"]

    def test_nova_at_its_highest_goes_without_limits(self) -> None:
        inference = {"maxTokens": 100, "temperature": 0.5, "topP": 0.5, "stopSequences": ["x"]}
        adapted = adapt_call(NOVA_2, intent=Intent(effort="max"), inferenceConfig=inference)
        assert adapted.body["inferenceConfig"] == {"stopSequences": ["x"]}
        assert sorted(adapted.adjusted) == ["max_tokens", "temperature", "top_p"]
        assert (
            adapt_call(NOVA_2, intent=Intent(effort="low"), inferenceConfig=inference).body["inferenceConfig"]
            == inference
        )

    def test_the_budget_stays_below_the_limit_or_is_given_up(self) -> None:
        adapted = adapt_call(CLAUDE_45, intent=Intent(effort="high"), inferenceConfig={"maxTokens": 2000})
        assert adapted.body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 1500
        assert adapted.adjusted == ["reasoning_effort"]
        adapted = adapt_call(CLAUDE_45, intent=Intent(effort="high"), inferenceConfig={"maxTokens": 1024})
        assert "additionalModelRequestFields" not in adapted.body
        assert adapted.adjusted == ["reasoning_effort"]

    def test_reasoning_are_the_assistant_s(self) -> None:
        reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
        adapted = adapt_call(CLAUDE_5, [user("a", reasoning)])
        assert (adapted.body["messages"], adapted.adjusted) == ([user("a")], ["reasoning"])

    def test_reasoning_alone_are_no_turn_where_they_would_be_gone_on_from(self) -> None:
        reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
        for capabilities, roles in ((CLAUDE_5, ["user"]), (CLAUDE_45, ["user", "assistant", "user"])):
            adapted = adapt_call(capabilities, [user("a"), assistant(reasoning), user("b")])
            assert [message["role"] for message in adapted.body["messages"]] == roles
            assert adapted.adjusted == (["reasoning", "blank_text"] if len(roles) == 1 else [])

    def test_amid_calls_made_without_a_reasoning_none_is_asked_for(self) -> None:
        reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
        config = {"tools": [spec("t")]}

        def fields(*turns: Any, capabilities: Capabilities = CLAUDE_45) -> Any:
            adapted = adapt_call(capabilities, [user("a"), *turns], Intent(effort="low"), toolConfig=config)
            return adapted.body.get("additionalModelRequestFields", {}).get("thinking"), adapted.adjusted

        assert fields(assistant(use("1")), user(result("1"))) == (None, ["reasoning_effort"])
        assert fields(assistant(reasoning, use("1")), user(result("1")))[0] is not None
        rounds = assistant(use("2")), user(result("2")), assistant(use("3")), user(result("3"))
        assert fields(assistant(reasoning, use("1")), user(result("1")), *rounds)[0] is not None
        assert fields(assistant(use("1")), user(result("1")), *rounds)[0] is None
        assert fields(assistant("b"), user("c"))[0] is not None
        assert fields(user(result("1")))[0] is not None
        assert fields(assistant(use("1")), user(result("1")), capabilities=CLAUDE_46)[0] is not None

    def test_a_claude_that_thinks_is_asked_how_much(self) -> None:
        pointer = ["/usage/output_tokens_details"]
        for capabilities, effort, expected in (
            (CLAUDE_45, "low", pointer),
            (CLAUDE_45, None, None),
            (CLAUDE_5, None, pointer),
            (CLAUDE_5, "none", None),
            (GPT_OSS, "low", None),
        ):
            intent = Intent(effort=effort)  # type: ignore[arg-type]
            adapted = adapt_call(capabilities, intent=intent, inferenceConfig={"maxTokens": 9000})
            assert adapted.body.get("additionalModelResponseFieldPaths") == expected

    def test_thinking_goes_without_temperature_and_forced_tool(self) -> None:
        config = {"tools": [spec("t")], "toolChoice": {"any": {}}}
        inference = {"temperature": 0.5, "maxTokens": 9000}
        adapted = adapt_call(CLAUDE_45, intent=Intent(effort="low"), inferenceConfig=inference, toolConfig=config)
        assert adapted.body["inferenceConfig"] == {"maxTokens": 9000}
        assert adapted.body["toolConfig"] == {"tools": [spec("t")]}
        assert adapted.adjusted == ["temperature", "tool_choice"]


def text_format(schema: Any, **more: str) -> Any:
    definition = {"schema": json.dumps_text(schema), "name": "n", **more}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}


class TestOutput:
    OPEN = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": ["object", "null"]}}}}

    def test_a_native_schema_is_closed_and_its_data_left_alone(self) -> None:
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

    def test_a_schema_without_bottom_is_refused(self) -> None:
        deep = '{"not":' * 100_000 + "{}" + "}" * 100_000
        output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": deep}}}}
        with pytest.raises(InvalidRequest, match="nested") as caught:
            adapt_call(CLAUDE_45, outputConfig=output)
        assert caught.value.param == "response_format.json_schema.schema"

    def test_a_closed_schema_is_left_alone(self) -> None:
        closed = text_format({"type": "object", "additionalProperties": False})
        adapted = adapt_call(CLAUDE_45, outputConfig=closed)
        assert (adapted.body["outputConfig"], adapted.adjusted) == (closed, [])

    def test_bounds_are_said_in_words(self) -> None:
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
    def test_what_cannot_be_compiled_is_left_to_a_tool(self, schema: Any) -> None:
        for capabilities, choice in ((CLAUDE_45, {"tool": {"name": "json_answer"}}), (QWEN, {"any": {}})):
            adapted = adapt_call(capabilities, outputConfig=text_format(schema))
            assert adapted.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == schema
            assert adapted.body["toolConfig"]["toolChoice"] == choice
            assert "outputConfig" not in adapted.body

    @pytest.mark.parametrize(
        "schema", [[1], "x", True, None, {"type": "object", "additionalProperties": True, "anyOf": []}]
    )
    def test_what_no_tool_of_claude_s_may_ask_is_asked_for(self, schema: Any) -> None:
        adapted = adapt_call(CLAUDE_45, outputConfig=text_format(schema))
        assert "toolConfig" not in adapted.body
        assert "outputConfig" not in adapted.body

    def test_a_document_is_cited_by_its_own_name(self) -> None:
        pages = [{"document": {"name": name, "format": "pdf", "source": {"bytes": "eA=="}}} for name in ("a.pdf", "b")]
        adapted = adapt_call(CLAUDE_45, [user("x", *pages)])
        assert adapted.mapping.document_names == {"a-pdf": "a.pdf"}
        block = {
            "citationsContent": {"content": [{"text": "t"}], "citations": [{"title": "a-pdf"}, {"title": "b"}, {}]}
        }
        reply: Any = {"output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": "end_turn"}
        (restored,) = adapted.mapping.reply(reply)["output"]["message"]["content"]
        assert restored["citationsContent"]["citations"] == [{"title": "a.pdf"}, {"title": "b"}, {}]

    def test_a_preamble_in_pieces_gives_way_to_the_answer(self) -> None:
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

    def test_a_text_that_was_held_ends_behind_its_words(self) -> None:
        mapping = EventMapping(ResponseMapping(answer_tool="json_answer"))
        cited: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"citation": {"title": "t"}}}}
        text: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Blocked."}}}
        end: Any = {"contentBlockStop": {"contentBlockIndex": 0}}
        stop: Any = {"messageStop": {"stopReason": "guardrail_intervened"}}
        assert mapping.feed([cited, text, end]) == []
        assert mapping.feed([stop]) == [cited, text, end, stop]

    def test_references_that_end_are_compiled(self) -> None:
        schema = {
            "type": "object",
            "$defs": {"n": {"type": "string"}, "m": {"items": {"$ref": "#/$defs/n"}}},
            "properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/m"}, {"$ref": "#/$defs/n"}]}},
        }
        assert "toolConfig" not in adapt_call(CLAUDE_45, outputConfig=text_format(schema)).body

    def test_elsewhere_a_tool_is_forced(self) -> None:
        output = {**text_format(self.OPEN, description="A thing"), "effort": "low"}
        adapted = adapt_call(MISTRAL, outputConfig=output)
        (tool,) = adapted.body["toolConfig"]["tools"]
        assert tool["toolSpec"] == {"name": "json_answer", "description": "A thing", "inputSchema": {"json": self.OPEN}}
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
    def test_where_no_tool_can_be_forced_the_model_is_asked(self, capabilities: Capabilities, more: Any) -> None:
        adapted = adapt_call(capabilities, system=[{"text": "s"}], outputConfig=text_format(self.OPEN), **more)
        assert json.dumps_text(self.OPEN) in adapted.body["system"][1]["text"]
        assert "outputConfig" not in adapted.body
        assert adapted.adjusted == ["response_format"]

    def test_a_schema_of_something_else_is_asked_for(self) -> None:
        adapted = adapt_call(MISTRAL, outputConfig=text_format({"anyOf": []}))
        assert "toolConfig" not in adapted.body
        assert '{"anyOf":[]}' in adapted.body["system"][0]["text"]

    def test_some_json_object_is_asked_for(self) -> None:
        assert "JSON object" in adapt_call(PLAIN, intent=Intent(json_object=True)).body["system"][0]["text"]


class TestCaching:
    def test_cache_points_go_only_where_they_are_taken(self) -> None:
        point = {"cachePoint": {"type": "default"}}
        config = {"tools": [spec("t"), point]}
        body = {"system": [{"text": "s"}, point], "toolConfig": config}
        adapted = adapt_call(MISTRAL, [user("a", point)], **body)
        assert adapted.body == {
            "messages": [user("a")],
            "system": [{"text": "s"}],
            "toolConfig": {"tools": [spec("t")]},
        }
        assert adapted.adjusted == ["cache_points"]
        assert adapt_call(CLAUDE_45, [user("a", point)], **body).body["system"] == [{"text": "s"}, point]

    def test_nova_takes_none_among_its_tools(self) -> None:
        point = {"cachePoint": {"type": "default"}}
        nova = capabilities_of(parse_model_id("us.amazon.nova-lite-v1:0"))
        for tools in ([spec("t"), point], [spec("t")]):
            adapted = adapt_call(nova, [user("a", point)], toolConfig={"tools": tools})
            assert adapted.body == {"messages": [user("a", point)], "toolConfig": {"tools": [spec("t")]}}
            assert adapted.adjusted == ["cache_points"] * (len(tools) - 1)

    def test_of_too_many_the_last_stay(self) -> None:
        point = {"cachePoint": {"type": "default"}}
        config = {"tools": [spec("t"), point]}
        messages = [user("a", point, "b", point), assistant("c"), user("d", point)]
        adapted = adapt_call(CLAUDE_45, messages, system=[{"text": "s"}, point], toolConfig=config)
        assert adapted.body["toolConfig"] == {"tools": [spec("t")]}
        assert adapted.body["system"] == [{"text": "s"}, point]
        assert adapted.body["messages"] == messages
        assert adapted.adjusted == ["cache_points"]

    def test_a_longer_life_does_not_follow_a_shorter_one(self) -> None:
        point, long = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}
        adapted = adapt_call(CLAUDE_45, [user("a", long, "b", point, "c", long)])
        assert adapted.body["messages"] == [user("a", long, "b", point, "c", point)]
        assert adapted.adjusted == ["cache_points"]

    def test_a_life_is_told_only_where_it_is_understood(self) -> None:
        long = {"cachePoint": {"type": "default", "ttl": "1h"}}
        assert adapt_call(CLAUDE_45, [user("a", long)]).body["messages"] == [user("a", long)]
        adapted = adapt_call(PLAIN, [user("a", long)])
        assert adapted.body["messages"] == [user("a", {"cachePoint": {"type": "default"}})]
        assert adapted.adjusted == ["cache_points"]


class TestResponseMapping:
    REPLY: Any = {
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}, use("1", "sent"), use("2", "sent")]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
    }

    def content(self, mapping: ResponseMapping) -> Any:
        reply = mapping.reply(self.REPLY)
        return reply["output"]["message"]["content"], reply["stopReason"]

    def test_nothing_to_undo_leaves_the_reply_as_it_is(self) -> None:
        assert ResponseMapping().reply(self.REPLY) is self.REPLY

    def test_names_come_back(self) -> None:
        content, stop = self.content(ResponseMapping(tool_names={"sent": "the.name"}))
        assert content == [{"text": "x"}, use("1", "the.name"), use("2", "the.name")]
        assert stop == "tool_use"

    def test_only_the_first_call_stays(self) -> None:
        assert self.content(ResponseMapping(first_tool_only=True)) == ([{"text": "x"}, use("1", "sent")], "tool_use")

    def test_forbidden_calls_vanish(self) -> None:
        assert self.content(ResponseMapping(drop_tool_calls=True)) == ([{"text": "x"}], "end_turn")

    @pytest.mark.parametrize("pieces", [[], [""], ["{", "}"]])
    def test_an_answer_of_nothing_is_an_empty_object_in_a_stream_too(self, pieces: list[str]) -> None:
        events: list[Any] = [
            {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "1", "name": "answer"}}, "contentBlockIndex": 0}},
            *(
                {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": 0}}
                for piece in pieces
            ),
            {"contentBlockStop": {"contentBlockIndex": 0}},
        ]
        restored: Any = EventMapping(ResponseMapping(answer_tool="answer")).feed(events)
        said = [event["contentBlockDelta"]["delta"]["text"] for event in restored if "contentBlockDelta" in event]
        assert "".join(said) == "{}"

    def test_an_answer_tool_becomes_text(self) -> None:
        reply: Any = {
            **self.REPLY,
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"text": "Here it is: "},
                        {"toolUse": {"toolUseId": "1", "name": "json_answer", "input": {"a": 1}}},
                    ],
                }
            },
        }
        restored = ResponseMapping(answer_tool="json_answer").reply(reply)
        assert restored["output"]["message"]["content"] == [{"text": '{"a":1}'}]
        assert restored["stopReason"] == "end_turn"

    @pytest.mark.parametrize("stop", ["end_turn", "max_tokens", "guardrail_intervened"])
    def test_text_stays_where_no_forced_answer_came(self, stop: str) -> None:
        content = [{"text": '{"a":1}'}]
        reply: Any = {
            **self.REPLY,
            "stopReason": stop,
            "output": {"message": {"role": "assistant", "content": content}},
        }
        restored = ResponseMapping(answer_tool="json_answer").reply(reply)
        assert (restored["output"]["message"]["content"], restored["stopReason"]) == (content, stop)

    def test_of_two_forced_answers_the_first_counts(self) -> None:
        answers = [{"toolUse": {"toolUseId": str(n), "name": "json_answer", "input": {"a": n}}} for n in (1, 2)]
        reply: Any = {**self.REPLY, "output": {"message": {"role": "assistant", "content": answers}}}
        restored = ResponseMapping(answer_tool="json_answer").reply(reply)
        assert restored["output"]["message"]["content"] == [{"text": '{"a":1}'}]

    def test_what_the_provider_ran_is_no_call(self) -> None:
        start: Any = {
            "contentBlockStart": {
                "contentBlockIndex": 0,
                "start": {"toolUse": {"toolUseId": "s", "name": "n", "type": "server_tool_use"}},
            }
        }
        assert EventMapping(ResponseMapping(drop_tool_calls=True)).feed([start]) == [start]
