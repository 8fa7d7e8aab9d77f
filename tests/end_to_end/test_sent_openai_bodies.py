"""What reaches Bedrock for requests to GPT, Grok, Kimi, GLM and Palmyra, each named with its source."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.accepting import USER, AcceptingBedrock, SentRequest
from tests.servers import gateway, upstream

SOL, MANTLE, GPT_6, GROK, GROK_47, KIMI = (
    "us.openai.gpt-5.6-sol",
    "openai.gpt-5.5",
    "us.openai.gpt-6-terra",
    "us.xai.grok-4.6",
    "us.xai.grok-4.7",
    "us.moonshotai.kimi-k3",
)
FUNCTION: Any = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
# tools that are not run by the caller's functions
TOOLS: list[Any] = [
    FUNCTION,
    {"type": "mcp", "server_label": "s", "server_url": "https://example.com/mcp"},
    {"type": "apply_patch"},
    {"type": "tool_search"},
    {"type": "computer"},
    {"type": "web_search"},
    {"type": "image_generation"},
]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg=="
REFUSED_FIELDS = {"topP", "temperature"}


class RefusingBedrock(AcceptingBedrock):
    """Refuses a field of inferenceConfig for the models `novel.*`, in Bedrock's words."""

    def reply(self, request: SentRequest) -> Any:
        if "/novel." in request.path:
            for name in request.body.get("inferenceConfig", {}).keys() & REFUSED_FIELDS:
                words = f"This model doesn't support the {name} field. Remove {name} and try again."
                return {"refused": {"message": words}}
        return super().reply(request)


@pytest.fixture(scope="module")
def bedrock() -> Iterator[AcceptingBedrock]:
    made = RefusingBedrock()
    with upstream(made.handle) as address, gateway(address, retry_budget=10) as made.url:
        yield made


def fields(sent: Any) -> Any:
    return sent.get("additionalModelRequestFields", {})


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (SOL, ["function", "mcp", "apply_patch", "tool_search", "computer"]),
        (MANTLE, ["function", "mcp", "tool_search", "web_search"]),
    ],
    ids=["runtime", "mantle"],
)
def test_tools_reach_the_surface_that_accepts_them(bedrock: AcceptingBedrock, model: str, kinds: list[str]) -> None:
    """litellm#38489 (the runtime's own error names what it accepts), litellm#38227 (mantle)."""
    answer, sent = bedrock.send("/v1/responses", model=model, input="hi", store=False, tools=TOOLS)
    assert answer.status_code == 200, answer.text
    assert [tool["type"] for tool in sent["tools"]] == kinds
    named = [f"tools[{index}]" for index, tool in enumerate(TOOLS) if tool["type"] not in kinds]
    assert answer.headers["x-outcrop-ignored"].split(", ") == named


def test_a_deferred_function_is_loaded_where_nothing_searches_for_it(bedrock: AcceptingBedrock) -> None:
    """litellm#38489. On 965aba3 the search was dropped and the function stayed deferred: no model could reach it."""
    deferred = {**FUNCTION, "defer_loading": True}
    assert bedrock.respond(SOL, tools=[deferred, {"type": "tool_search"}])["tools"] == [
        deferred,
        {"type": "tool_search"},
    ]
    assert "defer_loading" not in bedrock.respond(SOL, tools=[deferred])["tools"][0]


def test_mantle_gets_the_values_that_it_accepts(bedrock: AcceptingBedrock) -> None:
    """As litellm 1.110.2 has it for mantle."""
    asked = {"service_tier": "priority", "reasoning": {"effort": "low", "summary": "detailed"}}
    sent = bedrock.respond(MANTLE, **asked)
    assert "service_tier" not in sent
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}


@pytest.mark.parametrize("name", ["temperature", "top_p"])
@pytest.mark.parametrize("path", ["chat", "messages"])
@pytest.mark.parametrize("model", [GROK, GROK_47])
def test_grok_gets_no_sampling(bedrock: AcceptingBedrock, model: str, path: str, name: str) -> None:
    """hermes#111043, hermes#111438, sample-kolya-br-proxy#104."""
    sent = bedrock.chat(model, **{name: 0.5}) if path == "chat" else bedrock.message(model, **{name: 0.5})
    assert sent.get("inferenceConfig", {}).keys() & {"temperature", "topP"} == set()


