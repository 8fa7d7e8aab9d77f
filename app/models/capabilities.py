"""The capabilities of a model: what it accepts, by which `adapt` works."""

import sys
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from app.models.capability_groups import (
    CachingCapabilities,
    ContextCapabilities,
    EmbeddingCapabilities,
    NativeCapabilities,
    NativeSurface,
    OutputCapabilities,
    ReasoningCapabilities,
    RerankCapabilities,
    SamplingCapabilities,
    SchemaCapabilities,
    ToolCapabilities,
    TurnCapabilities,
)
from app.models.capability_values import CapabilityValues
from app.models.families import FAMILIES
from app.models.ids import ModelId


class Capabilities(Struct, frozen=True, cache_hash=True):
    """Capabilities of one model. Values other than the defaults are in `families/`, with their evidence and date."""

    family: str = "unknown"
    """A name for people. Nothing compares it."""
    max_output: int = sys.maxsize
    """The largest number of tokens of an answer, where a card or a refusal has named it."""
    tools: ToolCapabilities = ToolCapabilities()
    """Tool configuration."""
    schemas: SchemaCapabilities = SchemaCapabilities()
    """JSON schemas of tools and answers."""
    turns: TurnCapabilities = TurnCapabilities()
    """Turns and their blocks."""
    sampling: SamplingCapabilities = SamplingCapabilities()
    """Parameters of inference."""
    caching: CachingCapabilities = CachingCapabilities()
    """Cache points."""
    reasoning: ReasoningCapabilities = ReasoningCapabilities()
    """Reasoning."""
    native: NativeCapabilities = NativeCapabilities()
    """Surfaces for bodies of a dialect."""
    embeddings: EmbeddingCapabilities = EmbeddingCapabilities()
    """Embeddings."""
    rerank: RerankCapabilities = RerankCapabilities()
    """Reranking."""
    context: ContextCapabilities = ContextCapabilities()
    """Length of the input."""
    output: OutputCapabilities = OutputCapabilities()
    """Kinds of answers."""

    @property
    def makes_text(self) -> bool:
        """True if tokens of its answers are charged: neither images nor vectors nor ranks."""
        return self.output.text and not (self.embeddings.member or self.rerank.accepted)

    def with_values(self, values: CapabilityValues) -> "Capabilities":
        """Return the capabilities with other values for some of them."""
        changed = {
            name: replace(getattr(self, name), **value) if isinstance(value, dict) else value
            for name, value in values.items()
        }
        return replace(self, **changed)


_DEFAULTS = Capabilities()
_BY_PROFILE = [(row.pattern, Capabilities(family=row.family).with_values(row.values)) for row in FAMILIES]
_BY_BASE_ID = [
    (row.pattern, capabilities.with_values(row.by_base_id))
    for row, (_, capabilities) in zip(FAMILIES, _BY_PROFILE, strict=True)
]


@lru_cache(1024)
def capabilities_of(model: ModelId, *, is_profile: bool = False) -> Capabilities:
    """Return the capabilities of a model, from the first row of the families' tables that matches its base id.

    Args:
        is_profile: it is called by an inference profile, even if its id has no geography.
    """
    rows = _BY_PROFILE if is_profile or model.geography else _BY_BASE_ID
    return next((capabilities for pattern, capabilities in rows if pattern.match(model.base)), _DEFAULTS)


__all__ = ["Capabilities", "NativeSurface", "capabilities_of"]
