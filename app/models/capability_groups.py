"""The capabilities of a model, in groups by topic.

The defaults describe a model that no row describes. They forbid nothing that Converse allows, so that an unknown model
gets the call as the caller sent it. One default is an exception: reasoning without a signature is not sent back, since
a model behind an ARN may be a Claude, which refuses it.
"""

from typing import Literal

from msgspec import Struct

from app.converse.call import Surface

Prefill = Literal["free", "trimmed", "refused"]
ReasoningRequest = Literal["none", "budget", "adaptive", "max_effort", "effort", "nested", "config"]
ReasoningByDefault = Literal["no", "yes", "always"]
ReasoningHistory = Literal["signed", "encrypted", "none"]
StructuredOutput = Literal["native", "tool", "prompt"]
EmbeddingMember = Literal["", "inputText", "inputTextOrImage", "texts", "singleEmbeddingParams", "inputType"]
TopK = Literal["none", "field", "nested"]
# the format into which calls are translated that no surface takes as they are
TranslatedTo = Literal["converse", "anthropic", "openai_responses", "openai_chat"]
# the surfaces that serve bodies of a dialect as they are
NativeSurface = Literal[Surface.INVOKE, Surface.OPENAI, Surface.MANTLE]


class ToolCapabilities(Struct, frozen=True):
    """Which tool configuration a model accepts."""

    accepted: bool = True
    """Accepts `toolConfig` at all."""
    choices: frozenset[str] = frozenset({"any", "tool"})
    """Members of `toolChoice` that it accepts besides `auto`."""
    plain_ids: bool = False
    """Accepts no `.` or `:` in the ids of calls."""
    fixed_list: bool = False
    """Checks its reasoning against the list of tools, so that a tool is not left out for one turn."""
    none_field: bool = False
    """Accepts `tool_choice: {"type": "none"}` in additionalModelRequestFields."""
    single_call_field: bool = False
    """Accepts `disable_parallel_tool_use` in additionalModelRequestFields."""
    web_search: str = ""
    """Name of the system tool by which it searches the web; empty where it has none."""


class SchemaCapabilities(Struct, frozen=True):
    """Which JSON schemas a model accepts."""

    strict_tools: bool = False
    """Accepts `strict` in a tool's specification."""
    bare: bool = False
    """Accepts only the members of an object at the top of a tool's schema, and no definitions."""
    bounded_grammar: bool = False
    """Limits the strict schemas, optional members and alternatives of one call together."""
    top_level_unions: bool = True
    """Accepts `anyOf`, `oneOf` and `allOf` at the top of a tool's schema."""
    structured_output: StructuredOutput = "tool"
    """What enforces a JSON schema of the answer: `outputConfig.textFormat`, a forced tool, or an instruction."""
    strict_format: bool = False
    """Needs `text.format.strict` in additionalModelRequestFields, and a schema whose members are all required."""


class TurnCapabilities(Struct, frozen=True):
    """Which turns a model accepts, and which blocks in one turn."""

    system: bool = False
    """Accepts messages of role `system` in the middle of a conversation."""
    prefill: Prefill = "free"
    """Whether it continues a last turn of the assistant: always, unless white space ends the turn, or never."""
    tools_apart: bool = False
    """Accepts no other block in one turn with tool calls, or with tool results."""
    apart_from_results: frozenset[str] = frozenset()
    """Kinds of content that it does not accept in one turn with tool results."""
    media_in_results: frozenset[str] = frozenset({"image", "document", "video"})
    """Kinds of media that it accepts in a tool result."""
    videos: bool = True
    """Accepts videos."""
    result_status: bool = True
    """Accepts `status` in a tool result."""
    citations: bool = True
    """Accepts documents and search results with citations."""


class SamplingCapabilities(Struct, frozen=True):
    """Which parameters of inference a model accepts."""

    accepted: bool = True
    """Accepts temperature and topP at all."""
    temperature_with_top_p: bool = True
    """Accepts both in one call."""
    top_k: TopK = "none"
    """Accepts top_k: not at all, as a field of its own, or inside a field `inferenceConfig`."""
    max_stop_sequences: int = 2500
    """How many stop sequences it accepts."""


class CachingCapabilities(Struct, frozen=True):
    """Which cache points a model accepts."""

    accepted: bool = True
    """Accepts cache points at all."""
    tools: bool = True
    """Accepts cache points among its tools."""
    ttl: bool = False
    """Accepts a `ttl` in a cache point."""
    after_text_documents: bool = True
    """Accepts a cache point directly after a document that is not PDF and has no citations."""


