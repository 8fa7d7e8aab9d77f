"""What reaches Bedrock for the requests of public threads, each named with its case."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.wire import json
from tests.end_to_end.accepting import REPLIES, USER, AcceptingBedrock, SentRequest
from tests.servers import gateway, upstream

SONNET_45, SONNET_55, HAIKU_55, OPUS_55 = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-sonnet-5-5",
    "us.anthropic.claude-haiku-5-5",
    "us.anthropic.claude-opus-5-5",
)
GROK, ASTRA, SOL_61, NOVA = (
    "us.xai.grok-4.6",
    "us.openai.gpt-6-astra",
    "us.openai.gpt-6.1-sol",
    "us.amazon.nova-lite-v1:0",
)
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OTHER: Any = {"type": "function", "function": {**TOOL["function"], "name": "g"}}
CALLED: list[Any] = [
    USER,
    {
        "role": "assistant",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": "1"},
]
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg=="


SEARCH: Any = {"systemTool": {"name": "nova_grounding"}}
# AWS user guide, Amazon Nova 2, Web Grounding
FOUND: list[Any] = [
    {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {"query": "q"}, "type": "server_tool_use"}},
    {"toolResult": {"toolUseId": "s", "type": "nova_grounding_result", "status": "success", "content": [{"json": {}}]}},
    {"text": "It rains."},
    {"citationsContent": {"citations": [{"location": {"web": {"url": "https://example.com/a", "domain": "example"}}}]}},
]


class SearchingBedrock(AcceptingBedrock):
    """Answers with sources where a request allows a search."""

    def reply(self, request: SentRequest) -> Any:
        if SEARCH not in request.body.get("toolConfig", {}).get("tools", []):
            return super().reply(request)
        return {**REPLIES["/converse"], "output": {"message": {"role": "assistant", "content": FOUND}}}


@pytest.fixture(scope="module")
def bedrock() -> Iterator[AcceptingBedrock]:
    made = SearchingBedrock()
    with upstream(made.handle) as address, gateway(address) as made.url:
        yield made


def fields(sent: Any) -> Any:
    return sent.get("additionalModelRequestFields", {})


def test_tools_of_codex_in_an_item_are_declared(bedrock: AcceptingBedrock) -> None:
    """envoyproxy/ai-gateway#2586, token_proxy#307, litellm#38227."""
    function = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    items = [{"type": "additional_tools", "role": "developer", "tools": [function]}, {"type": "message", **USER}]
    for model in (SONNET_45, "us.openai.gpt-5.6-sol", "openai.gpt-5.5"):
        answer, sent = bedrock.send("/v1/responses", model=model, input=items, store=False)
        assert answer.status_code == 200, answer.text
        tools = sent["toolConfig"]["tools"] if "toolConfig" in sent else sent["tools"]
        assert [(tool.get("toolSpec") or tool)["name"] for tool in tools] == ["f"]
        assert "additional_tools" not in json.dumps_text(sent)


def test_claude_is_given_a_length(bedrock: AcceptingBedrock) -> None:
    """litellm#41529, strix#1061."""
    assert bedrock.chat(SONNET_45)["inferenceConfig"]["maxTokens"] == 16_384


def test_a_budget_is_below_the_length(bedrock: AcceptingBedrock) -> None:
    """vercel/ai#7927, litellm#39627."""
    sent = bedrock.chat(SONNET_45, reasoning_effort="high")
    assert 1024 <= fields(sent)["thinking"]["budget_tokens"] < sent["inferenceConfig"]["maxTokens"]


def test_the_models_of_claude_5_5_differ(bedrock: AcceptingBedrock) -> None:
    """Anthropic, what's new in Sonnet 5.5; AWS model cards."""
    assert fields(bedrock.chat(SONNET_55, reasoning_effort="none"))["thinking"] == {"type": "between_tools"}
    assert fields(bedrock.chat(HAIKU_55, reasoning_effort="none"))["thinking"] == {"type": "disabled"}
    native = {"max_tokens": 9, "messages": [USER], "thinking": {"type": "between_tools"}}
    assert "thinking" not in bedrock.send("/v1/messages", model=OPUS_55, **native)[1]


def test_a_named_tool_leaves_the_list_of_tools(bedrock: AcceptingBedrock) -> None:
    """griptape#2351; AWS user guide, preserved thinking."""
    named = {"type": "function", "function": {"name": "f"}}
    sent = bedrock.chat(OPUS_55, tools=[TOOL, OTHER], tool_choice=named)
    assert [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]] == ["f", "g"]


