"""Fit a call to the one model that will get it: one pass a file, applied in the order of `PASSES`.

Tailoring is dialect-blind. A pass changes the draft's body by replacing members, never by writing into what the call
holds, since a failover tailors the same call again for another model. Each change that the caller might notice is
named in `repaired`. Rules and sources: contracts section 6, and the evidence in models/families.
"""

from collections.abc import Callable

from app.converse.call import ModelCall
from app.models.traits import Traits
from app.tailor.caching import tailor_caching
from app.tailor.draft import Draft
from app.tailor.media import tailor_media
from app.tailor.output import tailor_output
from app.tailor.reasoning import tailor_reasoning, tailor_reasoning_history
from app.tailor.sampling import tailor_length, tailor_sampling
from app.tailor.tools import tailor_tools
from app.tailor.turns import tailor_turns

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


def tailor(call: ModelCall, traits: Traits) -> Draft:
    """The body that this model accepts, what was repaired on the way, and how to undo it in the reply.

    Raises:
        InvalidRequest: the model cannot take what the call holds, with the path of the field.
    """
    draft = Draft.of(call, traits)
    for tailor_pass in PASSES:
        tailor_pass(draft)
    return draft


__all__ = ["PASSES", "Draft", "tailor"]
