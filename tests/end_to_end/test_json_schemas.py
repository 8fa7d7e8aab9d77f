"""JSON schemas as people write them, for responses and tools: each model accepts them at the first attempt."""

from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field

from tests.end_to_end.conftest import Records
from tests.servers import KEY, emulator_app, gateway, serving

OTHERS = ("amazon.nova-pro-v1:0", "amazon.nova-2-lite-v1:0", "qwen.qwen3-32b-v1:0")
CLAUDES = ("anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-5")
HELLO: Any = [{"role": "user", "content": "hi"}]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: set[str] = Field(max_length=5)


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Shelter(BaseModel):
    """A shelter for animals."""

    animals: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(min_length=2, max_length=20)
    size: Size = Field(description="How large")
    code: str = Field(json_schema_extra={"pattern": r"^(?=.*\d)\w+$"})
    site: str | None = Field(None, json_schema_extra={"format": "url"})
    location: tuple[float, float] | None = None


FIELDS = {f"p{number}": {"type": ["string", "null"]} for number in range(30)}
SCHEMAS: dict[str, Any] = {
    "a shelter": Shelter.model_json_schema(),
    "alternatives": {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "integer"}]}}},
    "many members": {"type": "object", "properties": FIELDS},
    "a table": {"type": "object", "additionalProperties": {"type": "integer"}},
    "a tree": {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": {"type": "object", "properties": {"children": {"items": {"$ref": "#/$defs/Node"}}}}},
    },
    "names": {"type": "object", "propertyNames": {"pattern": "^x"}, "minProperties": 1},
}


@pytest.fixture(scope="module")
def records() -> Records:
    return Records()


@pytest.fixture(scope="module")
def url(records: Records) -> Iterator[str]:
    with serving(emulator_app()) as bedrock, gateway(bedrock, records) as base:
        with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client:
            for model in (*CLAUDES, *OTHERS):  # look up the inference profile of each model
                client.chat.completions.create(model=model, messages=HELLO)
        yield base


@pytest.mark.parametrize("model", [*CLAUDES, *OTHERS])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_response_schema_is_accepted_at_the_first_attempt(url: str, records: Records, model: str, schema: str) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS[schema], "strict": True}}
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(model=model, messages=HELLO, response_format=wanted).choices
    assert records.all[-1].attempts == 1


@pytest.mark.parametrize("model", [*CLAUDES, *OTHERS])
@pytest.mark.parametrize("count", [1, 25])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_strict_tools_are_accepted_at_the_first_attempt(
    url: str, records: Records, model: str, schema: str, count: int
) -> None:
    tools: Any = [
        {"type": "function", "function": {"name": f"t{number}", "parameters": SCHEMAS[schema], "strict": True}}
        for number in range(count)
    ]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(model=model, messages=HELLO, tools=tools).choices
    assert records.all[-1].attempts == 1


@pytest.mark.parametrize("model", CLAUDES)
@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas_of_the_messages_dialect_are_accepted(url: str, model: str, schema: str) -> None:
    wanted: Any = {"format": {"type": "json_schema", "schema": SCHEMAS[schema]}}
    tool: Any = {"name": "t", "input_schema": SCHEMAS[schema], "strict": True}
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        assert client.messages.create(model=model, max_tokens=99, messages=HELLO, output_config=wanted).content
        assert client.messages.create(model=model, max_tokens=99, messages=HELLO, tools=[tool]).content
