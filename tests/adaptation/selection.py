"""The passes that `adapt` selects for a call have the effect of all passes."""

from collections.abc import Callable
from typing import Any

from app.adaptation import PASSES, AdaptedRequest, adapt
from app.converse.call import ModelCall
from app.errors import InvalidRequest
from app.models.capabilities import Capabilities
from app.wire import json


def assert_selection_equals_all_passes(call: ModelCall, capabilities: Capabilities) -> None:
    """Adapt a call by the passes that it needs and by all of them: bodies are equal to the byte, and all else too."""
    selected = _outcome(lambda: adapt(call, capabilities))
    assert selected == _outcome(lambda: _adapted_by_all(call, capabilities)), capabilities.family


def _adapted_by_all(call: ModelCall, capabilities: Capabilities) -> AdaptedRequest:
    body = call.converse.copy()
    body.setdefault("messages", [])
    adapted = AdaptedRequest(body, call.intent, capabilities, names=call.names)
    for each in PASSES:
        each.run(adapted)
    return adapted


def _outcome(adapted_by: Callable[[], AdaptedRequest]) -> Any:
    try:
        adapted = adapted_by()
    except InvalidRequest as error:
        return error.message, error.param
    return json.dumps(adapted.body), adapted.adjusted, adapted.ignored, adapted.mapping
