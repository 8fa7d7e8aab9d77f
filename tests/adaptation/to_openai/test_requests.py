"""Converse requests as requests of OpenAI's APIs: every member and block is carried, or is refused by its path."""

from base64 import b64encode
from typing import Any

import pytest

from app.adaptation.adapted_document import API, AdaptedDocument, adapt_document
from app.adaptation.carried_contents import refuse_uncarried
from app.adaptation.to_openai.chat_request import chat_request
from app.adaptation.to_openai.responses_request import response_request
from app.converse.call import Intent, ModelCall
from app.converse.encrypted_reasoning import EncryptedReasoning, block_of, item_of
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.wire import json
from tests.adaptation.calls import CLAUDE_46, adapt_call, assistant, spec, text_format, use, user

GPT = capabilities_of(parse_model_id("openai.gpt-5.5"))
GEMMA = capabilities_of(parse_model_id("google.gemma-4-31b"))
GLM = capabilities_of(parse_model_id("zai.glm-4.6"))
PNG = "iVBORw0KGgo="
IMAGE: Any = {"image": {"format": "png", "source": {"bytes": PNG}}}
PDF: Any = {"document": {"format": "pdf", "name": "report", "source": {"bytes": "JVBERi0="}}}


def document(
    capabilities: Capabilities,
    messages: list[Any],
    intent: Intent | None = None,
    *,
    api: API = "openai_responses",
    **body: Any,
) -> AdaptedDocument:
    call = ModelCall("m", {"messages": messages, **body}, intent or Intent())  # type: ignore[typeddict-item]
    return adapt_document(call, api, capabilities, is_streamed=False)


def result(tool_id: str, *content: Any, **more: Any) -> Any:
    return {"toolResult": {"toolUseId": tool_id, "content": list(content) or [{"text": "rain"}], **more}}


def test_settings_have_the_names_of_responses() -> None:
    made = document(
        GEMMA,
        [user("hi")],
        Intent(single_tool_call=True),
        system=[{"text": "a"}, {"guardContent": {"text": {"text": "b"}}}],
        inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.9},
        toolConfig={"tools": [spec("t")], "toolChoice": {"tool": {"name": "t"}}},
        requestMetadata={"user": "x"},
        serviceTier={"type": "default"},
    )
    function = {"name": "t", "parameters": {"type": "object", "properties": {}}, "strict": False}
    assert made.body == {
        "input": [{"role": "user", "content": "hi"}],
        "instructions": "a\n\nb",
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stream": False,
        "store": False,
        "parallel_tool_calls": False,
        "tools": [{"type": "function", **function}],
        "tool_choice": {"type": "function", "name": "t"},
        "metadata": {"user": "x"},
        "service_tier": "default",
    }
    assert (made.ignored, made.adjusted) == ([], [])


def test_settings_have_the_names_of_chat_completions() -> None:
    made = document(
        GLM,
        [user("hi")],
        api="openai_chat",
        system=[{"text": "a"}],
        inferenceConfig={"maxTokens": 9, "stopSequences": ["x"]},
        toolConfig={"tools": [spec("t")], "toolChoice": {"any": {}}},
    )
    function = {"name": "t", "parameters": {"type": "object", "properties": {}}, "strict": False}
    assert made.body == {
        "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "hi"}],
        "max_completion_tokens": 9,
        "stop": ["x"],
        "stream": False,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
    }


@pytest.mark.parametrize(
    ("choice", "intent", "sent"),
    [
        ({}, Intent(), "auto"),
        ({"toolChoice": {"auto": {}}}, Intent(), "auto"),
        ({"toolChoice": {"any": {}}}, Intent(), "required"),
        ({}, Intent(forbid_tools=True), "none"),
    ],
)
def test_tool_choices(choice: Any, intent: Intent, sent: str) -> None:
    for api in ("openai_responses", "openai_chat"):
        made = document(GEMMA, [user("hi")], intent, api=api, toolConfig={"tools": [spec("t")], **choice})
        assert (made.body["tool_choice"], made.adjusted) == (sent, [])


