"""The body of Converse and ConverseStream. `modelId` travels in the path, so it is not a member here."""

from typing import Literal, Required

from typing_extensions import TypedDict

from app.converse.content import CachePointBlock, ContentBlock, Document, GuardrailConverseContentBlock


class Message(TypedDict, total=False):
    role: Required[Literal["user", "assistant", "system"]]
    content: Required[list[ContentBlock]]


class SystemContentBlock(TypedDict, total=False):
    text: str
    guardContent: GuardrailConverseContentBlock
    cachePoint: CachePointBlock


class InferenceConfiguration(TypedDict, total=False):
    maxTokens: int
    temperature: float
    topP: float
    stopSequences: list[str]


class ToolInputSchema(TypedDict, total=False):
    json: Document


class ToolSpecification(TypedDict, total=False):
    name: Required[str]
    description: str
    inputSchema: Required[ToolInputSchema]
    strict: bool


class SystemTool(TypedDict, total=False):
    name: Required[str]


class Tool(TypedDict, total=False):
    toolSpec: ToolSpecification
    systemTool: SystemTool
    cachePoint: CachePointBlock


class AutoToolChoice(TypedDict, total=False):
    pass


class AnyToolChoice(TypedDict, total=False):
    pass


class SpecificToolChoice(TypedDict, total=False):
    name: Required[str]


class ToolChoice(TypedDict, total=False):
    auto: AutoToolChoice
    any: AnyToolChoice
    tool: SpecificToolChoice


class ToolConfiguration(TypedDict, total=False):
    tools: Required[list[Tool]]
    toolChoice: ToolChoice


class GuardrailConfiguration(TypedDict, total=False):
    guardrailIdentifier: str
    guardrailVersion: str
    trace: Literal["enabled", "disabled", "enabled_full"]


class PromptVariableValues(TypedDict, total=False):
    text: str


class PerformanceConfiguration(TypedDict, total=False):
    latency: Literal["standard", "optimized"]


class ServiceTier(TypedDict, total=False):
    type: Required[Literal["priority", "default", "flex", "reserved"]]


class JsonSchemaDefinition(TypedDict, total=False):
    schema: Required[str]
    name: str
    description: str


class OutputFormatStructure(TypedDict, total=False):
    jsonSchema: JsonSchemaDefinition


class OutputFormat(TypedDict, total=False):
    type: Required[Literal["json_schema"]]
    structure: Required[OutputFormatStructure]


class OutputConfig(TypedDict, total=False):
    textFormat: OutputFormat
    effort: str


class ConverseRequest(TypedDict, total=False):
    messages: list[Message]
    system: list[SystemContentBlock]
    inferenceConfig: InferenceConfiguration
    toolConfig: ToolConfiguration
    guardrailConfig: GuardrailConfiguration
    projectIdentifier: str
    additionalModelRequestFields: Document
    promptVariables: dict[str, PromptVariableValues]
    additionalModelResponseFieldPaths: list[str]
    requestMetadata: dict[str, str]
    performanceConfig: PerformanceConfiguration
    serviceTier: ServiceTier
    outputConfig: OutputConfig


class GuardrailStreamConfiguration(TypedDict, total=False):
    guardrailIdentifier: str
    guardrailVersion: str
    trace: Literal["enabled", "disabled", "enabled_full"]
    streamProcessingMode: Literal["sync", "async"]


class ConverseStreamRequest(TypedDict, total=False):
    messages: list[Message]
    system: list[SystemContentBlock]
    inferenceConfig: InferenceConfiguration
    toolConfig: ToolConfiguration
    guardrailConfig: GuardrailStreamConfiguration
    projectIdentifier: str
    additionalModelRequestFields: Document
    promptVariables: dict[str, PromptVariableValues]
    additionalModelResponseFieldPaths: list[str]
    requestMetadata: dict[str, str]
    performanceConfig: PerformanceConfiguration
    serviceTier: ServiceTier
    outputConfig: OutputConfig
