"""The passes of adaptation in their order, and which of them a call needs for one model."""

import sys
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.betas import add_betas
from app.adaptation.blank_text import drop_blank_system, drop_blank_text
from app.adaptation.block_order import order_blocks
from app.adaptation.caching import adapt_caching
from app.adaptation.contents import Contents, contents_of
from app.adaptation.documents import adapt_documents
from app.adaptation.reasoning import adapt_reasoning
from app.adaptation.reasoning_history import adapt_reasoning_history
from app.adaptation.sampling import adapt_length, adapt_sampling, request_length
from app.adaptation.structured_output import adapt_output
from app.adaptation.tool_result_pairing import pair_tool_results
from app.adaptation.tools import adapt_tools
from app.adaptation.turn_alternation import alternate_turns
from app.adaptation.turn_ends import adapt_ends
from app.adaptation.turn_splitting import split_turns
from app.adaptation.videos import refuse_videos
from app.adaptation.web_search import request_web_search
from app.converse.call import ModelCall
from app.models.capabilities import Capabilities


class Pass(Struct, frozen=True):
    """One pass.

    contents: it runs for calls that contain any of these.
    is_for: whether it runs at all for a model. is_always_for: whether it runs for every call of a model.
    """

    run: Callable[[AdaptedRequest], None]
    contents: Contents
    is_for: Callable[[Capabilities], bool] = lambda _: True
    is_always_for: Callable[[Capabilities], bool] = lambda _: False


_TOOL_BLOCKS = Contents.TOOL_CALLS | Contents.TOOL_RESULTS
# turns may be empty after these passes, and are dropped by the next
_EMPTIED = Contents.BLANK_TEXT | Contents.CACHE_POINTS | Contents.REASONING
_TURNS = _EMPTIED | _TOOL_BLOCKS | Contents.ADJACENT_TURNS | Contents.SYSTEM_TURNS

PASSES = (
    Pass(refuse_videos, Contents.VIDEOS),
    Pass(
        adapt_length,
        Contents.MAX_TOKENS,
        is_for=lambda model: model.max_output < sys.maxsize or model.output.min_length > 1,
    ),
    Pass(adapt_reasoning_history, Contents.REASONING),
    Pass(drop_blank_system, Contents.BLANK_TEXT | Contents.CACHE_POINTS),
    Pass(drop_blank_text, _EMPTIED),
    Pass(alternate_turns, _EMPTIED | Contents.ADJACENT_TURNS | Contents.SYSTEM_TURNS),
    Pass(pair_tool_results, Contents.TOOL_RESULTS),
    Pass(order_blocks, Contents.TOOL_RESULTS | Contents.CACHE_POINTS),
    Pass(split_turns, _TOOL_BLOCKS),
    Pass(adapt_ends, _TURNS | Contents.OTHER_START | Contents.PREFILL),
    Pass(adapt_caching, Contents.CACHE_POINTS),
    Pass(adapt_documents, Contents.DOCUMENTS),
    Pass(adapt_tools, Contents.TOOLS | _TOOL_BLOCKS),
    Pass(request_web_search, Contents.WEB_SEARCH),
    Pass(adapt_output, Contents.OUTPUT_FORMAT),
    Pass(
        adapt_reasoning,
        Contents.EFFORT | Contents.MODEL_FIELDS,
        is_always_for=lambda model: model.reasoning.by_default != "no" or model.reasoning.drop_foreign,
    ),
    Pass(add_betas, Contents(0), is_always_for=lambda model: model.context.is_extended),
    Pass(request_length, Contents(0), is_always_for=lambda model: model.output.default_length > 0),
    Pass(adapt_sampling, Contents.SAMPLING | Contents.TOP_K | Contents.EFFORT),
)


def adapt(call: ModelCall, capabilities: Capabilities) -> AdaptedRequest:
    """Return the body that a model accepts, what was adjusted in it, and how to map the reply back.

    Raises:
        InvalidRequest: the model refuses what the call contains, with the path of the field.
    """
    body = call.converse.copy()
    body.setdefault("messages", [])
    contents = contents_of(body, call.intent)
    adapted = AdaptedRequest(body, call.intent, capabilities, names=call.names, contents=contents)
    for run in _passes_for(contents, capabilities):
        run(adapted)
    return adapted


@lru_cache(4096)
def _passes_for(contents: int, capabilities: Capabilities) -> tuple[Callable[[AdaptedRequest], None], ...]:
    return tuple(
        each.run
        for each in PASSES
        if each.is_for(capabilities) and (contents & each.contents or each.is_always_for(capabilities))
    )