def test_a_tool_loop_is_a_list_of_items() -> None:
    turns = [
        user("weather?"),
        assistant("I look.", use("a"), use("b")),
        user(result("a"), result("b", {"json": {"x": 1}}, status="error"), "and?"),
    ]
    assert document(GEMMA, turns).body["input"] == [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "a", "name": "t", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "t", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "rain"},
        {"type": "function_call_output", "call_id": "b", "output": 'The tool failed:\n{"x":1}'},
        {"role": "user", "content": "and?"},
    ]
    assert document(GLM, turns, api="openai_chat").body["messages"] == [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": each, "type": "function", "function": {"name": "t", "arguments": "{}"}} for each in "ab"
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "tool", "tool_call_id": "b", "content": 'The tool failed:\n{"x":1}'},
        {"role": "user", "content": "and?"},
    ]


def test_media_are_parts_of_a_message() -> None:
    found = {"searchResult": {"source": "s", "title": "t", "content": [{"text": "c"}]}}
    turn = [
        user("look", IMAGE, PDF, found, {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}})
    ]
    url, data = f"data:image/png;base64,{PNG}", "data:application/pdf;base64,JVBERi0="
    assert document(GPT, turn).body["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": url},
                {"type": "input_file", "filename": "report.pdf", "file_data": data},
                {"type": "input_text", "text": "t (s)\n\nc"},
                {"type": "input_image", "image_url": "s3://b/k"},
            ],
        }
    ]
    (message,) = document(GLM, turn, api="openai_chat").body["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "file", "text", "image_url"]
    assert message["content"][1] == {"type": "image_url", "image_url": {"url": url}}
    assert message["content"][2] == {"type": "file", "file": {"filename": "report.pdf", "file_data": data}}


def test_documents_that_are_text_are_sent_as_text() -> None:
    turn = [
        user(
            "read",
            {"document": {"name": "notes", "context": "of today", "source": {"text": "x"}}},
            {"document": {"name": "list", "source": {"content": [{"text": "a"}, {"text": "b"}]}}},
        )
    ]
    (message,) = document(GPT, turn).body["input"]
    assert [part["text"] for part in message["content"]] == ["read", "notes\n\nof today\n\nx", "list\n\na\n\nb"]


def test_media_in_a_result_follow_it() -> None:
    turns = [user("go"), assistant(use("a")), user(result("a", {"text": "see"}, IMAGE))]
    made = document(GPT, turns)
    kinds = [item.get("type") or item["role"] for item in made.body["input"]]
    assert kinds == ["user", "function_call", "function_call_output", "user"]
    assert made.adjusted == ["tool_results"]


def test_encrypted_reasoning_is_sent_back_as_it_was() -> None:
    for text in ("", "I think"):
        block = block_of(EncryptedReasoning("rs_1", "gAAA", text))
        assert item_of(block) == EncryptedReasoning("rs_1", "gAAA", text)
        made = document(GPT, [user("a"), assistant({"reasoningContent": block}, "b"), user("c")])
        summary = [{"type": "summary_text", "text": text}] if text else []
        assert made.body["input"][1] == {
            "type": "reasoning",
            "id": "rs_1",
            "summary": summary,
            "encrypted_content": "gAAA",
        }
        assert (made.body["include"], made.adjusted) == (["reasoning.encrypted_content"], [])


@pytest.mark.parametrize(
    "reasoning",
    [
        {"reasoningText": {"text": "x"}},
        {"reasoningText": {"text": "x", "signature": "Claude's"}},
        {"reasoningText": {"text": "x", "signature": "oai1.%"}},
        {"redactedContent": "Q2xhdWRl"},
        {"redactedContent": "b2FpMS5bXQ=="},
    ],
)
def test_reasoning_of_other_models_is_left_out_and_named(reasoning: Any) -> None:
    made = document(GPT, [user("a"), assistant({"reasoningContent": reasoning}, "b"), user("c")])
    assert [item["role"] for item in made.body["input"]] == ["user", "assistant", "user"]
    assert made.adjusted in (["reasoning"], [])
    assert made.adjusted or item_of(reasoning) is None


def test_reasoning_that_openai_encrypted_is_not_sent_to_converse() -> None:
    block = block_of(EncryptedReasoning("rs_1", "gAAA"))
    adapted = adapt_call(CLAUDE_46, [user("a"), assistant({"reasoningContent": block}, "b"), user("c")])
    assert adapted.body["messages"][1]["content"] == [{"text": "b"}]
    assert adapted.adjusted == ["reasoning"]


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
                "additionalProperties": False,
            },
            True,
        ),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, False),
    ],
)
def test_an_answer_format_is_strict_where_openai_accepts_that(schema: Any, is_strict: bool) -> None:
    wanted = text_format(schema, description="d")
    made = document(GPT, [user("a")], outputConfig=wanted)
    members = {"name": "n", "schema": schema, "strict": is_strict, "description": "d"}
    assert made.body["text"] == {"format": {"type": "json_schema", **members}}
    glm = GLM.with_values({"schemas": {"structured_output": "native"}})
    chat = document(glm, [user("a")], api="openai_chat", outputConfig=wanted)
    assert chat.body["response_format"] == {"type": "json_schema", "json_schema": members}