class ReasoningCapabilities(Struct, frozen=True):
    """How a model is made to reason, and which reasoning it accepts."""

    request: ReasoningRequest = "none"
    """How reasoning is requested: not at all, by a token budget, adaptively with an effort, by a `maxReasoningEffort`
    in `reasoningConfig`, by a field `reasoning_effort` or `reasoning_config`, or by an `effort` inside `reasoning`."""
    efforts: tuple[str, ...] = ()
    """The efforts that its field accepts, the lowest first; empty where the form of the request has its own scale."""
    adaptive_only: bool = False
    """Accepts no token budget beside the adaptive request."""
    extra_high_effort: bool = False
    """Accepts the effort `xhigh`, between `high` and `max`."""
    budget_and_effort: bool = False
    """Accepts an effort up to `high` beside a budget, in Anthropic's own format."""
    with_forced_tool: bool = False
    """Accepts a forced tool while it reasons."""
    by_default: ReasoningByDefault = "no"
    """Whether it reasons without a request: no, yes unless it is told not to, or always."""
    between_tools: bool = False
    """Accepts the type `between_tools`, its lowest setting, where others accept `disabled`."""
    drop_foreign: bool = False
    """Is told to drop reasoning that belongs to another conversation, after it has refused the call for it."""
    display_field: bool = False
    """Shows its reasoning only on request."""
    tokens_pointer: str = ""
    """JSON pointer in its own reply to the number of reasoning tokens; empty where it does not report them."""
    history: ReasoningHistory = "signed"
    """Which reasoning of earlier turns it accepts: with a signature, as a surface of OpenAI's encrypted it, or none."""
    encrypted: bool = False
    """Returns its reasoning encrypted on request, and accepts it back."""


class NativeCapabilities(Struct, frozen=True):
    """Which surface accepts bodies of a dialect unchanged, by the format of the body. All others are translated."""

    anthropic: NativeSurface | Literal[""] = ""
    """Surface for Anthropic's Messages; empty where there is none."""
    openai_responses: NativeSurface | Literal[""] = ""
    """Surface for OpenAI's Responses; empty where there is none."""
    openai_chat: NativeSurface | Literal[""] = ""
    """Surface for OpenAI's Chat Completions; empty where there is none."""
    translated_to: TranslatedTo = "converse"
    """Format into which all other calls are translated; not Converse where that does not serve the model."""
    sampling: bool = True
    """Accepts temperature and top_p in bodies of OpenAI's formats."""
    counts_on_mantle: bool = False
    """Its tokens are counted by Messages on mantle, and not by CountTokens."""
    newest_anthropic_version: bool = False
    """Accepts Anthropic's version 2026-10-21 beside the one of 2023."""
    mantle_path: str = "/openai/v1"
    """Beginning of its paths on the surface `mantle`."""
    mantle_dropped_suffix: str = ""
    """End of its base id that its id on `mantle` does not have."""

    def surface(self, body_format: str) -> NativeSurface | Literal[""]:
        """Return the surface that accepts a format."""
        match body_format:
            case "anthropic":
                return self.anthropic
            case "openai_responses":
                return self.openai_responses
            case "openai_chat":
                return self.openai_chat
            case _:
                return ""

    def formats(self, surface: NativeSurface) -> list[str]:
        """Return the formats that a surface accepts."""
        return [name for name in ("anthropic", "openai_chat", "openai_responses") if self.surface(name) == surface]


class EmbeddingCapabilities(Struct, frozen=True):
    """How a model embeds texts and media."""

    member: EmbeddingMember = ""
    """Member of its bodies that tells their form; empty where it makes no embeddings."""
    sizes: tuple[int, ...] = ()
    """Dimensions of its vectors, the default first."""
    batch: int = 1
    """How many inputs it accepts in one call."""
    media: frozenset[str] = frozenset()
    """Kinds of media that it embeds."""
    mixed: bool = False
    """Embeds a text together with an image."""
    mixed_batch: bool = False
    """Embeds several inputs of texts and images in one call, and several images in one input."""


class RerankCapabilities(Struct, frozen=True):
    """How a model reranks documents."""

    accepted: bool = False
    """Reranks documents."""
    api_version: int = 0
    """The `api_version` that its bodies must have; 0 for none."""


class ContextCapabilities(Struct, frozen=True):
    """How long an input a model accepts."""

    beta: str = ""
    """Name of the beta feature by which it accepts a million tokens; empty where it needs none, or accepts fewer."""
    is_extended: bool = False
    """The caller asked for a million tokens."""


class OutputCapabilities(Struct, frozen=True):
    """What a model answers with."""

    text: bool = True
    """Answers with text; guardrails of InvokeModel check nothing else (AWS user guide, guardrails with InvokeModel)."""
    min_length: int = 1
    """The smallest limit of an answer's tokens that it accepts."""
    default_length: int = 0
    """Tokens of an answer, reasoning not included, that are requested if the caller names no limit; 0 for none."""
