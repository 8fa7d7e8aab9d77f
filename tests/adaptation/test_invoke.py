"""Bodies of Anthropic's Messages for InvokeModel: only what Bedrock refuses is changed."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.adaptation.invoke import adapt_invoke
from app.adaptation.invoke.betas import filter_betas
from app.converse.call import NativeCall
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id

NEW = Capabilities().with_values(
    {
        "native": {"newest_anthropic_version": True},
        "caching": {"ttl": True},
        "turns": {"system": True},
        "schemas": {"strict_tools": True},
        "reasoning": {"request": "adaptive"},
    }
)
OLD = Capabilities().with_values({"reasoning": {"request": "budget"}})
BODY: dict[str, Any] = {"model": "m", "stream": True, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def fit(
    capabilities: Capabilities = NEW, version: str = "2023-06-01", betas: list[str] | None = None, **members: Any
) -> Any:
    return adapt_invoke(NativeCall("m", {**BODY, **members}, version, betas or []), capabilities)


@pytest.mark.parametrize(
    ("capabilities", "header", "in_body", "sent"),
    [
        (NEW, "2023-06-01", None, "bedrock-2023-05-31"),
        (NEW, "2026-10-21", None, "2026-10-21"),
        (NEW, "", "2026-10-21", "2026-10-21"),
        (OLD, "2026-10-21", None, "bedrock-2023-05-31"),
        (OLD, "", "bedrock-2023-05-31", "bedrock-2023-05-31"),
        (OLD, "", None, "bedrock-2023-05-31"),
    ],
)
def test_the_version_is_one_that_the_model_accepts(
    capabilities: Capabilities, header: str, in_body: str | None, sent: str
) -> None:
    assert fit(capabilities, header, anthropic_version=in_body).body["anthropic_version"] == sent


def test_model_and_stream_leave_the_body_and_unknown_fields_are_named() -> None:
    adapted = fit(speed="fast", service_tier="auto", top_k=None, inference_geo=None)
    assert set(adapted.body) == {"max_tokens", "messages", "anthropic_version"}
    assert adapted.ignored == ["speed", "service_tier"]


def test_betas_are_passed_renamed_or_dropped() -> None:
    kept, dropped = filter_betas(
        ["claude-code-20250219", "advanced-tool-use-2025-11-20", "computer-use-2025-01-24", "computer-use-2025-01-24",
         "tool-search-tool-2025-10-19", "mine-1"],
        frozenset({"mine-1"}),
    )  # fmt: skip
    assert kept == ["tool-search-tool-2025-10-19", "tool-examples-2025-10-29", "computer-use-2025-01-24", "mine-1"]
    assert dropped == ["claude-code-20250219"]


def test_betas_of_the_header_and_of_the_body_are_sent() -> None:
    adapted = fit(betas=["context-1m-2025-08-07"], anthropic_beta=["effort-2025-11-24", 5])
    assert adapted.body["anthropic_beta"] == ["context-1m-2025-08-07", "effort-2025-11-24"]


@pytest.mark.parametrize(
    ("edits", "kept", "betas", "ignored"),
    [
        ([{"type": "clear_thinking_20251015", "keep": "all"}], None, None, ["context_management"]),
        (
            [{"type": "clear_tool_uses_20250919"}],
            [{"type": "clear_tool_uses_20250919"}],
            ["context-management-2025-06-27"],
            [],
        ),
        (
            [{"type": "clear_thinking_20251015"}, {"type": "compact_20260112"}],
            [{"type": "compact_20260112"}],
            ["compact-2026-01-12"],
            ["context_management"],
        ),
    ],
)
def test_known_edits_of_the_context_are_sent_with_their_beta(
    edits: Any, kept: Any, betas: Any, ignored: list[str]
) -> None:
    adapted = fit(context_management={"edits": edits})
    assert adapted.body.get("context_management") == (kept and {"edits": kept})
    assert adapted.body.get("anthropic_beta") == betas
    assert adapted.ignored == ignored


@pytest.mark.parametrize(
    ("thinking", "kept"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, True),
        ({"type": "adaptive"}, True),
        ({"type": "disabled"}, False),
        (None, False),
    ],
)
def test_reasoning_is_cleared_only_while_the_model_thinks(thinking: Any, kept: bool) -> None:
    """litellm#25835: a 400 otherwise."""
    edit = {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}}
    adapted = fit(context_management={"edits": [edit]}, thinking=thinking, max_tokens=4000)
    assert adapted.body.get("context_management") == ({"edits": [edit]} if kept else None)
    assert adapted.body.get("anthropic_beta") == (["context-management-2025-06-27"] if kept else None)
    assert adapted.ignored == ([] if kept else ["context_management"])


