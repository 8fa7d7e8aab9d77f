"""Values for capabilities: rows of the families' tables and capability overrides name only what differs.

Each group has the fields of the struct of the same group in `capability_groups`.
"""

from typing import TypedDict

from app.models.capability_groups import (
    EmbeddingMember,
    NativeSurface,
    Prefill,
    ReasoningByDefault,
    ReasoningHistory,
    ReasoningRequest,
    StructuredOutput,
    TopK,
    TranslatedTo,
)


class _ToolValues(TypedDict, total=False):
    accepted: bool
    choices: frozenset[str]
    plain_ids: bool
    fixed_list: bool
    none_field: bool
    single_call_field: bool
    web_search: str


class _SchemaValues(TypedDict, total=False):
    strict_tools: bool
    bare: bool
    bounded_grammar: bool
    top_level_unions: bool
    structured_output: StructuredOutput
    strict_format: bool


class _TurnValues(TypedDict, total=False):
    system: bool
    prefill: Prefill
    tools_apart: bool
    apart_from_results: frozenset[str]
    media_in_results: frozenset[str]
    videos: bool
    result_status: bool
    citations: bool


class _SamplingValues(TypedDict, total=False):
    accepted: bool
    temperature_with_top_p: bool
    top_k: TopK
    max_stop_sequences: int


class _CachingValues(TypedDict, total=False):
    accepted: bool
    tools: bool
    ttl: bool
    after_text_documents: bool


class _ReasoningValues(TypedDict, total=False):
    request: ReasoningRequest
    efforts: tuple[str, ...]
    adaptive_only: bool
    extra_high_effort: bool
    budget_and_effort: bool
    with_forced_tool: bool
    by_default: ReasoningByDefault
    between_tools: bool
    drop_foreign: bool
    display_field: bool
    tokens_pointer: str
    history: ReasoningHistory
    encrypted: bool


class _NativeValues(TypedDict, total=False):
    anthropic: NativeSurface
    openai_responses: NativeSurface
    openai_chat: NativeSurface
    translated_to: TranslatedTo
    sampling: bool
    counts_on_mantle: bool
    newest_anthropic_version: bool
    mantle_path: str
    mantle_dropped_suffix: str


class _EmbeddingValues(TypedDict, total=False):
    member: EmbeddingMember
    sizes: tuple[int, ...]
    batch: int
    media: frozenset[str]
    mixed: bool
    mixed_batch: bool


class _RerankValues(TypedDict, total=False):
    accepted: bool
    api_version: int


class _ContextValues(TypedDict, total=False):
    beta: str
    is_extended: bool


class _OutputValues(TypedDict, total=False):
    text: bool
    min_length: int
    default_length: int


class CapabilityValues(TypedDict, total=False):
    """Values by group, and `max_output`."""

    max_output: int
    tools: _ToolValues
    schemas: _SchemaValues
    turns: _TurnValues
    sampling: _SamplingValues
    caching: _CachingValues
    reasoning: _ReasoningValues
    native: _NativeValues
    embeddings: _EmbeddingValues
    rerank: _RerankValues
    context: _ContextValues
    output: _OutputValues


def merged(*parts: CapabilityValues) -> CapabilityValues:
    """Return the values of all parts, those of a later one before those of an earlier one."""
    whole: CapabilityValues = {}
    for part in parts:
        for group, value in part.items():
            before = whole.get(group)
            whole[group] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value  # type: ignore[literal-required]
    return whole


def names_in(values: CapabilityValues) -> list[str]:
    """Return the names of the capabilities that values are for, as `group.field`, in alphabetical order."""
    names: list[str] = []
    for group, value in values.items():
        names += [f"{group}.{name}" for name in value] if isinstance(value, dict) else [group]
    return sorted(names)
