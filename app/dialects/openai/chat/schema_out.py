"""The schema of responses, for the OpenAPI page. Responses are built as dicts; tests validate them by these classes."""

from typing import Any, Literal

from pydantic import Field

from app.dialects.http.documents import OutputSchema


class FunctionCallOut(OutputSchema):
    """A function and its arguments as JSON text."""

    name: str
    arguments: str


class CustomCallOut(OutputSchema):
    """A custom tool and its free text."""

    name: str
    input: str


class ToolCallOut(OutputSchema):
    """A call by the model."""

    id: str
    type: Literal["function", "custom"]
    function: FunctionCallOut | None = None
    custom: CustomCallOut | None = None


class MessageOut(OutputSchema):
    """The model's message. `thinking_blocks` go back unchanged to continue a conversation with thinking."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    annotations: list[dict[str, Any]] = Field(default_factory=list)
    tool_calls: list[ToolCallOut] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    citations: list[dict[str, Any]] | None = None
    images: list[dict[str, Any]] | None = None


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Choice(OutputSchema):
    """The one choice."""

    index: int
    message: MessageOut
    logprobs: None = None
    finish_reason: FinishReason


class PromptTokensDetails(OutputSchema):
    """Tokens of the prompt that were read from a cache or written to one."""

    cached_tokens: int
    cache_write_tokens: int


class CompletionTokensDetails(OutputSchema):
    """Tokens of reasoning, if the model reports them."""

    reasoning_tokens: int


class UsageOut(OutputSchema):
    """Tokens; `prompt_tokens` includes the cached ones."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class ChatCompletion(OutputSchema):
    """A complete response."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: UsageOut
    service_tier: str | None = None


class ChunkChoice(OutputSchema):
    """What one chunk adds."""

    index: int
    delta: dict[str, Any]
    logprobs: None = None
    finish_reason: FinishReason | None


class ChatCompletionChunk(OutputSchema):
    """One event of a stream; the last one with `include_usage` has no choices and the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: UsageOut | None = None
    service_tier: str | None = None