def test_cache_control_keeps_only_members_that_bedrock_knows() -> None:
    control = {"type": "ephemeral", "ttl": "1h", "scope": "global"}
    block = {"type": "text", "text": "x", "cache_control": control}
    for capabilities, left, adjusted in (
        (NEW, {"type": "ephemeral", "ttl": "1h"}, []),
        (OLD, {"type": "ephemeral"}, ["cache_ttl"]),
    ):
        adapted = fit(
            capabilities,
            system=[block],
            messages=[
                {"role": "user", "content": [block, {"type": "tool_result", "tool_use_id": "a", "content": [block]}]}
            ],
            tools=[{"name": "t", "input_schema": {}, "cache_control": control}],
        )
        found = [
            adapted.body["system"][0],
            adapted.body["messages"][0]["content"][0],
            adapted.body["messages"][0]["content"][1]["content"][0],
            adapted.body["tools"][0],
        ]
        assert [each["cache_control"] for each in found] == [left] * 4
        assert adapted.adjusted == adjusted
        assert adapted.ignored == [
            "messages[0].content[0].cache_control.scope",
            "messages[0].content[1].content[0].cache_control.scope",
            "tools[0].cache_control.scope",
            "system[0].cache_control.scope",
        ]


def test_cache_control_of_the_body_keeps_only_members_that_bedrock_knows() -> None:
    adapted = fit(cache_control={"type": "ephemeral", "ttl": None, "scope": "global"})
    assert adapted.body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert (adapted.ignored, adapted.adjusted) == (["cache_control.scope"], [])


def test_members_of_tools_that_bedrock_refuses_are_removed() -> None:
    tool = {
        "custom": {"defer_loading": True},
        "name": "t",
        "input_schema": {},
        "eager_input_streaming": True,
        "strict": True,
    }
    new, old = fit(NEW, tools=[tool]), fit(OLD, tools=[tool])
    assert new.body["tools"] == [{"defer_loading": True, "name": "t", "input_schema": {}, "strict": True}]
    assert new.body["anthropic_beta"] == ["fine-grained-tool-streaming-2025-05-14"]
    assert old.body["tools"] == [{"defer_loading": True, "name": "t", "input_schema": {}}]
    assert old.adjusted == ["strict"]


def test_a_message_s_own_output_config_is_dropped_without_its_beta() -> None:
    messages = [{"role": "user", "content": "x", "output_config": {"effort": "low"}}]
    beta = "mid-conversation-output-config-2026-07-01"
    assert fit(messages=messages, betas=[beta]).body["messages"] == messages
    assert fit(messages=messages).ignored == ["messages[0].output_config"]


@pytest.mark.parametrize("kind", ["url", "file"])
def test_urls_and_files_are_refused(kind: str) -> None:
    block = {"type": "document", "source": {"type": kind}}
    with pytest.raises(errors.InvalidRequest) as refusal:
        fit(messages=[{"role": "user", "content": [{"type": "tool_result", "content": [block]}]}])
    assert refusal.value.param == "messages[0].content[0].content[0].source"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["messages", "tools", "system", "cache_control", "context_management", "anthropic_beta", "thinking"]
)


@given(noise=st.dictionaries(FIELDS, JSON, max_size=4), is_new=st.booleans())
def test_any_body_is_adapted_or_refused_without_another_error(noise: Any, is_new: bool) -> None:
    with contextlib.suppress(errors.InvalidRequest):
        fit(NEW if is_new else OLD, **noise)


def test_malformed_betas_of_the_body_are_named() -> None:
    assert fit(anthropic_beta="effort-2025-11-24").ignored == ["anthropic_beta"]
    assert fit(anthropic_beta=["effort-2025-11-24", 5]).ignored == ["anthropic_beta"]


def test_content_of_documents_is_adapted_too() -> None:
    piece = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "global"}}
    document = {"type": "document", "source": {"type": "content", "content": [piece]}}
    result = {"type": "search_result", "source": "s", "title": "t", "content": [piece]}
    adapted = fit(messages=[{"role": "user", "content": [document, result]}])
    blocks = adapted.body["messages"][0]["content"]
    assert blocks[0]["source"]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert blocks[1]["content"][0]["cache_control"] == {"type": "ephemeral"}
    picture = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    document = {"type": "document", "source": {"type": "content", "content": [picture]}}
    with pytest.raises(errors.InvalidRequest):
        fit(messages=[{"role": "user", "content": [document]}])


