"""An unmodified boto3 against a gateway, signing with a gateway key."""

import json
from contextlib import closing
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.end_to_end.conftest import boto_client
from tests.servers import KEY, gateway

MODELS = [
    "scripted.echo-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/amazon.nova-pro-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-5",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
]
MESSAGES: Any = [{"role": "user", "content": [{"text": "Hello, Bedrock"}]}]
ANTHROPIC = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hello"}],
}


@pytest.mark.parametrize("model", MODELS)
def test_converse_returns_the_reply_and_is_recorded(runtime: Any, records: Any, model: str) -> None:
    reply = runtime.converse(modelId=model, messages=MESSAGES)
    assert reply["output"]["message"]["content"] == [{"text": "Hello, Bedrock"}]
    record = records.by_id(reply["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
    assert (record.mode, record.surface, record.model, record.caller) == ("passthrough", "converse", model, "tests")
    assert (record.usage.input, record.usage.output) == (reply["usage"]["inputTokens"], reply["usage"]["outputTokens"])


@pytest.mark.parametrize("model", MODELS)
def test_converse_stream_returns_all_events(runtime: Any, records: Any, model: str) -> None:
    with closing(runtime.converse_stream(modelId=model, messages=MESSAGES)["stream"]) as stream:
        events = list(stream)
    assert (
        "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
        == "Hello, Bedrock"
    )
    assert [next(iter(event)) for event in (events[0], *events[-2:])] == ["messageStart", "messageStop", "metadata"]


def test_usage_of_a_stream_is_recorded(gateway_url: str, runtime: Any, records: Any) -> None:
    stream = runtime.converse_stream(modelId=MODELS[0], messages=MESSAGES)
    with closing(stream["stream"]) as events:
        usage = [event for event in events if "metadata" in event].pop()["metadata"]["usage"]
    record = records.by_id(stream["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
    assert (record.usage.input, record.usage.output) == (usage["inputTokens"], usage["outputTokens"])


def test_invoke_model_returns_the_body_and_is_recorded(runtime: Any, records: Any) -> None:
    reply = runtime.invoke_model(modelId=MODELS[1], body=json.dumps(ANTHROPIC))
    message = json.loads(reply["body"].read())
    assert message["content"] == [{"type": "text", "text": "Hello"}]
    record = records.by_id(reply["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
    assert record.usage.output == message["usage"]["output_tokens"]
    embedding = runtime.invoke_model(
        modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "a", "dimensions": 256})
    )
    assert len(json.loads(embedding["body"].read())["embedding"]) == 256


def test_invoke_model_with_response_stream_returns_all_events(runtime: Any, records: Any) -> None:
    stream = runtime.invoke_model_with_response_stream(modelId=MODELS[1], body=json.dumps(ANTHROPIC))
    with closing(stream["body"]) as body:
        kinds = [json.loads(event["chunk"]["bytes"])["type"] for event in body]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    record = records.by_id(stream["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
    assert record.usage.input > 0


def test_count_tokens_equals_the_usage_of_converse(runtime: Any) -> None:
    counted = runtime.count_tokens(modelId=MODELS[0], input={"converse": {"messages": MESSAGES}})["inputTokens"]
    assert counted == runtime.converse(modelId=MODELS[0], messages=MESSAGES)["usage"]["inputTokens"]


def test_control_plane_read_operations_succeed(control: Any) -> None:
    names = {
        model["providerName"] for model in control.list_foundation_models(byProvider="Anthropic")["modelSummaries"]
    }
    assert names == {"Anthropic"}
    assert (
        control.get_foundation_model(modelIdentifier="amazon.nova-pro-v1:0")["modelDetails"]["modelName"] == "Nova Pro"
    )
    pages = list(control.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 3}))
    assert len(pages) > 2
    arn = pages[1]["inferenceProfileSummaries"][0]["inferenceProfileArn"]
    assert control.get_inference_profile(inferenceProfileIdentifier=arn)["inferenceProfileArn"] == arn


@pytest.mark.parametrize(
    ("call", "code", "status", "words"),
    [
        ({"modelId": "no.such-model"}, "ValidationException", 400, "The provided model identifier is invalid."),
        ({"modelId": "scripted.echo-v1:0.throttle"}, "ThrottlingException", 429, "Too many requests"),
        ({"modelId": "scripted.echo-v1:0.denied"}, "AccessDeniedException", 403, "You don't have access"),
        (
            {"messages": [{"role": "assistant", "content": [{"text": "x"}]}]},
            "ValidationException",
            400,
            "must start with a user message",
        ),
    ],
)
def test_bedrock_errors_are_passed_through_unchanged(
    runtime: Any, call: Any, code: str, status: int, words: str
) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        runtime.converse(**{"modelId": "scripted.echo-v1:0", "messages": MESSAGES, **call})
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize(
    "pair",
    [pytest.param({"secret": "wrong"}, id="wrong secret"), pytest.param({"name": "unknown"}, id="unknown key")],
)
def test_authentication_errors_have_the_format_of_bedrock(gateway_url: str, pair: dict[str, str]) -> None:
    with boto_client(gateway_url, **pair) as stranger, pytest.raises(ClientError) as caught:
        stranger.converse(modelId="scripted.echo-v1:0", messages=MESSAGES)
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_timeout_is_not_retried_by_boto3(emulator_url: str, mode: str) -> None:
    retries = {"mode": mode, "total_max_attempts": 3}
    with (
        gateway(emulator_url, bedrock_read_timeout=0.3) as url,
        boto_client(url, retries=retries) as runtime,
        pytest.raises(ClientError) as caught,
    ):
        runtime.converse(modelId="scripted.echo-v1:0.never", messages=MESSAGES)
    assert caught.value.response["Error"]["Code"] == "ModelTimeoutException"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_exception_in_a_stream_raises_event_stream_error(runtime: Any) -> None:
    stream = runtime.converse_stream(modelId="scripted.long-v1:0.throttlemid-3", messages=MESSAGES)["stream"]
    with closing(stream), pytest.raises(EventStreamError, match="throttlingException"):
        list(stream)


def test_repeated_query_parameter_is_signed_and_sent(gateway_url: str) -> None:
    twice = f"{gateway_url}/foundation-models?byProvider=b%20c&byProvider=a"
    answer = httpx.get(twice, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text


def test_a_client_may_sign_for_the_regions_that_the_gateway_calls(emulator_url: str) -> None:
    route = (
        f'[routes.far]\ntargets = [{{ model = "{MODELS[0]}", region = "us-west-2", endpoint_url = "{emulator_url}" }}]'
    )
    with gateway(emulator_url, config_toml=route) as url:
        for region in ("us-east-1", "us-west-2"):
            with boto_client(url, region=region) as client:
                assert client.converse(modelId="far", messages=MESSAGES)["stopReason"] == "end_turn"
        with boto_client(url, region="eu-west-9") as client, pytest.raises(ClientError, match="us-east-1 or us-west-2"):
            client.converse(modelId="far", messages=MESSAGES)
