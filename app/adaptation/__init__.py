"""Changes a Converse call into one that the target's model accepts.

Each module is one pass. `adapt` runs the passes that a call needs, in one visible order. Every change is named in the
`x-outcrop-adjusted` header. This package knows models by their capabilities and knows no dialect.
"""

from collections.abc import Callable

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.caching import adapt_caching
from app.adaptation.media import adapt_media
from app.adaptation.reasoning import adapt_reasoning, adapt_reasoning_history
from app.adaptation.sampling import adapt_length, adapt_sampling
from app.adaptation.structured_output import adapt_output
from app.adaptation.tools import adapt_tools
from app.adaptation.turn_alternation import adapt_turns
from app.converse.call import ModelCall
from app.models.capabilities import Capabilities

PASSES: tuple[Callable[[AdaptedRequest], None], ...] = (
    adapt_length,
    adapt_reasoning_history,
    adapt_turns,
    adapt_caching,
    adapt_media,
    adapt_tools,
    adapt_output,
    adapt_reasoning,
    adapt_sampling,
)


def adapt(call: ModelCall, capabilities: Capabilities) -> AdaptedRequest:
    """The body that this model accepts, what was adjusted on the way, and how to undo it in the reply.

    Raises:
        InvalidRequest: the model cannot take what the call holds, with the path of the field.
    """
    adapted = AdaptedRequest.of(call, capabilities)
    for adapt_pass in PASSES:
        adapt_pass(adapted)
    return adapted


__all__ = ["PASSES", "AdaptedRequest", "adapt"]