def test_cache_control_inside_a_tool_s_custom_wrapper_is_adapted() -> None:
    schema = {"type": "object"}
    tool = {"custom": {"name": "t", "input_schema": schema, "cache_control": {"type": "ephemeral", "scope": "g"}}}
    adapted = {"name": "t", "input_schema": schema, "cache_control": {"type": "ephemeral"}}
    assert fit(tools=[tool]).body["tools"] == [adapted]


def test_turns_of_the_system_are_merged_into_the_user_s_after_tool_results() -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": "r"}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "t", "input": {}}]},
        {"role": "system", "content": "s", "output_config": {"effort": "low"}},
        {"role": "user", "content": [result], "mood": 1},
    ]
    beta = "mid-conversation-output-config-2026-07-01"
    adapted = fit(OLD, messages=messages, betas=[beta])
    assert adapted.body["messages"][2]["content"] == [result, {"type": "text", "text": "s"}]
    assert adapted.ignored == ["messages[3].mood"]
    adapted = fit(OLD, messages=[messages[0], messages[2]], betas=[beta])
    assert adapted.ignored == ["messages[1].output_config"]


CONTROL = {"type": "ephemeral"}
MARKED = {"type": "text", "text": "x", "cache_control": CONTROL}


@pytest.mark.parametrize(
    ("content", "marked"),
    [
        ("x", [MARKED]),
        (
            [{"type": "text", "text": "x"}, {"type": "thinking", "thinking": "t", "signature": "s"}],
            [MARKED, {"type": "thinking", "thinking": "t", "signature": "s"}],
        ),
        ([{"type": "text", "text": "x", "cache_control": None}], [MARKED]),
    ],
)
def test_cache_control_of_the_body_is_put_on_the_last_block_that_can_have_one(content: Any, marked: Any) -> None:
    adapted = fit(messages=[{"role": "assistant", "content": content}], cache_control=CONTROL)
    assert adapted.body["messages"][0]["content"] == marked


UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
BLANK = {"type": "text", "text": " "}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}


@pytest.mark.parametrize(
    ("content", "sent", "adjusted"),
    [
        ([SIGNED, CALL], [SIGNED, CALL], []),
        ([UNSIGNED, CALL], [CALL], ["reasoning", "reasoning_effort"]),
        ([UNSIGNED, SIGNED, CALL], [SIGNED, CALL], ["reasoning"]),
        ([{"type": "thinking", "thinking": "hm"}, CALL], [CALL], ["reasoning", "reasoning_effort"]),
        ([CALL], [CALL], ["reasoning_effort"]),
        ([SIGNED, {"type": "text", "text": "\n"}, CALL], [SIGNED, CALL], ["blank_text"]),
        ([SIGNED, BLANK, SIGNED, BLANK, CALL], [SIGNED, BLANK, SIGNED, CALL], ["blank_text"]),
        ([SIGNED, BLANK, SIGNED, CALL], [SIGNED, BLANK, SIGNED, CALL], []),
        ([SIGNED, {"type": "text", "text": 5}], [SIGNED, {"type": "text", "text": 5}], []),
    ],
)
def test_reasoning_without_a_signature_is_dropped(content: Any, sent: Any, adjusted: Any) -> None:
    messages = [*BODY["messages"], {"role": "assistant", "content": content}, RESULT]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    adapted = fit(messages=messages, thinking=thinking)
    assert adapted.body["messages"][1]["content"] == sent
    assert adapted.adjusted == adjusted
    assert ("thinking" in adapted.body) == ("reasoning_effort" not in adjusted)
    # a turn outside a tool loop may begin with any block
    answered = fit(messages=[*messages[:2], {"role": "user", "content": "hi"}], thinking=thinking)
    assert answered.body["thinking"] == thinking


@pytest.mark.parametrize("said", [{"role": "user", "content": "go on"}, {"role": "system", "content": "be brief"}])
def test_thinking_is_removed_in_a_tool_loop_that_began_without_it(
    said: Any,
) -> None:
    messages = [*BODY["messages"], {"role": "assistant", "content": [UNSIGNED, CALL]}, RESULT, said]
    adapted = fit(messages=messages, thinking={"type": "enabled", "budget_tokens": 1024})
    assert "thinking" not in adapted.body
    assert adapted.adjusted == ["reasoning", "reasoning_effort"]


@pytest.mark.parametrize("content", [[UNSIGNED], [BLANK], [BLANK, UNSIGNED], [], "", "\n"])
def test_an_emptied_turn_of_the_assistant_is_dropped(content: Any) -> None:
    hello = BODY["messages"][0]
    for messages in (
        [hello, {"role": "assistant", "content": content}],
        [{"role": "assistant", "content": content}, hello],
    ):
        assert fit(messages=messages).body["messages"] == [hello]


