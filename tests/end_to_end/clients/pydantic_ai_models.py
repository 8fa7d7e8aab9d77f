"""pydantic-ai with its OpenAI, Anthropic and Bedrock models: a completion, a stream, a tool call, structured output."""

import asyncio
import sys

import boto3
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.bedrock import BedrockProvider
from pydantic_ai.providers.openai import OpenAIProvider

url, key, name = sys.argv[1:]
runtime = boto3.client(
    "bedrock-runtime",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id=name,
    aws_secret_access_key=key,
)


class Person(BaseModel):
    """A person."""

    name: str


def models(scene):
    model = f"scripted.{scene}-v1:0"
    yield OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key))
    yield AnthropicModel(model, provider=AnthropicProvider(base_url=url, api_key=key))
    yield BedrockConverseModel(model, provider=BedrockProvider(bedrock_client=runtime))


async def main():
    for model in models("echo"):
        result = await Agent(model).run("hello")
        assert result.output == "hello", result.output
        async with Agent(model).run_stream("hello") as stream:
            assert await stream.get_output() == "hello"
    for model in models("tools"):
        agent = Agent(model)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """The weather of a city."""
            return f"sunny in {city}"

        result = await agent.run("What is the weather in Bern?")
        assert "sunny" in result.output, result.output
    for model in models("toolonly"):
        result = await Agent(model, output_type=Person).run("Who?")
        assert isinstance(result.output, Person)


asyncio.run(main())
