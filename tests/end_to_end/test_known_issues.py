"""Issues that users of other gateways reported publicly (collected 2026-11), each with the tests that exclude it here.

The tests in this file cover translation, from the caller's side, against the embedded Bedrock.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.end_to_end.conftest import boto_client
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY

TESTS = Path(__file__).parents[1]
HEADERS = {"x-api-key": KEY}
ECHO, TOOLS, THINKING = "scripted.echo-v1:0", "scripted.tools-v1:0", "scripted.thinking-v1:0"
CLAUDE_3, CLAUDE_45, CLAUDE_46, CLAUDE_5 = (
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-sonnet-5",
)
NOVA, LLAMA = "amazon.nova-pro-v1:0", "us.meta.llama4-maverick-17b-instruct-v1:0"
HERE, PER_ENDPOINT = "end_to_end/test_known_issues.py", "end_to_end/test_known_issues_per_endpoint.py"
# the tests of each issue, by file below tests/
KNOWN_ISSUES = {
    "resolving credentials blocks the event loop: litellm#40165": [
        "bedrock/test_credentials.py::test_request_waits_for_the_first_resolution"
    ],
    "a disconnect does not cancel the upstream request: litellm#37140": [
        "end_to_end/test_upstream_failures.py::test_disconnect_closes_the_upstream_connection_within_100_ms"
    ],
    "memory leaks: litellm#12685, litellm#38193": [
        "end_to_end/test_upstream_failures.py::test_disconnects_are_logged_and_leave_no_upstream_connection"
    ],
    "silent streams are cut by load balancers: litellm#34374, bifrost#5010": [
        "end_to_end/test_anthropic_sdk.py::test_silent_streams_get_heartbeats",
        f"{PER_ENDPOINT}::test_silence_in_a_stream_is_filled_with_heartbeats",
    ],
    "errors in mid-stream are lost or reported as success: litellm#24608, bifrost#4679": [
        f"{HERE}::test_failure_in_mid_stream_is_an_error_in_every_dialect"
    ],
    "streams are buffered: litellm#38569": [
        "end_to_end/test_upstream_failures.py::test_slow_reader_applies_backpressure_to_the_upstream"
    ],
    "throttling is not a 429 with Retry-After: litellm#589, RooCode#5050": [
        f"{HERE}::test_throttling_is_a_429_with_retry_after",
        f"{PER_ENDPOINT}::test_throttling_says_when_to_retry",
    ],
    "an output limit of the gateway's reserves quota: claude-code#77, pi#3399": [
        f"{PER_ENDPOINT}::test_only_claude_gets_an_output_limit_that_the_caller_did_not_set"
    ],
    "reasoning signatures are lost between turns: strands#2704, opencode#3077": [
        f"{HERE}::test_reasoning_is_sent_back_with_its_signature"
    ],
    "unknown anthropic-beta flags are refused: claude-code#49370": [
        f"{HERE}::test_unknown_betas_are_dropped_and_named_in_a_header"
    ],
    "temperature beside top_p is refused by newer Claude: mem0#4147": [
        f"{HERE}::test_temperature_and_top_p_are_sent_only_as_the_model_accepts_them"
    ],
    "toolConfig is missing although the history has tool calls: onyx#7842": [
        f"{HERE}::test_history_with_tool_calls_gets_a_tool_config"
    ],
    "results of parallel tool calls are separate turns: mlflow#24296, genkit#664": [
        f"{HERE}::test_parallel_tool_results_are_one_turn_and_roles_alternate",
        f"{HERE}::test_tool_call_beside_text_can_be_replayed",
    ],
    "blank texts are refused: OpenHands#5339, bifrost#3747": [f"{HERE}::test_blank_texts_are_dropped"],
    "document names are illegal or repeated: vercel/ai#20365": [
        f"{HERE}::test_document_names_are_made_legal_and_unique"
    ],
    "tool names are illegal or too long: kagent#1473, pydantic-ai#4631": [
        f"{HERE}::test_tool_names_are_made_legal_and_restored_in_the_response"
    ],
    "tool schemas are refused: cua#3303, litellm#29168": [
        f"{HERE}::test_tool_schemas_are_completed_and_keep_their_keywords"
    ],
    "structured output is ignored: Portkey#1547, agent-framework#5966": [
        f"{HERE}::test_response_schema_is_always_sent_upstream"
    ],
    "cache points are lost and their cost is wrong: bifrost#1935, litellm#29432": [
        f"{HERE}::test_cache_points_keep_their_position_and_ttl",
        f"{PER_ENDPOINT}::test_one_hour_cache_writes_have_their_own_price",
        f"{PER_ENDPOINT}::test_one_hour_cache_writes_have_their_own_price_in_a_native_stream",
    ],
    "application inference profiles get features and prices of no model: litellm#18258": [
        f"{HERE}::test_application_profile_is_handled_as_its_model",
        f"{PER_ENDPOINT}::test_embeddings_by_application_profile_are_handled_as_their_model",
    ],
    "a base model id needs an inference profile: cline#12926, crush#642": [
        f"{HERE}::test_base_model_id_uses_its_profile_and_only_callable_models_are_listed"
    ],
    "guardrail stops are lost in streams: langchain-aws#1224, litellm#5360": [
        f"{HERE}::test_guardrail_stop_is_reported_in_complete_and_streamed_responses"
    ],
    "native clients need workarounds for authentication: litellm#11055": [
        f"{HERE}::test_native_clients_and_unknown_fields_are_passed_through"
    ],
    "a failed region is not left for another one: opencode#30940, stdapi#21": [
        "end_to_end/test_routes.py::test_failover_from_an_unreachable_region_succeeds_in_every_dialect"
    ],
}


@pytest.fixture
def client(url: str, recorder: RecordingBedrock) -> Iterator[openai.OpenAI]:
    recorder.requests.clear()
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def claude(url: str, recorder: RecordingBedrock) -> Iterator[anthropic.Anthropic]:
    recorder.requests.clear()
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as made:
        yield made


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def function(name: str, parameters: Any = None) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


def called(name: str, call_id: str, arguments: str = "{}") -> Any:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("issue", KNOWN_ISSUES)
def test_tests_of_known_issue_exist(issue: str) -> None:
    for node in KNOWN_ISSUES[issue]:
        file, _, name = node.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(), node


@pytest.mark.parametrize("fault", ["exception-4", "cut-4", "stop-4", "throttlemid-4"])
def test_failure_in_mid_stream_is_an_error_in_every_dialect(
    client: openai.OpenAI, claude: anthropic.Anthropic, url: str, fault: str
) -> None:
    model, question = f"{ECHO}.{fault}", "x" * 200
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=model, messages=[user(question)], stream=True))
    events = list(client.responses.create(model=model, input=question, stream=True))
    assert events[-1].type == "response.failed"
    for name in (model, f"{CLAUDE_3}.{fault}"):
        with pytest.raises(anthropic.APIStatusError):
            with claude.messages.stream(model=name, max_tokens=900, messages=[user(question)]) as stream:
                stream.get_final_message()


def test_throttling_is_a_429_with_retry_after(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=f"{ECHO}.retryafter-7", messages=[user("x")])
    assert (caught.value.response.headers["retry-after"], caught.value.code) == ("7", "rate_limit_exceeded")


@pytest.mark.parametrize("model", [THINKING, "scripted.redacted-v1:0"])
def test_reasoning_is_sent_back_with_its_signature(
    client: openai.OpenAI, recorder: RecordingBedrock, model: str
) -> None:
    tools: Any = [function("get_weather")]
    first: Any = client.chat.completions.create(model=model, messages=[user("Weather?")], tools=tools)
    message = first.choices[0].message
    history = [user("Weather?"), message.model_dump(exclude_none=True)]
    history.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"})
    client.chat.completions.create(model=model, messages=history, tools=tools)
    sent = recorder.requests[-1].body["messages"][1]["content"][0]["reasoningContent"]
    (block,) = message.thinking_blocks
    if model == THINKING:
        assert sent == {"reasoningText": {"text": block["thinking"], "signature": block["signature"]}}
    else:
        assert sent == {"redactedContent": block["data"]}


def test_unknown_betas_are_dropped_and_named_in_a_header(
    claude: anthropic.Anthropic, recorder: RecordingBedrock
) -> None:
    answer = claude.messages.with_raw_response.create(
        model=CLAUDE_5,
        max_tokens=9,
        messages=[user("hi")],
        extra_headers={"anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,novel-2027-01-01"},
    )
    assert recorder.requests[-1].body["anthropic_beta"] == ["interleaved-thinking-2025-05-14"]
    assert "anthropic-beta:novel-2027-01-01" in answer.headers["x-outcrop-ignored"]


@pytest.mark.parametrize(
    ("model", "kept"), [(NOVA, {"temperature", "topP"}), (CLAUDE_45, {"temperature"}), (CLAUDE_5, set())]
)
def test_temperature_and_top_p_are_sent_only_as_the_model_accepts_them(
    client: openai.OpenAI, recorder: RecordingBedrock, model: str, kept: set[str]
) -> None:
    client.chat.completions.create(model=model, messages=[user("x")], temperature=0.5, top_p=0.9, max_tokens=9)
    assert set(recorder.requests[-1].body["inferenceConfig"]) == {"maxTokens", *kept}


def test_history_with_tool_calls_gets_a_tool_config(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    history: Any = [
        user("x"),
        {"role": "assistant", "tool_calls": [called("clock", "a")]},
        {"role": "tool", "tool_call_id": "a", "content": "12"},
    ]
    client.chat.completions.create(model=ECHO, messages=history)
    assert recorder.requests[-1].body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "clock"


def test_parallel_tool_results_are_one_turn_and_roles_alternate(
    client: openai.OpenAI, recorder: RecordingBedrock
) -> None:
    history: Any = [
        user("x"),
        user("y"),
        {"role": "assistant", "tool_calls": [called("clock", "a"), called("clock", "b")]},
        {"role": "tool", "tool_call_id": "a", "content": "12"},
        {"role": "tool", "tool_call_id": "b", "content": "13"},
        user("z"),
    ]
    client.chat.completions.create(model=ECHO, messages=history, tools=[function("clock")])
    sent = recorder.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert [next(iter(block)) for block in sent[-1]["content"]] == ["toolResult", "toolResult", "text"]


@pytest.mark.parametrize("model", [LLAMA, "us.mistral.pixtral-large-2502-v1:0", NOVA, "us.anthropic.claude-sonnet-4-6"])
def test_tool_call_beside_text_can_be_replayed(client: openai.OpenAI, model: str) -> None:
    history: Any = [
        user("x"),
        {"role": "assistant", "content": "I look.", "tool_calls": [called("clock", "a")]},
        {"role": "tool", "tool_call_id": "a", "content": "12"},
        user("and?"),
    ]
    answer = client.chat.completions.create(model=model, messages=history, tools=[function("clock")])
    assert answer.choices[0].finish_reason in ("stop", "tool_calls")


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_blank_texts_are_dropped(client: openai.OpenAI, recorder: RecordingBedrock, blank: str) -> None:
    history: Any = [
        {"role": "system", "content": blank},
        user([{"type": "text", "text": blank}, {"type": "text", "text": "x"}]),
        {"role": "assistant", "content": blank, "tool_calls": [called("clock", "a")]},
        {"role": "tool", "tool_call_id": "a", "content": "12"},
    ]
    client.chat.completions.create(model=ECHO, messages=history)
    sent = recorder.requests[-1].body
    texts = [block["text"] for message in sent["messages"] for block in message["content"] if "text" in block]
    assert texts == ["x"]
    assert "system" not in sent


def test_document_names_are_made_legal_and_unique(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    files = ["Q3_report (final).v2.pdf", "Q3 report!!.pdf", "Q3 report.pdf", "日本.pdf"]
    parts = [
        {"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,AA=="}} for name in files
    ]
    client.chat.completions.create(model=ECHO, messages=[user([*parts, {"type": "text", "text": "?"}])])  # type: ignore[list-item]
    blocks = recorder.requests[-1].body["messages"][0]["content"]
    names = [block["document"]["name"] for block in blocks if "document" in block]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_()\[\]-]+( [A-Za-z0-9_()\[\]-]+)*", name) for name in names)


def test_tool_names_are_made_legal_and_restored_in_the_response(
    client: openai.OpenAI, recorder: RecordingBedrock
) -> None:
    name = "mcp.server/get weather" + "x" * 60
    answer = client.chat.completions.create(model=TOOLS, messages=[user("Weather?")], tools=[function(name)])
    sent = recorder.requests[-1].body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", sent)
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == name


def test_tool_schemas_are_completed_and_keep_their_keywords(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    odd = {"anyOf": [{"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}, {"type": "object"}]}
    client.chat.completions.create(model=TOOLS, messages=[user("x")], tools=[function("f", odd)])
    sent = recorder.requests[-1].body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert sent["type"] == "object"
    assert sent["anyOf"] == odd["anyOf"]
    # Claude refuses anyOf at the top level
    answer = client.chat.completions.with_raw_response.create(
        model=CLAUDE_46, messages=[user("x")], tools=[function("f", odd)]
    )
    assert answer.headers["x-outcrop-adjusted"] == "tool_schema"
    sent = recorder.requests[-1].body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert sent == {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}


@pytest.mark.parametrize("model", [CLAUDE_46, NOVA, LLAMA])
def test_response_schema_is_always_sent_upstream(client: openai.OpenAI, recorder: RecordingBedrock, model: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "number", "schema": schema}}
    client.chat.completions.create(model=model, messages=[user("x")], response_format=wanted)
    sent = recorder.requests[-1].body
    if "outputConfig" in sent:
        # Bedrock refuses schemas with additional properties
        given = sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
        assert '"additionalProperties":false' in given
    else:
        assert "toolConfig" in sent or '"n"' in sent["system"][-1]["text"]


def test_cache_points_keep_their_position_and_ttl(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    marked = {"type": "text", "text": "rules " * 9, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    messages: Any = [{"role": "system", "content": [marked]}, user([marked, {"type": "text", "text": "?"}])]
    client.chat.completions.create(model=CLAUDE_45, messages=messages)
    sent = recorder.requests[-1].body
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert (sent["system"][1], sent["messages"][0]["content"][1]) == (point, point)


def test_application_profile_is_handled_as_its_model(claude: anthropic.Anthropic) -> None:
    arn = f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{CLAUDE_3}"
    assert claude.messages.create(model=arn, max_tokens=9, messages=[user("hi")]).id.startswith("msg_bdrk_")


def test_base_model_id_uses_its_profile_and_only_callable_models_are_listed(
    client: openai.OpenAI,
) -> None:
    answer = client.chat.completions.with_raw_response.create(model=CLAUDE_5.removeprefix("us."), messages=[user("hi")])
    assert answer.headers["x-outcrop-adjusted"] == "inference_profile"
    listed = {model.id for model in client.models.list()}
    # mantle alone serves the second
    assert {CLAUDE_5, "google.gemma-4-31b"} <= listed
    assert not listed & {CLAUDE_5.removeprefix("us."), "cohere.embed-v4:0"}


def test_guardrail_stop_is_reported_in_complete_and_streamed_responses(
    client: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    model = "scripted.guarded-v1:0"
    chat = client.chat.completions.create(model=model, messages=[user("x")])
    assert chat.choices[0].finish_reason == "content_filter"
    last = list(client.chat.completions.create(model=model, messages=[user("x")], stream=True))[-1]
    assert last.choices[0].finish_reason == "content_filter"
    answer = client.responses.create(model=model, input="x")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "content_filter"
    assert claude.messages.create(model=model, max_tokens=9, messages=[user("x")]).stop_reason == "refusal"


def test_native_clients_and_unknown_fields_are_passed_through(url: str, recorder: RecordingBedrock) -> None:
    with boto_client(url) as runtime:
        reply = runtime.converse(modelId=ECHO, messages=[{"role": "user", "content": [{"text": "hi"}]}])
        assert reply["output"]["message"]["content"][0]["text"] == "hi"
    body = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "novelField": {"of": "tomorrow"}}
    bearer = {"authorization": f"Bearer {KEY}"}
    recorder.requests.clear()
    httpx.post(f"{url}/model/{ECHO}/converse", json=body, headers=bearer)
    assert recorder.requests[-1].body == body
