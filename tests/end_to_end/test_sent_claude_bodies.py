"""What reaches Bedrock for requests to Claude, each named with its source."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.wire import json
from tests.end_to_end.accepting import USER, AcceptingBedrock, SentRequest
from tests.servers import gateway, upstream

SONNET_45, OPUS_48, OPUS_55, HAIKU_55, FABLE_51 = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-4-8",
    "us.anthropic.claude-opus-5-5",
    "us.anthropic.claude-haiku-5-5",
    "us.anthropic.claude-fable-5-1",
)
SCHEMA: Any = {"type": "object", "properties": {}}
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
OTHER: Any = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}
NAMED: Any = {"type": "function", "function": {"name": "f"}}
BOUND = (
    "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation. "
    "Send it with the conversation that it came from."
)
BINDING_BETA = "thinking-binding-controls-2026-08-01"


class PreservingBedrock(AcceptingBedrock):
    """Refuses reasoning of another conversation, unless it is told to drop it."""

    def reply(self, request: SentRequest) -> Any:
        text = json.dumps_text(request.body)
        return {"refused": {"message": BOUND}} if "foreign" in text and "drop_block" not in text else None


@pytest.fixture(scope="module")
def bedrock() -> Iterator[AcceptingBedrock]:
    made = PreservingBedrock()
    with upstream(made.handle) as address, gateway(address) as made.url:
        yield made


def fields(sent: Any) -> Any:
    return sent.get("additionalModelRequestFields", {})


def test_haiku_5_5_is_forced_to_call_a_tool(bedrock: AcceptingBedrock) -> None:
    """Anthropic, Haiku 5.5; litellm 1.110.2. On 965aba3 the choice became `auto`."""
    sent = bedrock.chat(HAIKU_55, tools=[TOOL, OTHER], tool_choice=NAMED)
    assert sent["toolConfig"]["toolChoice"] == {"tool": {"name": "f"}}
    native = {"tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "tool", "name": "f"}}
    assert bedrock.message(HAIKU_55, **native)["tool_choice"] == {"type": "tool", "name": "f"}


@pytest.mark.parametrize(("model", "thinking"), [(OPUS_55, None), (FABLE_51, None), (HAIKU_55, {"type": "disabled"})])
def test_between_tools_reaches_only_sonnet_5_5(bedrock: AcceptingBedrock, model: str, thinking: Any) -> None:
    """Anthropic, what's new in Sonnet 5.5; @ai-sdk/amazon-bedrock 4.0.186. Others refuse it with 400."""
    assert bedrock.message(model, thinking={"type": "between_tools"}).get("thinking") == thinking
    sonnet = bedrock.message("us.anthropic.claude-sonnet-5-5", thinking={"type": "between_tools"})
    assert sonnet["thinking"] == {"type": "between_tools"}


@pytest.mark.parametrize("path", ["chat", "messages"])
@pytest.mark.parametrize("model", [OPUS_55, "us.anthropic.claude-fable-5-2"])
def test_the_last_turn_names_the_wanted_tool(bedrock: AcceptingBedrock, model: str, path: str) -> None:
    """AWS user guide, preserved thinking: reasoning is bound to the list of tools; griptape#2351."""
    if path == "chat":
        sent = bedrock.chat(model, tools=[TOOL, OTHER], tool_choice=NAMED)
        names = [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]]
        assert "toolChoice" not in sent["toolConfig"]
    else:
        tools = [{"name": name, "input_schema": SCHEMA} for name in ("f", "g")]
        sent = bedrock.message(model, tools=tools, tool_choice={"type": "tool", "name": "f"})
        names = [tool["name"] for tool in sent["tools"]]
        assert sent["tool_choice"] == {"type": "auto"}
    assert names == ["f", "g"]
    assert sent["messages"][-1]["content"][-1]["text"] == "Call the tool f now."


def test_the_same_schema_keeps_the_beginning_of_the_conversation(bedrock: AcceptingBedrock) -> None:
    """AWS user guide, preserved thinking: reasoning is bound to the system prompt, too. A changed one is dropped."""
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    first = bedrock.chat(OPUS_55, response_format=wanted)
    said = {"role": "assistant", "content": "{}"}
    second = bedrock.chat(OPUS_55, messages=[USER, said, USER], response_format=wanted)
    assert second["system"] == first["system"]
    assert second["messages"][:1] == first["messages"]


