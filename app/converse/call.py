"""A call: what a dialect made of its caller's request, before any model is chosen."""

from typing import Any, Literal

from msgspec import Struct, field

from app.converse.request import ConverseRequest

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


_MAX_TOKENS: tuple[tuple[int, Effort], ...] = ((2048, "low"), (8192, "medium"))


def effort_of(budget: int | None) -> Effort:
    """The effort that a budget of tokens to think with amounts to; high where there is none."""
    if budget is None:
        return "high"
    return next((effort for limit, effort in _MAX_TOKENS if budget <= limit), "high")


class Intent(Struct):
    """What the caller wants and Converse cannot say; `adapt` says it in the words of one model, or reports it.

    effort: how hard to think; None leaves it to the model.
    thinking_budget: the most tokens to think with, for models that are told a number; None leaves it to `effort`.
    top_k: how many tokens to choose from.
    forbid_tools: the caller declared tools but wants no call of them now.
    single_tool_call: at most one tool call in the reply.
    json_object: the reply must be a JSON object of no particular schema.
    """

    effort: Effort | None = None
    thinking_budget: int | None = None
    top_k: int | None = None
    forbid_tools: bool = False
    single_tool_call: bool = False
    json_object: bool = False


class ModelCall(Struct):
    """One call of a model.

    model: the name the caller used; `routing` resolves it.
    converse: the body, model-blind.
    intent: what does not fit into the body.
    ignored: fields of the caller's request that have no effect, reported in `x-outcrop-ignored`.
    names: the fields of the caller's that say what one of OpenAI's chat does, by its name, where that is not their own.
    """

    model: str
    converse: ConverseRequest
    intent: Intent = field(default_factory=Intent)
    ignored: list[str] = field(default_factory=list)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)


class NativeCall(Struct, frozen=True):
    """One call in a format that the target's own surface may take, so that nothing is translated.

    model: the name the caller used. document: the caller's body, never written into.
    version, betas: what its headers say of the format.
    tool_paths: where each of the document's tools stood in the caller's own.
    keep_thoughts: the answer's thoughts are to come back later, so they must be given out.
    """

    model: str
    document: dict[str, Any]
    version: str = ""
    betas: list[str] = field(default_factory=list)
    keep_reasoning: bool = False
    tool_paths: list[str] = field(default_factory=list)


class NativeEvent(Struct, frozen=True):
    """One event of the answer to a native call, and its text as it came."""

    document: dict[str, Any]
    text: bytes
