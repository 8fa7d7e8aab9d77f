"""AWS's own paths of OpenAI's and Anthropic's APIs, with the clients that call them at AWS."""

from typing import Any

import anthropic
import httpx
import openai
import pytest
from openai.providers import bedrock

from tests.servers import KEY, KEY_NAME

CLAUDE, GPT = "us.anthropic.claude-sonnet-4-6", "openai.gpt-5.5"
HELLO: Any = [{"role": "user", "content": "hi"}]
PAIR: Any = {"aws_access_key": KEY_NAME, "aws_secret_key": KEY, "aws_region": "us-east-1"}


def test_openai_client_at_the_path_of_mantle(gateway_url: str) -> None:
    with openai.OpenAI(base_url=f"{gateway_url}/openai/v1", api_key=KEY, max_retries=0) as client:
        chat = client.chat.completions.create(model=CLAUDE, messages=HELLO)
        assert chat.choices[0].message.content == "hi"
        with client.responses.stream(model=GPT, input="hi") as stream:
            response = stream.get_final_response()
        assert client.responses.retrieve(response.id).output_text == "hi"
        assert [item.type for item in client.responses.input_items.list(response.id)] == ["message"]
        assert CLAUDE in {model.id for model in client.models.list()}
        embedded = client.embeddings.create(model="amazon.titan-embed-text-v2:0", input="x")
        assert len(embedded.data) == 1
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="novel.model", messages=HELLO)


@pytest.mark.parametrize("endpoint", ["mantle", "runtime"])
@pytest.mark.parametrize(
    "credentials",
    [{"api_key": KEY}, {"access_key_id": KEY_NAME, "secret_access_key": KEY}],
    ids=["bearer", "signed"],
)
def test_bedrock_provider_of_openai_changes_only_its_host(gateway_url: str, endpoint: Any, credentials: Any) -> None:
    provider = bedrock(region="us-east-1", endpoint=endpoint, base_url=f"{gateway_url}/openai/v1", **credentials)
    with openai.OpenAI(provider=provider, max_retries=0) as client:
        assert client.responses.create(model=GPT, input="hi", store=False).output_text == "hi"


@pytest.mark.parametrize("credentials", [{"api_key": KEY, "aws_region": "us-east-1"}, PAIR], ids=["bearer", "signed"])
def test_mantle_client_of_anthropic_changes_only_its_host(gateway_url: str, credentials: Any) -> None:
    with anthropic.AnthropicBedrockMantle(base_url=f"{gateway_url}/anthropic", max_retries=0, **credentials) as client:
        given: Any = {"model": CLAUDE, "max_tokens": 9, "messages": HELLO}
        assert client.messages.create(**given).content[0].text == "hi"  # type: ignore[union-attr]
        with client.messages.stream(**given) as stream:
            assert stream.get_final_text() == "hi"
        assert client.messages.count_tokens(model=CLAUDE, messages=HELLO).input_tokens > 0


def test_errors_are_those_of_the_api(gateway_url: str) -> None:
    for path, kind in (
        ("/anthropic/v1/messages", "error"),
        ("/anthropic/v1/novel", "error"),
        ("/openai/v1/novel", None),
    ):
        answer = httpx.post(gateway_url + path, json={}, headers={"x-api-key": KEY})
        assert answer.json().get("type") == kind
    listed = httpx.get(
        f"{gateway_url}/anthropic/v1/models", headers={"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    )
    assert listed.json()["data"][0]["type"] == "model"


def test_openapi_page_lists_each_operation_once(gateway_url: str) -> None:
    paths = httpx.get(f"{gateway_url}/openapi.json", timeout=20).json()["paths"]
    assert "/v1/messages" in paths
    assert [path for path in paths if path.startswith(("/openai/", "/anthropic/"))] == []