def test_malformed_messages_are_sent_unchanged() -> None:
    odd: list[Any] = [{}, {"role": "assistant"}, {"role": "user", "content": None}, "odd"]
    adapted = fit(messages=odd)
    assert (adapted.body["messages"], adapted.adjusted) == (odd, [])


PLAIN: list[Any] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("turn", "sent"),
    [
        ({"role": "user", "content": " x "}, {"role": "user", "content": " x "}),
        ({"role": "user", "content": "\u2003\n"}, {"role": "user", "content": "."}),
        ({"role": "user", "content": "x", "output_config": {}}, {"role": "user", "content": "x"}),
        ({"role": "system", "content": "x"}, {"role": "user", "content": "x"}),
        ({"role": "user", "content": [BLANK, MARKED]}, {"role": "user", "content": [MARKED]}),
    ],
)
def test_a_turn_after_turns_of_text_is_adapted_too(turn: Any, sent: Any) -> None:
    assert fit(OLD, messages=[*PLAIN, turn]).body["messages"] == [*PLAIN, sent]


@pytest.mark.parametrize("content", [[BLANK], "", " "])
def test_a_blank_turn_of_the_user_gets_a_placeholder(content: Any) -> None:
    adapted = fit(messages=[{"role": "user", "content": content}])
    assert adapted.body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "."}] if isinstance(content, list) else "."}
    ]
    assert adapted.adjusted == ["blank_text"]


@pytest.mark.parametrize(
    ("system", "sent"), [([BLANK, MARKED], [MARKED]), ([BLANK], None), ("", None), ("\n", None), ("s", "s")]
)
def test_a_blank_system_prompt_is_left_out(system: Any, sent: Any) -> None:
    adapted = fit(system=system)
    assert adapted.body.get("system") == sent
    assert adapted.adjusted == ([] if system == "s" else ["blank_text"])


def test_a_blank_tool_result_gets_a_placeholder() -> None:
    said = {"type": "tool_result", "tool_use_id": "a", "content": [BLANK]}
    adapted = fit(
        messages=[BODY["messages"][0], {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [said]}]
    )
    assert adapted.body["messages"][2]["content"][0]["content"] == [{"type": "text", "text": "."}]
    assert adapted.adjusted == ["blank_text"]


@pytest.mark.parametrize(
    ("media_type", "data", "sent"),
    [
        ("image/jpeg", "iVBORw0KGgoAAAANSUhEUg==", "image/png"),
        ("image/png", "iVBORw0KGgoAAAANSUhEUg==", "image/png"),
        ("IMAGE/JPG", "eA==", "image/jpeg"),
        ("image/tiff", "eA==", "image/tiff"),
        ("image/png", "", "image/png"),
    ],
)
def test_a_wrong_media_type_of_an_image_is_corrected(media_type: str, data: str, sent: str) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [image]}
    adapted = fit(messages=[{"role": "user", "content": [image, result]}])
    first, second = adapted.body["messages"][0]["content"]
    assert [each["source"]["media_type"] for each in (first, second["content"][0])] == [sent, sent]
    assert adapted.adjusted == ([] if sent == media_type else ["media_type"])


def test_a_loop_s_beginning_is_found_over_adjacent_turns_of_the_assistant() -> None:
    turns = [{"role": "assistant", "content": [each]} for each in (SIGNED, CALL)]
    for before, is_kept in ((turns, True), (turns[1:], False), ([turns[1], turns[0]], False)):
        adapted = fit(
            messages=[*BODY["messages"], *before, RESULT], thinking={"type": "enabled", "budget_tokens": 1024}
        )
        assert ("thinking" in adapted.body) == is_kept


def test_thinking_is_kept_in_a_tool_loop_that_began_with_it() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    again = [{"role": "assistant", "content": [{**CALL, "id": "u"}]}, RESULT]
    for first, is_kept in (([SIGNED, CALL], True), ([CALL], False)):
        messages = [*BODY["messages"], {"role": "assistant", "content": first}, RESULT, *again, *again]
        assert ("thinking" in fit(messages=messages, thinking=thinking).body) == is_kept
        # a text of the user ends the loop
        answered = fit(messages=[*messages, *again[:1], {"role": "user", "content": "hi"}], thinking=thinking)
        assert answered.body["thinking"] == thinking