def test_grok_gets_no_temperature(bedrock: AcceptingBedrock) -> None:
    """hermes#111043, sample-kolya-br-proxy#104."""
    assert "temperature" not in bedrock.chat(GROK, temperature=0.5, max_tokens=50)["inferenceConfig"]


def test_no_tool_call_is_told_to_claude(bedrock: AcceptingBedrock) -> None:
    """pydantic-ai 2.68, live."""
    sent = bedrock.chat(SONNET_45, messages=CALLED, tools=[TOOL], tool_choice="none")
    assert fields(sent)["tool_choice"] == {"type": "none"}


def test_efforts_and_lengths_fit_the_model(bedrock: AcceptingBedrock) -> None:
    """opencode#48195, stdapi#283; litellm 1.110.2."""
    assert fields(bedrock.chat(ASTRA, reasoning_effort="none"))["reasoning"] == {"effort": "low"}
    assert fields(bedrock.chat(GROK, reasoning_effort="high"))["reasoning"] == {"effort": "high"}
    assert bedrock.chat(ASTRA, max_tokens=5)["inferenceConfig"]["maxTokens"] == 16


def test_gpt_6_gets_strict_beside_a_schema(bedrock: AcceptingBedrock) -> None:
    """AWS user guide, card of GPT-6.1 Sol."""
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert fields(bedrock.chat(SOL_61, response_format=wanted))["text"] == {"format": {"strict": True}}


def test_an_image_is_no_text(bedrock: AcceptingBedrock) -> None:
    """AWS user guide, Titan Multimodal Embeddings."""
    body = {"model": "amazon.titan-embed-image-v1", "input": PNG}
    assert bedrock.send("/v1/embeddings", **body)[1] == {"inputImage": PNG.partition(",")[2]}
    answer, sent = bedrock.send("/v1/embeddings", model="amazon.titan-embed-text-v2:0", input=PNG)
    assert (answer.status_code, sent) == (400, None)
    sized = {"model": "amazon.titan-embed-image-v1", "input": "x", "dimensions": 384}
    assert bedrock.send("/v1/embeddings", **sized)[0].status_code == 200


def with_video(url: str) -> list[Any]:
    video = {"type": "video_url", "video_url": {"url": url}}
    return [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}, video]}]


@pytest.mark.parametrize(("media_type", "kind"), [("video/mp4", "mp4"), ("video/3gpp", "three_gp")])
def test_a_video_reaches_a_model_that_accepts_it(bedrock: AcceptingBedrock, media_type: str, kind: str) -> None:
    """litellm#40681. On 965aba3 a `video_url` was a 400."""
    sent = bedrock.chat(NOVA, messages=with_video(f"data:{media_type};base64,AAAA"))
    assert sent["messages"][0]["content"][1] == {"video": {"format": kind, "source": {"bytes": "AAAA"}}}


def test_a_video_in_a_result_is_sent_after_it(bedrock: AcceptingBedrock) -> None:
    video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    called = [*CALLED[:2], {**CALLED[2], "content": [video]}]
    for model, path in ((NOVA, None), (SONNET_45, "messages[2].content[0].video_url")):
        answer, sent = bedrock.send("/v1/chat/completions", model=model, messages=called, tools=[TOOL])
        if path is None:
            (result,) = sent["messages"][2]["content"]
            assert result["toolResult"]["content"][0]["video"]["format"] == "mp4"
        else:
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, path)


@pytest.mark.parametrize("model", [SONNET_45, OPUS_55, "openai.gpt-5.5", "us.anthropic.claude-mythos-5"])
def test_a_video_is_refused_by_its_path(bedrock: AcceptingBedrock, model: str) -> None:
    body = {"model": model, "messages": with_video("data:video/mp4;base64,AAAA")}
    answer, sent = bedrock.send("/v1/chat/completions", **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], sent) == (400, "messages[1].content[1].video_url", None)
    assert "this model" in error["message"]


@pytest.mark.parametrize("url", ["data:video/avi;base64,AAAA", "https://example.com/a.mp4", "data:video/mp4,AAAA"])
def test_a_video_that_converse_cannot_carry_is_refused(bedrock: AcceptingBedrock, url: str) -> None:
    answer, sent = bedrock.send("/v1/chat/completions", model=NOVA, messages=with_video(url))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], sent) == (400, "messages[1].content[1].video_url.url", None)


