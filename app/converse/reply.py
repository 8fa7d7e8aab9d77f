"""The answer of Converse: a reply."""

from typing import Literal, Required

from typing_extensions import TypedDict

from app.converse.content import Document
from app.converse.guardrail import GuardrailTraceAssessment
from app.converse.request import Message, PerformanceConfiguration, ServiceTier

# the stop reasons of output that Bedrock could not parse
MALFORMED_OUTPUT = frozenset({"malformed_model_output", "malformed_tool_use"})


class ConverseOutput(TypedDict, total=False):
    message: Message


class CacheDetail(TypedDict, total=False):
    ttl: Required[Literal["5m", "1h"]]
    inputTokens: Required[int]


class TokenUsage(TypedDict, total=False):
    inputTokens: Required[int]
    outputTokens: Required[int]
    totalTokens: Required[int]
    cacheReadInputTokens: int
    cacheWriteInputTokens: int
    cacheDetails: list[CacheDetail]


class ConverseMetrics(TypedDict, total=False):
    latencyMs: Required[int]


class PromptRouterTrace(TypedDict, total=False):
    invokedModelId: str


class ConverseTrace(TypedDict, total=False):
    guardrail: GuardrailTraceAssessment
    promptRouter: PromptRouterTrace


class Reply(TypedDict, total=False):
    output: Required[ConverseOutput]
    stopReason: Required[str]
    usage: Required[TokenUsage]
    metrics: Required[ConverseMetrics]
    additionalModelResponseFields: Document
    trace: ConverseTrace
    performanceConfig: PerformanceConfiguration
    serviceTier: ServiceTier
