"""langchain-openai and langchain-aws: a completion, a stream, a tool call, structured output, embeddings."""

import sys

from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

url, key, name = sys.argv[1:]


class Person(BaseModel):
    """A person."""

    name: str


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def openai(scene):
    model = f"scripted.{scene}-v1:0"
    return ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model, max_retries=0, stream_usage=True)


def bedrock(scene):
    return ChatBedrockConverse(
        model=f"scripted.{scene}-v1:0",
        provider="anthropic",
        disable_streaming=False,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=name,
        aws_secret_access_key=key,
    )


for make in (openai, bedrock):
    assert make("echo").invoke("hello").text == "hello"
    pieces = list(make("echo").stream("hello there"))
    assert "".join(piece.text for piece in pieces) == "hello there"
    assert len(pieces) > 1
    assert sum((piece.usage_metadata or {}).get("output_tokens", 0) for piece in pieces) > 0
    model = make("tools").bind_tools([get_weather])
    question = HumanMessage("What is the weather in Bern?")
    answer = model.invoke([question])
    (call,) = answer.tool_calls
    assert call["name"] == "get_weather"
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert "sunny" in model.invoke([question, answer, result]).text

assert isinstance(openai("structured").with_structured_output(Person).invoke("Who?"), Person)
vectors = OpenAIEmbeddings(
    base_url=f"{url}/v1", api_key=key, model="amazon.titan-embed-text-v2:0", check_embedding_ctx_length=False
)
assert [len(vector) for vector in vectors.embed_documents(["a", "b"])] == [1024, 1024]
