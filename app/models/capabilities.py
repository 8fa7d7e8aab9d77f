"""What one model can do and refuses: the facts by which `adapt` works.

The defaults describe a model that nobody has described: they forbid nothing that Converse allows, so an unknown model
is called as the caller asked. But thoughts without a signature are not sent back, since behind an ARN may stand a
Claude, which refuses them. Every unusual value stands in `families/` with its evidence and date.
"""

import sys
from typing import Literal

from msgspec import Struct

from app.models.capability_groups import NativeSurfaces, Surface
from app.models.families import FAMILIES
from app.models.ids import ModelId
from app.process.bounded_cache import bounded_cache

Prefill = Literal["free", "trimmed", "refused"]
Reasoning = Literal["none", "budget", "adaptive", "max_effort", "effort", "nested", "config"]
ThinksUnasked = Literal["no", "yes", "always"]
ReasoningHistory = Literal["signed", "none"]
Structured = Literal["native", "tool", "prompt"]
Embedding = Literal["", "inputText", "texts", "singleEmbeddingParams"]
TopK = Literal["none", "field", "nested"]


class Capabilities(Struct, frozen=True, cache_hash=True):
    """Capability facts of one model.

    family: a name for people to read; nothing compares it.
    tools: takes `toolConfig` at all.
    tool_choices: members of `toolChoice` that it takes besides `auto`.
    strict_tools: takes `strict` in a tool's specification.
    plain_ids: takes no `.` or `:` in the ids of calls.
    bare_schemas: takes only the members of an object at the top of a tool's schema, and no definitions.
    bounded_grammar: compiles only so many strict schemas, optional members and alternatives in one call.
    top_level_unions: takes `anyOf`, `oneOf` and `allOf` at the top of a tool's schema.
    single_tool_field: takes `disable_parallel_tool_use` in additionalModelRequestFields.
    system_turns: takes messages of role `system` in the middle of a conversation.
    max_output: how many tokens it answers at the most, where it has told.
    sampling: takes temperature and topP at all.
    temperature_with_top_p: takes both in one call.
    top_k: takes top_k not at all, as a field of its own, or inside a field `inferenceConfig`.
    max_stop_sequences: how many stop sequences it takes.
    prefill: what it makes of a conversation that ends with the assistant: continues it, continues it if no white
        space ends it, or refuses it.
    tools_apart: takes nothing in one turn with calls of tools, or with their results. apart_from_results: the kinds of
        content that it does not take beside the latter. media_in_results: the kinds of media that a result may hold.
    caching: takes cache points. tool_caching: behind its tools too. cache_ttl: lets them say how long.
    reasoning: how it is asked to think: not at all, by a token budget, adaptively with an effort, by a
        `reasoningConfig` with a `maxReasoningEffort`, by a field called `reasoning_effort` or `reasoning_config`, or
        by an `effort` inside `reasoning`.
    adaptive_only: takes no token budget beside that. extra_high_effort: knows `xhigh` between `high` and `max`.
    budget_and_effort: takes an effort up to `high` beside a budget, in Anthropic's own format.
    forced_with_reasoning: can be made to call a tool while it thinks.
    thinks_unasked: whether it thinks when nobody asks: no, yes unless told not to, or always.
    thinking_display: shows its thoughts only where it is asked to.
    thinking_tokens: the JSON pointer in its own reply to what its thoughts took; empty where it does not tell.
    reasoning_history: which of its earlier thoughts it takes back: those with a signature, or none.
    structured: how a JSON schema is enforced: by `outputConfig.textFormat`, by a forced tool, or by asking.
    native: where the bodies of a dialect are served as they are: a surface, by the format. Everything else crosses by
        Converse. mantle_path, mantle_drops: where its paths begin on the surface `mantle`, and what its id loses there.
    encrypted_reasoning: gives its thoughts out encrypted where asked to, and takes them back.
    embedding: the member that holds the text in its bodies; empty where it makes no embeddings. embedding_sizes: the
        dimensions of its vectors, the first unasked. embedding_batch: how many texts it takes at once.
    rerank: sorts documents. rerank_version: the `api_version` that its bodies must have; 0 for none.
    newest_version: takes Anthropic's version 2026-10-21 beside the one of 2023.
    """

    family: str = "unknown"
    tools: bool = True
    tool_choices: frozenset[str] = frozenset({"any", "tool"})
    strict_tools: bool = False
    plain_ids: bool = False
    bare_schemas: bool = False
    bounded_grammar: bool = False
    top_level_unions: bool = True
    single_tool_field: bool = False
    system_turns: bool = False
    max_output: int = sys.maxsize
    sampling: bool = True
    temperature_with_top_p: bool = True
    top_k: TopK = "none"
    max_stop_sequences: int = 2500
    prefill: Prefill = "free"
    tools_apart: bool = False
    apart_from_results: frozenset[str] = frozenset()
    media_in_results: frozenset[str] = frozenset({"image", "document", "video"})
    caching: bool = True
    tool_caching: bool = True
    cache_ttl: bool = False
    reasoning: Reasoning = "none"
    adaptive_only: bool = False
    extra_high_effort: bool = False
    budget_and_effort: bool = False
    forced_with_reasoning: bool = False
    thinks_unasked: ThinksUnasked = "no"
    thinking_display: bool = False
    thinking_tokens: str = ""
    reasoning_history: ReasoningHistory = "signed"
    structured: Structured = "tool"
    native: NativeSurfaces = NativeSurfaces()
    mantle_path: str = "/openai/v1"
    mantle_drops: str = ""
    encrypted_reasoning: bool = False
    embedding: Embedding = ""
    embedding_sizes: tuple[int, ...] = ()
    embedding_batch: int = 1
    rerank: bool = False
    rerank_version: int = 0
    newest_version: bool = False


def capabilities_of(model: ModelId) -> Capabilities:
    """The capabilities of a model, from the first row of the families' tables that fits its base id."""
    return _capabilities_of_base(model.base)


@bounded_cache(1024)
def _capabilities_of_base(base: str) -> Capabilities:
    for row in FAMILIES:
        if row.pattern.match(base):
            return Capabilities(family=row.family, **row.values)
    return Capabilities()


__all__ = ["Capabilities", "NativeSurfaces", "Surface", "capabilities_of"]