def test_a_beta_reaches_only_models_that_accept_it(bedrock: AcceptingBedrock) -> None:
    """AWS user guide, fallback credit; litellm 1.110.2."""
    body = {"max_tokens": 9, "messages": [USER], "fallback_credit_token": "t"}
    sent = bedrock.send("/v1/messages", model="us.anthropic.claude-opus-4-8", **body)[1]
    assert (sent["fallback_credit_token"], sent["anthropic_beta"]) == ("t", ["fallback-credit-2026-06-01"])


def test_a_beta_of_newer_models_does_not_reach_older_ones(bedrock: AcceptingBedrock) -> None:
    """Claude 4.5 answers "invalid beta flag" (litellm 1.110.2)."""
    assert "anthropic_beta" not in bedrock.message(SONNET_45, anthropic_beta=["dangerous-tool-use-2026-09-03"])


def test_documents_are_cached_and_cited_where_the_model_can(bedrock: AcceptingBedrock) -> None:
    """harness-sdk#1966; boto3#4597."""
    document: Any = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    cited = {**document, "citations": {"enabled": True}}
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, cited]}]}
    answer, sent = bedrock.send("/v1/messages", model=NOVA, **body)
    assert "citations" not in sent["messages"][0]["content"][1]["document"]
    assert answer.headers["x-outcrop-ignored"] == "citations"


@pytest.mark.parametrize("model", ["us.amazon.nova-2-lite-v1:0", "us.amazon.nova-premier-v1:0"])
@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_nova_searches_the_web(bedrock: AcceptingBedrock, model: str, tools: list[Any]) -> None:
    """AWS user guides, Amazon Nova, Web Grounding; litellm 1.110.2. On 965aba3 the field was ignored."""
    body = {"web_search_options": {"search_context_size": "low"}, **({"tools": tools} if tools else {})}
    answer, sent = bedrock.send("/v1/chat/completions", model=model, messages=[USER], **body)
    assert answer.status_code == 200, answer.text
    *others, search = sent["toolConfig"]["tools"]
    assert (len(others), search) == (len(tools), SEARCH)
    assert answer.headers["x-outcrop-ignored"] == "web_search_options.search_context_size"
    message = answer.json()["choices"][0]["message"]
    assert (message["content"], message.get("tool_calls")) == ("It rains.", None)
    (source,) = message["annotations"]
    assert (source["type"], source["url_citation"]["url"]) == ("url_citation", "https://example.com/a")


@pytest.mark.parametrize("model", [NOVA, SONNET_45, "anthropic.claude-mythos-5", "openai.gpt-5.5"])
def test_a_search_that_no_model_makes_is_named(bedrock: AcceptingBedrock, model: str) -> None:
    answer, sent = bedrock.send("/v1/chat/completions", model=model, messages=[USER], web_search_options={})
    assert (answer.status_code, answer.headers["x-outcrop-ignored"]) == (200, "web_search_options")
    assert "tools" not in sent
    assert "toolConfig" not in sent


def test_reasoning_has_both_names(bedrock: AcceptingBedrock) -> None:
    """OpenAI's compatibility test for gpt-oss."""
    answer, _ = bedrock.send("/v1/chat/completions", model=NOVA, messages=[USER])
    message = answer.json()["choices"][0]["message"]
    assert (message["reasoning"], message["reasoning_content"]) == ("hm", "hm")


def test_the_description_of_a_schema_reaches_nova(bedrock: AcceptingBedrock) -> None:
    """OpenAI's document 2.3.0. On 965aba3 it was left out."""
    schema = {"type": "object", "properties": {}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "A city.", "schema": schema}}
    (tool,) = bedrock.chat(NOVA, response_format=wanted)["toolConfig"]["tools"]
    assert tool["toolSpec"]["description"] == "A city."
    # with tools of the caller's none can be forced
    (instruction,) = bedrock.chat(NOVA, response_format=wanted, tools=[TOOL])["system"]
    assert instruction["text"].startswith("A city.")


def test_a_loose_schema_is_named(bedrock: AcceptingBedrock) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False}}
    answer, _ = bedrock.send("/v1/chat/completions", model=SONNET_45, messages=[USER], response_format=wanted)
    assert "response_format.json_schema.strict" in answer.headers["x-outcrop-ignored"]
