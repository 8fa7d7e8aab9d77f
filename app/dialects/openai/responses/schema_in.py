"""The schema of requests, as of openai 3.57.

Source: docs/reference/contracts/openai-responses.md#request-fields
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StrictBool, Tag

from app.dialects.http.documents import InputList, InputSchema, ModelName
from app.dialects.openai.common.cache import CacheBreakpoint


class TextPart(InputSchema):
    """Text."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class ImagePart(InputSchema):
    """An image as a data: URL."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class FilePart(InputSchema):
    """A document as a data: URL, or as base64 with a file name."""

    type: Literal["input_file"]
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class RefusalPart(InputSchema):
    """A refusal of the model, sent back."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[TextPart | ImagePart | FilePart | RefusalPart, Field(discriminator="type")]


class MessageItem(InputSchema):
    """A message. Its `type` may be omitted."""

    type: Literal["message"] | None = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | InputList[Part]


class FunctionCallItem(InputSchema):
    """A call that the model made."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    status: str | None = None


class CustomCallItem(InputSchema):
    """A call of a custom tool."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    status: str | None = None


class OutputItem(InputSchema):
    """The result of a call."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str
    output: str | InputList[Part]


class ReasoningItem(InputSchema):
    """Reasoning of the model; only what this gateway signed is sent back."""

    type: Literal["reasoning"]
    encrypted_content: str | None = None


class ReferenceItem(InputSchema):
    """A reference to an item of a stored response."""

    type: Literal["item_reference"] | None = None
    id: str


class OtherItem(InputSchema):
    """An item that needs OpenAI's own servers."""

    type: str


# tags of the union below; none is the name of a member of its item, so that paths of errors name members only
_ITEMS = {
    "message": "message",
    "function_call": "function_call",
    "custom_tool_call": "custom_tool_call",
    "function_call_output": "call_output",
    "custom_tool_call_output": "call_output",
    "reasoning": "reasoning",
    "item_reference": "reference",
}


def is_reference(item: Any) -> bool:
    """Tell whether an item refers to an item of a stored response."""
    return isinstance(item, dict) and _kind(item) == "reference"


def _kind(value: Any) -> str:
    members = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    kind = members.get("type")
    if kind is None:
        # in OpenAI's API both may omit their type
        kind = "item_reference" if "id" in members and "role" not in members else "message"
    return _ITEMS.get(str(kind), "other")


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[CustomCallItem, Tag("custom_tool_call")]
    | Annotated[OutputItem, Tag("call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[ReferenceItem, Tag("reference")]
    | Annotated[OtherItem, Tag("other")],
    Discriminator(_kind),
]


class Tool(InputSchema):
    """A tool: a function, a custom tool, a namespace of functions, or one of OpenAI's own."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    tools: InputList["Tool"] | None = None


class ToolChoice(InputSchema):
    """Which tool the model must call."""

    type: str
    name: str | None = None
    namespace: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: InputList["ToolChoice"] | None = None


class Reasoning(InputSchema):
    """How much the model reasons."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: str | None = None


class TextFormat(InputSchema):
    """The format of the response's text."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextConfig(InputSchema):
    """Options of the response's text."""

    format: TextFormat | None = None


class ResponseHead(InputSchema):
    """The fields of a request that are read in every mode."""

    model: ModelName = ""
    input: str | InputList[Any] | None = None
    include: InputList[str] | None = None
    store: StrictBool | None = None
    previous_response_id: str | None = None
    stream: StrictBool | None = None
    background: StrictBool | None = None
    conversation: Any = None
    prompt: Any = None
    response_format: Any = None


class ResponseRequest(InputSchema):
    """The body of `POST /v1/responses`. See docs/reference/fields.md for each field."""

    model: ModelName = ""
    input: str | InputList[Item] = Field(default_factory=list)
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    stream: bool | None = None
    tools: InputList[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    include: InputList[str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "scale", "fast"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None
    response_format: Any = None
