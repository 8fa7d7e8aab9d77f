"""Changes a Converse call into one that the target's model accepts.

Each module is one pass. `adapt` runs the passes that a call needs, in one visible order. Every change is named in the
`x-outcrop-adjusted` header. This package knows models by their capabilities and knows no dialect.
"""

from collections.abc import Callable

from app.adaptation.adapted_request import Draft
from app.adaptation.caching import tailor_caching
from app.adaptation.media import tailor_media
from app.adaptation.reasoning import tailor_reasoning, tailor_reasoning_history
from app.adaptation.sampling import tailor_length, tailor_sampling
from app.adaptation.structured_output import tailor_output
from app.adaptation.tools import tailor_tools
from app.adaptation.turn_alternation import tailor_turns
from app.converse.call import ModelCall
from app.models.capabilities import Capabilities

PASSES: tuple[Callable[[Draft], None], ...] = (
    tailor_length,
    tailor_reasoning_history,
    tailor_turns,
    tailor_caching,
    tailor_media,
    tailor_tools,
    tailor_output,
    tailor_reasoning,
    tailor_sampling,
)


def tailor(call: ModelCall, capabilities: Capabilities) -> Draft:
    """The body that this model accepts, what was repaired on the way, and how to undo it in the reply.

    Raises:
        InvalidRequest: the model cannot take what the call holds, with the path of the field.
    """
    draft = Draft.of(call, capabilities)
    for tailor_pass in PASSES:
        tailor_pass(draft)
    return draft


__all__ = ["PASSES", "Draft", "tailor"]