def test_cache_control_of_the_body_without_a_block_is_named() -> None:
    assert fit(messages=[], cache_control=CONTROL).ignored == ["cache_control"]
    assert fit(cache_control="yes").ignored == ["cache_control"]
    odd: list[Any] = ["odd", {"role": "user", "content": ["odd", "x"]}]
    assert fit(OLD, messages=odd, tools=["odd"], cache_control=CONTROL).ignored == ["cache_control"]
    assert fit(OLD, messages=["odd", {"role": "system", "content": "s"}]).body["messages"][0] == "odd"


def test_a_beta_is_sent_once() -> None:
    beta = "fine-grained-tool-streaming-2025-05-14"
    tool = {"name": "t", "input_schema": {}, "eager_input_streaming": True}
    assert fit(tools=[tool, tool], betas=[beta]).body["anthropic_beta"] == [beta]


def test_reasoning_of_another_conversation_is_dropped_unless_the_caller_decides() -> None:
    told = capabilities_of(parse_model_id("anthropic.claude-opus-5-5")).with_values(
        {"reasoning": {"drop_foreign": True}}
    )
    document: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    adapted = adapt_invoke(NativeCall("m", document), told)
    assert adapted.body["thinking"] == {
        "type": "adaptive",
        "block_binding": {"prefix_mismatch_behavior": "drop_block"},
    }
    assert adapted.body["anthropic_beta"] == ["thinking-binding-controls-2026-08-01"]
    assert adapted.adjusted == ["reasoning"]
    own = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "error"}}
    adapted = adapt_invoke(NativeCall("m", {**document, "thinking": own}), told)
    assert (adapted.body["thinking"], adapted.adjusted) == (own, [])


def betas_of(model: str, *betas: str, **document: Any) -> Any:
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **document}
    capabilities = capabilities_of(parse_model_id(f"anthropic.claude-{model}"))
    return adapt_invoke(NativeCall("m", body, betas=list(betas)), capabilities)


def test_fallback_credit_is_passed_with_its_beta() -> None:
    """AWS user guide, fallback credit for refused requests."""
    adapted = betas_of("opus-4-8", fallback_credit_token="t")
    assert (adapted.body["fallback_credit_token"], adapted.ignored) == ("t", [])
    assert adapted.body["anthropic_beta"] == ["fallback-credit-2026-06-01"]
    older = betas_of("sonnet-4-5", fallback_credit_token="t")
    assert "fallback_credit_token" not in older.body
    assert older.ignored == ["fallback_credit_token", "anthropic-beta:fallback-credit-2026-06-01"]


def test_betas_of_newer_models_do_not_reach_older_ones() -> None:
    """Litellm 1.110.2: "invalid beta flag" on Sonnet 4.5, Opus 4.5 and Opus 4.6."""
    asked = "dangerous-tool-use-2026-09-03", "per-turn-control-2026-07-01"
    passed = ["dangerous-tool-use-2026-09-03", "mid-conversation-output-config-2026-07-01"]
    assert betas_of("opus-5", *asked).body["anthropic_beta"] == passed
    older = betas_of("opus-4-6-v1", *asked)
    assert (older.body["anthropic_beta"], older.ignored) == (passed[1:], [f"anthropic-beta:{passed[0]}"])


@pytest.mark.parametrize(
    ("kind", "beta"),
    [
        ("tool_search_tool_regex", "tool-search-tool-2025-10-19"),
        ("memory_20250818", "context-management-2025-06-27"),
        ("computer_20250124", "computer-use-2025-01-24"),
        ("computer_20251124", "computer-use-2025-11-24"),
    ],
)
def test_a_tool_of_anthropic_s_brings_its_beta(kind: str, beta: str) -> None:
    assert betas_of("sonnet-5", tools=[{"type": kind, "name": "n"}]).body["anthropic_beta"] == [beta]


@pytest.mark.parametrize(
    "tool", [{"name": "f"}, {"type": "custom", "name": "f", "input_schema": None}, {"custom": {"name": "f"}}]
)
def test_a_tool_without_a_schema_is_refused_by_its_path(tool: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest, match="give the tool an input_schema") as refused:
        fit(tools=[{"name": "t", "input_schema": {"type": "object"}}, tool])
    assert refused.value.param == "tools[1].input_schema"


@pytest.mark.parametrize("kind", ["web_search_20250305", "web_fetch_20250910", "code_execution_20250825"])
def test_a_tool_that_anthropic_s_servers_run_is_refused_with_advice(kind: str) -> None:
    """anthropic-sdk-python#948: Bedrock's own error names no tool."""
    with pytest.raises(errors.InvalidRequest, match=kind) as caught:
        betas_of("sonnet-5", tools=[{"name": "own", "input_schema": {"type": "object"}}, {"type": kind, "name": "n"}])
    assert caught.value.param == "tools[1]"