@pytest.mark.parametrize(("body", "adjusted"), [({"temperature": 0.5}, "temperature"), ({"top_p": 0.5}, "top_p")])
def test_a_field_that_a_new_model_does_not_support_is_left_out(
    bedrock: AcceptingBedrock, body: Any, adjusted: str
) -> None:
    """hermes#111043: "This model doesn't support the X field. Remove X and try again." On 965aba3 it was the answer."""
    model = f"novel.{adjusted.replace('_', '-')}-v1:0"
    for calls in (2, 1):
        answer, _ = bedrock.send("/v1/chat/completions", model=model, messages=[USER], **body)
        assert answer.status_code == 200, answer.text
        assert len(bedrock.requests) == calls
        assert answer.headers["x-outcrop-adjusted"] == adjusted


@pytest.mark.parametrize(
    ("model", "effort", "sent_effort"),
    [
        (SOL, "minimal", "low"),
        (GPT_6, "minimal", "low"),
        ("us.openai.gpt-6.1-sol", "none", "low"),
        ("us.openai.gpt-6-astra", "none", "low"),
        (SOL, "none", "none"),
    ],
)
def test_efforts_of_gpt_are_those_that_it_accepts(
    bedrock: AcceptingBedrock, model: str, effort: str, sent_effort: str
) -> None:
    """stdapi#283, opencode#48195, langchain-aws 1.9.1."""
    assert fields(bedrock.chat(model, reasoning_effort=effort))["reasoning"] == {"effort": sent_effort}
    assert bedrock.respond(model, reasoning={"effort": effort})["reasoning"]["effort"] == sent_effort


@pytest.mark.parametrize(
    ("model", "sent_fields"),
    [
        (GROK, {"reasoning": {"effort": "high"}}),
        (GROK_47, {"reasoning": {"effort": "high"}}),
        ("zai.glm-4.7", {"reasoning_effort": "high"}),
        ("zai.glm-5", {"reasoning_effort": "high"}),
        ("zai.glm-5.3", {"reasoning_effort": "high"}),
        ("moonshotai.kimi-k2.5", {"reasoning_effort": "high"}),
        (KIMI, {"reasoning_effort": "high"}),
        ("deepseek.v3.2", {"reasoning_effort": "high"}),
    ],
)
def test_an_effort_reaches_the_models_that_have_one(bedrock: AcceptingBedrock, model: str, sent_fields: Any) -> None:
    """pydantic-ai 2.68, langchain-aws 1.9.1, models.dev. On 965aba3 it was ignored."""
    assert fields(bedrock.chat(model, reasoning_effort="high")) == sent_fields


@pytest.mark.parametrize("model", [SOL, GPT_6, GROK, GROK_47, KIMI])
def test_a_length_is_raised_to_what_the_model_accepts(bedrock: AcceptingBedrock, model: str) -> None:
    """At least 16: litellm 1.110.2."""
    assert bedrock.chat(model, max_tokens=5)["inferenceConfig"]["maxTokens"] == 16
    assert bedrock.respond(model, max_output_tokens=5)["max_output_tokens"] == 16


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("openai.gpt-5.4", "/openai/v1/responses"),
        ("openai.gpt-5.5", "/openai/v1/responses"),
        ("us.openai.gpt-5.5", "/openai/v1/responses"),
        ("global.openai.gpt-5.4", "/openai/v1/responses"),
        ("openai.gpt-5.6-sol", "/openai/v1/responses"),
        ("openai.gpt-6-terra", "/openai/v1/responses"),
        (SOL, "/model/us.openai.gpt-5.6-sol/converse"),
    ],
)
@pytest.mark.parametrize("path", ["chat", "messages"])
def test_gpt_is_called_where_the_id_is_served(bedrock: AcceptingBedrock, model: str, start: str, path: str) -> None:
    """AWS user guide, model cards; litellm#35968, litellm#36649, stdapi#134."""
    sent = bedrock.chat(model) if path == "chat" else bedrock.message(model)
    (request,) = bedrock.requests
    assert request.path == start
    assert sent.get("model", model) == model
    is_on_mantle = model.startswith("openai.")
    assert ("/bedrock-mantle/aws4_request" in request.head) == is_on_mantle


