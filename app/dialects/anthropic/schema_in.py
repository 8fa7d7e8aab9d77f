"""The schema of requests, as of anthropic 2.14.

It applies to translated requests only: in native mode Bedrock validates the body.

Source: docs/reference/contracts/anthropic-messages.md#request-fields
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from app.dialects.http.documents import InputList, InputSchema, ModelName


class CacheControl(InputSchema):
    """Everything up to here may be cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Cacheable(InputSchema):
    """What may end a cached prefix."""

    cache_control: CacheControl | None = None


class Base64Source(InputSchema):
    """Media as base64."""

    type: Literal["base64"]
    media_type: str
    data: str


class UrlSource(InputSchema):
    """Media at a URL."""

    type: Literal["url"]
    url: str


class FileSource(InputSchema):
    """Media that was uploaded to Anthropic."""

    type: Literal["file"]
    file_id: str


class TextSource(InputSchema):
    """A document of plain text."""

    type: Literal["text"]
    media_type: str = "text/plain"
    data: str


class TextBlock(Cacheable):
    """Text. `citations` are those of an earlier response."""

    type: Literal["text"]
    text: str
    citations: InputList[dict[str, Any]] | None = None


class ImageBlock(Cacheable):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource | FileSource, Field(discriminator="type")]


class ContentSource(InputSchema):
    """A document of pieces, each of which can be cited."""

    type: Literal["content"]
    content: str | InputList[TextBlock]


class CitationsConfig(InputSchema):
    """Whether the response cites this."""

    enabled: bool | None = None


class DocumentBlock(Cacheable):
    """A document."""

    type: Literal["document"]
    source: Annotated[Base64Source | TextSource | ContentSource | UrlSource | FileSource, Field(discriminator="type")]
    title: str | None = None
    context: str | None = None
    citations: CitationsConfig | None = None


class SearchResultBlock(Cacheable):
    """The result of a search."""

    type: Literal["search_result"]
    source: str
    title: str
    content: InputList[TextBlock]
    citations: CitationsConfig | None = None


class ThinkingBlock(InputSchema):
    """Reasoning of the model, sent back with its signature."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(InputSchema):
    """Reasoning that only the model can read."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(Cacheable):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OtherBlock(InputSchema):
    """A block that only Anthropic's own servers support, such as a call of their tools."""

    type: str
    id: Any = None
    name: Any = None
    input: Any = None
    tool_use_id: Any = None
    content: Any = None


class ToolReferenceBlock(InputSchema):
    """A tool that was found by a search."""

    type: Literal["tool_reference"]
    tool_name: str


_PARTS = frozenset({"text", "image", "document", "search_result", "tool_reference"})


def _part_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) and kind in _PARTS else "other"


Part = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[DocumentBlock, Tag("document")]
    | Annotated[SearchResultBlock, Tag("search_result")]
    | Annotated[ToolReferenceBlock, Tag("tool_reference")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(_part_kind),
]


class ToolResultBlock(Cacheable):
    """The result of a call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | InputList[Part] | None = None
    is_error: bool | None = None


_BLOCKS = {
    "text": TextBlock,
    "image": ImageBlock,
    "document": DocumentBlock,
    "search_result": SearchResultBlock,
    "thinking": ThinkingBlock,
    "redacted_thinking": RedactedThinkingBlock,
    "tool_use": ToolUseBlock,
    "tool_result": ToolResultBlock,
}


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) and kind in _BLOCKS else "other"


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[DocumentBlock, Tag("document")]
    | Annotated[SearchResultBlock, Tag("search_result")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[RedactedThinkingBlock, Tag("redacted_thinking")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(_kind),
]


class Message(InputSchema):
    """A turn. One of role `system` may be inside a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | InputList[Block]


class Tool(Cacheable):
    """A tool. A `type` other than `custom` is one of Anthropic's own, which has no schema."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None


class ToolChoice(InputSchema):
    """Which tool the model must call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(InputSchema):
    """Whether the model reasons, and how much."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = Field(None, ge=1024)
    display: str | None = None


class Format(InputSchema):
    """The response is JSON of a schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(InputSchema):
    """The effort, and the format of the response."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Metadata(InputSchema):
    """About the request."""

    user_id: str | None = None


class MessagesRequest(InputSchema):
    """A request for a message."""

    model: ModelName = ""
    max_tokens: int = Field(ge=0)
    messages: InputList[Message] = Field(min_length=1)
    system: str | InputList[TextBlock] | None = None
    stop_sequences: InputList[str] | None = None
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    thinking: Thinking | None = None
    tools: InputList[Tool] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: CacheControl | None = None
    mcp_servers: InputList[Any] | None = None
    container: Any = None


class CountTokensRequest(MessagesRequest):
    """A request for the number of its tokens."""

    max_tokens: int | None = 1  # type: ignore[assignment]