@pytest.mark.parametrize("path", ["messages", "chat"])
def test_reasoning_of_another_conversation_is_dropped_once_it_was_refused(bedrock: AcceptingBedrock, path: str) -> None:
    """AWS user guide, preserved thinking; pydantic-ai 2.68 retries so. On 965aba3 the caller got the 400."""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "foreign"}
    said = {"role": "assistant", "content": [thinking, {"type": "text", "text": "ok"}]}
    if path == "messages":
        answer, sent = bedrock.send("/v1/messages", model=OPUS_55, max_tokens=99, messages=[USER, said, USER])
    else:
        shown = {"role": "assistant", "content": "ok", "thinking_blocks": [thinking]}
        answer, sent = bedrock.send("/v1/chat/completions", model=OPUS_55, messages=[USER, shown, USER])
        sent = fields(sent)
    assert answer.status_code == 200, answer.text
    made, betas = sent["thinking"], sent["anthropic_beta"]
    assert (len(bedrock.requests), BINDING_BETA in betas) == (2, True)
    assert made["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert "reasoning" in answer.headers["x-outcrop-adjusted"]


@pytest.mark.parametrize(
    ("model", "body", "beta"),
    [
        (
            OPUS_55,
            {"anthropic_beta": ["per-turn-control-2026-07-01"]},
            "mid-conversation-output-config-2026-07-01",
        ),
        (SONNET_45, {"tools": [{"type": "memory_20250818", "name": "memory"}]}, "context-management-2025-06-27"),
        (
            OPUS_48,
            {"tools": [{"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}]},
            "tool-search-tool-2025-10-19",
        ),
        (
            OPUS_48,
            {
                "tools": [
                    {
                        "type": "computer_20251124",
                        "name": "computer",
                        "display_width_px": 800,
                        "display_height_px": 600,
                    }
                ]
            },
            "computer-use-2025-11-24",
        ),
    ],
    ids=["per-turn-control", "memory", "tool search", "computer"],
)
def test_what_a_request_needs_gets_its_beta(bedrock: AcceptingBedrock, model: str, body: Any, beta: str) -> None:
    """AWS user guide, Claude Messages API; litellm 1.110.2. On 965aba3 it was dropped, or not requested."""
    assert beta in bedrock.message(model, **body).get("anthropic_beta", [])


def test_old_reasoning_is_cleared_while_the_model_thinks(bedrock: AcceptingBedrock) -> None:
    """Anthropic, context editing; litellm 1.110.2. On 965aba3 the edit was dropped."""
    management = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    sent = bedrock.message(SONNET_45, max_tokens=4000, thinking=thinking, context_management=management)
    assert sent["context_management"] == management
    assert "context-management-2025-06-27" in sent["anthropic_beta"]
    answer, sent = bedrock.send(
        "/v1/messages", model=SONNET_45, max_tokens=99, messages=[USER], context_management=management
    )
    assert "context_management" not in sent
    assert answer.headers["x-outcrop-ignored"] == "context_management"


@pytest.mark.parametrize("kind", ["web_search_20250305", "web_fetch_20250910", "code_execution_20250825"])
def test_a_tool_of_anthropic_s_servers_is_refused_with_advice(bedrock: AcceptingBedrock, kind: str) -> None:
    """anthropic-sdk-python#948; litellm 1.110.2. On 965aba3 it reached Bedrock, whose refusal names no tool."""
    body = {"model": SONNET_45, "max_tokens": 9, "messages": [USER], "tools": [{"type": kind, "name": "x"}]}
    answer, sent = bedrock.send("/v1/messages", **body)
    assert (answer.status_code, sent) == (400, None)
    assert f"tools.0: Bedrock runs no {kind}" in answer.json()["error"]["message"]


def test_no_cache_point_follows_a_document_of_text(bedrock: AcceptingBedrock) -> None:
    """harness-sdk#1966: "messages.0.content.2.type: Field required", as recorded."""
    file = {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}
    part = {"type": "file", "file": file, "prompt_cache_breakpoint": {"mode": "explicit"}}
    content = [{"type": "text", "text": "a"}, part]
    sent = bedrock.chat(SONNET_45, messages=[{"role": "user", "content": content}])
    kinds = [next(iter(block)) for block in sent["messages"][0]["content"]]
    assert (kinds, kinds[kinds.index("document") + 1]) == (["text", "document", "text", "cachePoint"], "text")


@pytest.mark.parametrize("path", ["chat", "messages", "responses"])
def test_the_ending_for_a_long_context_becomes_its_beta(bedrock: AcceptingBedrock, path: str) -> None:
    """claude-relay#965: Claude Code ends the names of models with it. On 965aba3 it was a 400."""
    model = f"{SONNET_45}[1m]"
    match path:
        case "chat":
            betas = fields(bedrock.chat(model))["anthropic_beta"]
        case "responses":
            betas = fields(bedrock.respond(model))["anthropic_beta"]
        case _:
            betas = bedrock.message(model)["anthropic_beta"]
    assert betas == ["context-1m-2025-08-07"]


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("anthropic.claude-mythos-5", "/anthropic/v1/messages"),
        ("anthropic.claude-mythos-preview", "/anthropic/v1/messages"),
        ("claude-mythos-5", "/anthropic/v1/messages"),
        ("anthropic.claude-haiku-4-5", "/anthropic/v1/messages"),
        ("us.anthropic.claude-mythos-5-1", "/model/us.anthropic.claude-mythos-5-1/invoke"),
    ],
)
def test_messages_reach_the_surface_that_serves_the_model(bedrock: AcceptingBedrock, model: str, start: str) -> None:
    """AWS user guide, models by endpoint. On 965aba3 all were called by InvokeModel, which answers 404."""
    sent = bedrock.message(model)
    (request,) = bedrock.requests
    assert (request.path, sent.get("model", model).removeprefix("anthropic.")) == (
        start,
        model.removeprefix("anthropic."),
    )
    if not model.startswith("us."):
        bedrock.chat(model)
        assert bedrock.requests[0].path == start