@pytest.mark.parametrize(
    ("model", "is_on_mantle"),
    [("us.openai.gpt-5.5", False), ("openai.gpt-5.6-sol", True), ("openai.gpt-6-terra", True), (SOL, False)],
)
def test_responses_stay_at_the_id_that_the_caller_names(
    bedrock: AcceptingBedrock, model: str, is_on_mantle: bool
) -> None:
    """AWS user guide, model cards: a profile has its own regions, quota and permissions; litellm#37995, stdapi#186."""
    assert bedrock.respond(model)["model"] == model
    (request,) = bedrock.requests
    assert ("/bedrock-mantle/aws4_request" in request.head) == is_on_mantle


@pytest.mark.parametrize("part", ["image_url", "file_url"])
def test_media_by_url_are_refused_before_the_runtime_refuses_them(bedrock: AcceptingBedrock, part: str) -> None:
    """The runtime takes `data:` and `s3:` only (litellm 1.110.2). On 965aba3 the URL reached it."""
    content = {"type": "input_image" if part == "image_url" else "input_file", part: "https://example.com/a.png"}
    given = [{"role": "user", "content": [content]}]
    answer, sent = bedrock.send("/v1/responses", model=SOL, input=given, store=False)
    assert (answer.status_code, sent) == (400, None)
    assert answer.json()["error"]["param"] == f"input[0].content[0].{part}"
    data = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    assert bedrock.respond(SOL, input=[{"role": "user", "content": [data]}])["input"][0]["content"] == [data]


def test_palmyra_gets_results_alone_and_without_status(bedrock: AcceptingBedrock) -> None:
    """pydantic-ai 2.68, live: "This model doesn't support the status field"."""
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": True}
    messages = [
        USER,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result, {"type": "text", "text": "and now?"}]},
    ]
    tools = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    sent = bedrock.message("us.writer.palmyra-x5-v1:0", messages=messages, tools=tools)
    turns = [[next(iter(block)) for block in message["content"]] for message in sent["messages"]]
    assert ["toolResult"] in turns
    (found,) = [block["toolResult"] for turn in sent["messages"] for block in turn["content"] if "toolResult" in block]
    assert "status" not in found


@pytest.mark.parametrize(
    "model",
    [
        "deepseek.v3.2",
        "moonshotai.kimi-k2.5",
        KIMI,
        "nvidia.nemotron-nano-3-30b",
        "mistral.mistral-large-3-675b-instruct",
        "mistral.ministral-3-8b-instruct",
        "mistral.magistral-small-2509",
        "mistral.voxtral-mini-3b-2507",
    ],
)
def test_a_schema_reaches_the_models_that_enforce_it(bedrock: AcceptingBedrock, model: str) -> None:
    """pydantic-ai 2.68; AWS model cards. On 965aba3 a tool was forced, or an instruction given."""
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    sent = bedrock.chat(model, response_format=wanted)
    assert sent["outputConfig"]["textFormat"]["type"] == "json_schema"
    assert "toolConfig" not in sent


@pytest.mark.parametrize(
    "model",
    [
        "deepseek.v3.1",
        "qwen.qwen3-coder-480b-a35b-instruct",
        "zai.glm-4.6",
        "openai.gpt-oss-20b",
        "openai.gpt-oss-120b",
    ],
)
@pytest.mark.parametrize("path", ["chat", "messages"])
def test_an_id_of_mantle_is_called_there(bedrock: AcceptingBedrock, model: str, path: str) -> None:
    """AWS user guide, models by API; litellm#29490, live. On 965aba3 Converse was called, which answers 404."""
    sent = bedrock.chat(model) if path == "chat" else bedrock.message(model)
    (request,) = bedrock.requests
    assert sent["model"] == model
    assert request.path == ("/v1/responses" if "gpt-oss" in model else "/v1/chat/completions")
