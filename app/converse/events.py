"""The answer of ConverseStream: events, each a dict with exactly one key.

Text, reasoning and citations start with their first delta; only tool uses, tool results and images have a
`contentBlockStart` (every recorded stream agrees).

Source: docs/reference/contracts/bedrock-wire.md#converse-stream
"""

from typing import Literal, Required

from typing_extensions import TypedDict

from app.converse.content import Base64, CitationLocation, Document, ErrorBlock, ImageSource
from app.converse.guardrail import GuardrailTraceAssessment
from app.converse.reply import PromptRouterTrace, TokenUsage
from app.converse.request import PerformanceConfiguration, ServiceTier


class MessageStartEvent(TypedDict, total=False):
    role: Required[Literal["user", "assistant", "system"]]


class ToolUseBlockStart(TypedDict, total=False):
    toolUseId: Required[str]
    name: Required[str]
    type: Literal["server_tool_use"]


class ToolResultBlockStart(TypedDict, total=False):
    toolUseId: Required[str]
    type: str
    status: Literal["success", "error"]


class ImageBlockStart(TypedDict, total=False):
    format: Required[Literal["png", "jpeg", "gif", "webp"]]


class ContentBlockStart(TypedDict, total=False):
    toolUse: ToolUseBlockStart
    toolResult: ToolResultBlockStart
    image: ImageBlockStart


class ContentBlockStartEvent(TypedDict, total=False):
    start: Required[ContentBlockStart]
    contentBlockIndex: Required[int]


class ToolUseBlockDelta(TypedDict, total=False):
    input: Required[str]


class ToolResultBlockDelta(TypedDict, total=False):
    text: str
    json: Document


class ReasoningContentBlockDelta(TypedDict, total=False):
    text: str
    redactedContent: Base64
    signature: str


class CitationSourceContentDelta(TypedDict, total=False):
    text: str


class CitationsDelta(TypedDict, total=False):
    title: str
    source: str
    sourceContent: list[CitationSourceContentDelta]
    location: CitationLocation


class ImageBlockDelta(TypedDict, total=False):
    source: ImageSource
    error: ErrorBlock


class ContentBlockDelta(TypedDict, total=False):
    text: str
    toolUse: ToolUseBlockDelta
    toolResult: list[ToolResultBlockDelta]
    reasoningContent: ReasoningContentBlockDelta
    citation: CitationsDelta
    image: ImageBlockDelta


class ContentBlockDeltaEvent(TypedDict, total=False):
    delta: Required[ContentBlockDelta]
    contentBlockIndex: Required[int]


class ContentBlockStopEvent(TypedDict, total=False):
    contentBlockIndex: Required[int]


class MessageStopEvent(TypedDict, total=False):
    stopReason: Required[str]
    additionalModelResponseFields: Document


class StreamMetrics(TypedDict, total=False):
    latencyMs: Required[int]


class StreamTrace(TypedDict, total=False):
    guardrail: GuardrailTraceAssessment
    promptRouter: PromptRouterTrace


class MetadataEvent(TypedDict, total=False):
    usage: Required[TokenUsage]
    metrics: Required[StreamMetrics]
    trace: StreamTrace
    performanceConfig: PerformanceConfiguration
    serviceTier: ServiceTier


class InternalServerException(TypedDict, total=False):
    message: str


class ModelStreamErrorException(TypedDict, total=False):
    message: str
    originalStatusCode: int
    originalMessage: str


class ValidationException(TypedDict, total=False):
    message: str


class ThrottlingException(TypedDict, total=False):
    message: str


class ServiceUnavailableException(TypedDict, total=False):
    message: str


class Event(TypedDict, total=False):
    messageStart: MessageStartEvent
    contentBlockStart: ContentBlockStartEvent
    contentBlockDelta: ContentBlockDeltaEvent
    contentBlockStop: ContentBlockStopEvent
    messageStop: MessageStopEvent
    metadata: MetadataEvent
    internalServerException: InternalServerException
    modelStreamErrorException: ModelStreamErrorException
    validationException: ValidationException
    throttlingException: ThrottlingException
    serviceUnavailableException: ServiceUnavailableException