def test_efforts() -> None:
    assert document(GPT, [user("a")], Intent(effort="low")).body["reasoning"] == {"effort": "low"}
    assert document(GPT, [user("a")], outputConfig={"effort": "low"}).body["reasoning"] == {"effort": "low"}
    own = {"reasoning": {"effort": "high", "summary": "auto"}, "verbosity": "low"}
    made = document(GPT, [user("a")], additionalModelRequestFields=own)
    assert (made.body["reasoning"], made.body["text"]) == ({"effort": "high", "summary": "auto"}, {"verbosity": "low"})
    chat = document(GLM, [user("a")], api="openai_chat", additionalModelRequestFields={"reasoning_effort": "low"})
    assert chat.body["reasoning_effort"] == "low"


def test_fields_that_could_reach_what_the_account_stores_are_not_sent() -> None:
    own = {"store": True, "previous_response_id": "resp_1", "conversation": "c", "background": True, "novel": 1}
    made = document(GPT, [user("a")], additionalModelRequestFields=own, performanceConfig={"latency": "optimized"})
    assert made.body == {
        "input": [{"role": "user", "content": "a"}],
        "store": False,
        "stream": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert made.ignored == ["performanceConfig", *[f"additionalModelRequestFields.{name}" for name in own]]


def test_tiers_that_mantle_does_not_have_are_ignored_and_named() -> None:
    made = document(GPT, [user("a")], serviceTier={"type": "flex"})
    assert ("service_tier" in made.body, made.ignored) == (False, ["service_tier"])
    profile = capabilities_of(parse_model_id("us.openai.gpt-5.5"))
    assert document(profile, [user("a")], serviceTier={"type": "flex"}).body["service_tier"] == "flex"


VIDEO: Any = {"video": {"format": "mp4", "source": {"bytes": "AA=="}}}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [user("a"), assistant("b"), user("c", VIDEO)]}, "messages[2].content[1].video"),
        ({"messages": [user({"audio": {}})]}, "messages[0].content[0].audio"),
        (
            {"messages": [user({"toolResult": {"toolUseId": "a", "content": [VIDEO]}})]},
            "messages[0].content[0].toolResult.content[0].video",
        ),
        (
            {"messages": [user({"document": {"name": "n", "source": {"s3Location": {}}}})]},
            "messages[0].content[0].document.source",
        ),
        ({"messages": [user({"image": {"format": "png", "source": {}}})]}, "messages[0].content[0].image.source"),
        ({"messages": [user({"guardContent": {"image": {}}})]}, "messages[0].content[0].guardContent.image"),
        ({"messages": [user({})]}, "messages[0].content[0]"),
        (
            {
                "messages": [assistant({"toolUse": {**use("a")["toolUse"], "type": "server_tool_use"}})],
            },
            "messages[0].content[0].toolUse.type",
        ),
        ({"messages": [user("a")], "guardrailConfig": {}}, "guardrailConfig"),
        ({"messages": [user("a")], "toolConfig": {"tools": [{}]}}, "toolConfig.tools[0]"),
        ({"messages": [user("a")], "promptVariables": {}}, "promptVariables"),
        ({"messages": [user("a")], "novel": 1}, "novel"),
        (
            {"messages": [user("a")], "toolConfig": {"tools": [{"systemTool": {"name": "x"}}]}},
            "toolConfig.tools[0].systemTool",
        ),
        ({"messages": [user("a")], "inferenceConfig": {"stopSequences": ["x"]}}, "stop"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_its_path(body: Any, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        adapt_document(ModelCall("m", body), "openai_responses", GPT, is_streamed=False)
    assert caught.value.param == path


CACHE_POINT: Any = {"cachePoint": {"type": "default"}}
TOOLS: Any = {"tools": [spec("t")]}
CITED: Any = {"citationsContent": {"content": [{"text": "a "}, {"text": "b"}]}}


@pytest.mark.parametrize(("request_of", "member"), [(response_request, "input"), (chat_request, "messages")])
def test_cited_texts_are_texts_and_cache_points_are_left_out(request_of: Any, member: str) -> None:
    adapted = adapt_call(CLAUDE_46, [user("hi", CACHE_POINT), assistant(CITED), user("go on")])
    assert request_of(adapted, forbid_tools=False, is_streamed=False)[member] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a b"},
        {"role": "user", "content": "go on"},
    ]


def test_a_named_tool_of_chat_completions() -> None:
    chosen = {"tools": [spec("t")], "toolChoice": {"tool": {"name": "t"}}}
    made = document(GLM, [user("hi")], api="openai_chat", toolConfig=chosen)
    assert made.body["tool_choice"] == {"type": "function", "function": {"name": "t"}}


def test_an_image_in_a_result_of_chat_completions_is_refused() -> None:
    adapted = adapt_call(CLAUDE_46, [user("hi"), assistant(use("a")), user(result("a", IMAGE))], toolConfig=TOOLS)
    with pytest.raises(InvalidRequest, match="only text in a tool's result"):
        chat_request(adapted, forbid_tools=False, is_streamed=False)


def test_an_image_in_a_result_of_responses_is_a_part() -> None:
    adapted = adapt_call(CLAUDE_46, [user("hi"), assistant(use("a")), user(result("a", IMAGE))], toolConfig=TOOLS)
    sent = response_request(adapted, forbid_tools=False, is_streamed=False)["input"]
    assert sent[-1]["output"] == [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]


@pytest.mark.parametrize("content", [[1, "x"], ["x", 1], "x", 5])
def test_marks_that_hold_no_item_are_none(content: object) -> None:
    mark = "oai1." + b64encode(json.dumps(content)).decode()
    assert item_of({"reasoningText": {"text": "hm", "signature": mark}}) is None


@pytest.mark.parametrize(
    ("more", "names", "path"),
    [
        (
            {"toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {}}}]}},
            {},
            "toolConfig.tools[0].toolSpec.inputSchema.json",
        ),
        ({"additionalModelRequestFields": [1]}, {}, "additionalModelRequestFields"),
        (
            {"outputConfig": {"textFormat": {"structure": {}}}},
            {},
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        ({}, {"video": ("messages[0].content[1]",)}, "messages[0].content[1]"),
        ({"novel": 1}, {}, "novel"),
        ({"toolConfig": {"tools": [{"toolSpec": {}, "novel": {}}]}}, {}, "toolConfig.tools[0]"),
        ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}}, {}, "toolConfig.tools[0].systemTool"),
    ],
)
def test_members_that_cannot_be_carried_are_refused_by_their_paths(more: Any, names: Any, path: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        refuse_uncarried({"messages": [], **more}, names)
    assert raised.value.param == path
