"""The content blocks of Converse, with AWS's names of their fields.

JSON wire form: a blob is its base64 text, never bytes, so media crosses the gateway without being decoded.
Source: botocore's service model of bedrock-runtime; tests/converse/test_shapes.py holds every member equal to it.
A union has exactly one key. Keys that are not listed here stay where they are.
"""

from typing import Any, Literal, Required

from typing_extensions import TypedDict

Base64 = str
Document = Any


class S3Location(TypedDict, total=False):
    uri: Required[str]
    bucketOwner: str


class ImageSource(TypedDict, total=False):
    bytes: Base64
    s3Location: S3Location


class ErrorBlock(TypedDict, total=False):
    message: str


class ImageBlock(TypedDict, total=False):
    format: Required[Literal["png", "jpeg", "gif", "webp"]]
    source: Required[ImageSource]
    error: ErrorBlock


class DocumentContentBlock(TypedDict, total=False):
    text: str


class DocumentSource(TypedDict, total=False):
    bytes: Base64
    s3Location: S3Location
    text: str
    content: list[DocumentContentBlock]


class CitationsConfig(TypedDict, total=False):
    enabled: Required[bool]


class DocumentBlock(TypedDict, total=False):
    format: str
    name: Required[str]
    source: Required[DocumentSource]
    context: str
    citations: CitationsConfig


class VideoSource(TypedDict, total=False):
    bytes: Base64
    s3Location: S3Location


class VideoBlock(TypedDict, total=False):
    format: Required[str]
    source: Required[VideoSource]


class AudioSource(TypedDict, total=False):
    bytes: Base64
    s3Location: S3Location


class AudioBlock(TypedDict, total=False):
    format: Required[str]
    source: Required[AudioSource]
    error: ErrorBlock


class ToolUseBlock(TypedDict, total=False):
    toolUseId: Required[str]
    name: Required[str]
    input: Required[Document]
    type: Literal["server_tool_use"]


class SearchResultContentBlock(TypedDict, total=False):
    text: Required[str]


class SearchResultBlock(TypedDict, total=False):
    source: Required[str]
    title: Required[str]
    content: Required[list[SearchResultContentBlock]]
    citations: CitationsConfig


class ToolResultContentBlock(TypedDict, total=False):
    json: Document
    text: str
    image: ImageBlock
    document: DocumentBlock
    video: VideoBlock
    searchResult: SearchResultBlock


class ToolResultBlock(TypedDict, total=False):
    toolUseId: Required[str]
    content: Required[list[ToolResultContentBlock]]
    status: Literal["success", "error"]
    type: str


class GuardrailConverseTextBlock(TypedDict, total=False):
    text: Required[str]
    qualifiers: list[Literal["grounding_source", "query", "guard_content"]]


class GuardrailConverseImageSource(TypedDict, total=False):
    bytes: Base64


class GuardrailConverseImageBlock(TypedDict, total=False):
    format: Required[Literal["png", "jpeg"]]
    source: Required[GuardrailConverseImageSource]


class GuardrailConverseContentBlock(TypedDict, total=False):
    text: GuardrailConverseTextBlock
    image: GuardrailConverseImageBlock


class CachePointBlock(TypedDict, total=False):
    type: Required[Literal["default"]]
    ttl: Literal["5m", "1h"]


class ReasoningTextBlock(TypedDict, total=False):
    text: Required[str]
    signature: str


class ReasoningContentBlock(TypedDict, total=False):
    reasoningText: ReasoningTextBlock
    redactedContent: Base64


class CitationGeneratedContent(TypedDict, total=False):
    text: str


class CitationSourceContent(TypedDict, total=False):
    text: str


class WebLocation(TypedDict, total=False):
    url: str
    domain: str


class DocumentCharLocation(TypedDict, total=False):
    documentIndex: int
    start: int
    end: int


class DocumentPageLocation(TypedDict, total=False):
    documentIndex: int
    start: int
    end: int


class DocumentChunkLocation(TypedDict, total=False):
    documentIndex: int
    start: int
    end: int


class SearchResultLocation(TypedDict, total=False):
    searchResultIndex: int
    start: int
    end: int


class CitationLocation(TypedDict, total=False):
    web: WebLocation
    documentChar: DocumentCharLocation
    documentPage: DocumentPageLocation
    documentChunk: DocumentChunkLocation
    searchResultLocation: SearchResultLocation


class Citation(TypedDict, total=False):
    title: str
    source: str
    sourceContent: list[CitationSourceContent]
    location: CitationLocation


class CitationsContentBlock(TypedDict, total=False):
    content: list[CitationGeneratedContent]
    citations: list[Citation]


class ToolReference(TypedDict, total=False):
    type: str
    name: str
    serverName: str


class ToolAdditionBlock(TypedDict, total=False):
    tool: Required[ToolReference]


class ToolRemovalBlock(TypedDict, total=False):
    tool: Required[ToolReference]


class ContentBlock(TypedDict, total=False):
    text: str
    image: ImageBlock
    document: DocumentBlock
    video: VideoBlock
    audio: AudioBlock
    toolUse: ToolUseBlock
    toolResult: ToolResultBlock
    guardContent: GuardrailConverseContentBlock
    cachePoint: CachePointBlock
    reasoningContent: ReasoningContentBlock
    citationsContent: CitationsContentBlock
    searchResult: SearchResultBlock
    toolAddition: ToolAdditionBlock
    toolRemoval: ToolRemovalBlock
