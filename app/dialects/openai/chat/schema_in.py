"""The schema of requests, as of openai 3.57.

Unknown values are refused. Unknown fields are reported as ignored.

Source: docs/reference/contracts/openai-chat.md#request-fields
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.dialects.http.documents import InputList, InputSchema, ModelName
from app.dialects.openai.common.cache import CacheBreakpoint, Markable


class TextPart(Markable):
    """Text."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class ImageUrl(InputSchema):
    """An image as a data: URL."""

    url: str


class ImagePart(Markable):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class VideoUrl(InputSchema):
    """A video as a data: URL."""

    url: str


class VideoPart(Markable):
    """A video, as vLLM and OpenRouter accept it; OpenAI has no such part."""

    type: Literal["video_url"]
    video_url: VideoUrl
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class FileData(InputSchema):
    """A document as a data: URL, or as base64 with a file name whose extension is the format."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Markable):
    """A document."""

    type: Literal["file"]
    file: FileData
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class AudioData(InputSchema):
    """Sound as base64."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Markable):
    """Sound."""

    type: Literal["input_audio"]
    input_audio: AudioData
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class RefusalPart(InputSchema):
    """A refusal of the model, sent back."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[TextPart | ImagePart | VideoPart | FilePart | AudioPart | RefusalPart, Field(discriminator="type")]
Content = str | InputList[Part] | None


class FunctionCall(InputSchema):
    """A call that the model made; `arguments` is JSON text."""

    name: str
    arguments: str = ""


class FunctionToolCall(InputSchema):
    """A call of a function."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class CustomCall(InputSchema):
    """A call with free text as input."""

    name: str
    input: str = ""


class CustomToolCall(InputSchema):
    """A call of a custom tool."""

    id: str
    type: Literal["custom"]
    custom: CustomCall


class ThinkingBlock(InputSchema):
    """Reasoning of the model, sent back with its signature."""

    type: Literal["thinking"]
    thinking: str = ""
    signature: str | None = None
    index: int | None = None


class RedactedThinkingBlock(InputSchema):
    """Reasoning that only the model can read."""

    type: Literal["redacted_thinking"]
    data: str
    index: int | None = None


class SystemMessage(Markable):
    """Instructions."""

    role: Literal["system", "developer"]
    content: Content


class UserMessage(Markable):
    """A message of the user."""

    role: Literal["user"]
    content: Content


class AssistantMessage(Markable):
    """An earlier message of the model. Members that only report, such as `citations`, are not sent to it."""

    role: Literal["assistant"]
    content: Content = None
    refusal: str | None = None
    tool_calls: InputList[Annotated[FunctionToolCall | CustomToolCall, Field(discriminator="type")]] | None = None
    annotations: InputList[Any] | None = None
    citations: InputList[Any] | None = None
    images: InputList[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: InputList[Annotated[ThinkingBlock | RedactedThinkingBlock, Field(discriminator="type")]] | None = (
        None
    )


class ToolMessage(Markable):
    """The result of a call."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str


ChatMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class FunctionDefinition(InputSchema):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Markable):
    """A function."""

    type: Literal["function"]
    function: FunctionDefinition


class CustomDefinition(InputSchema):
    """A tool that takes free text."""

    name: str
    description: str | None = None


class CustomTool(Markable):
    """A custom tool."""

    type: Literal["custom"]
    custom: CustomDefinition


ChatTool = Annotated[FunctionTool | CustomTool, Field(discriminator="type")]


class ToolName(InputSchema):
    """A tool, by name."""

    name: str


class FunctionChoice(InputSchema):
    """This function must be called."""

    type: Literal["function"]
    function: ToolName


class CustomChoice(InputSchema):
    """This custom tool must be called."""

    type: Literal["custom"]
    custom: ToolName


class AllowedTools(InputSchema):
    """A subset of the tools."""

    mode: Literal["auto", "required"]
    tools: InputList[Annotated[FunctionChoice | CustomChoice, Field(discriminator="type")]]


class AllowedToolsChoice(InputSchema):
    """Only these tools may be called."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ChatToolChoice = (
    Literal["none", "auto", "required"]
    | Annotated[FunctionChoice | CustomChoice | AllowedToolsChoice, Field(discriminator="type")]
)


class TextFormat(InputSchema):
    """Plain text."""

    type: Literal["text"]


class JsonObjectFormat(InputSchema):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(InputSchema):
    """A named JSON schema."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(InputSchema):
    """JSON that follows a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class StreamOptions(InputSchema):
    """What a stream holds besides its text."""

    include_usage: bool | None = False


class WebSearchOptions(InputSchema):
    """The model may search the web. Where and how much it searches is the model's choice."""


class ChatRequest(InputSchema):
    """The body of `POST /v1/chat/completions` in mode `translated`. See docs/reference/fields.md for each field."""

    messages: InputList[ChatMessage] = Field(min_length=1)
    model: ModelName = Field(
        "", description="A model id, an inference profile id or an ARN; the default model if left out."
    )
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    stop: str | InputList[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: InputList[ChatTool] | None = None
    tool_choice: ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "scale", "fast"] | None = None
    n: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: InputList[str] | None = None
    audio: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    web_search_options: WebSearchOptions | None = None
    functions: InputList[Any] | None = Field(None, deprecated=True)
    function_call: Any = Field(None, deprecated=True)
