"""A call: the internal form of a caller's request, before a target is chosen."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

from app.converse.request import ConverseRequest
from app.wire.json import JsonObject

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Surface(StrEnum):
    """The upstream API of a call, as it is logged. A call without a model has its AWS service."""

    CONVERSE = "converse"
    INVOKE = "invoke"
    OPENAI = "openai"
    MANTLE = "mantle"
    COUNT_TOKENS = "count-tokens"
    BEDROCK_RUNTIME = "bedrock-runtime"
    BEDROCK = "bedrock"
    BEDROCK_MANTLE = "bedrock-mantle"


class Mode(StrEnum):
    """How a call crosses the gateway.

    PASSTHROUGH: byte for byte. NATIVE: in the caller's format, adapted to the model. TRANSLATED: by Converse.
    """

    PASSTHROUGH = "passthrough"
    NATIVE = "native"
    TRANSLATED = "translated"


_MAX_TOKENS: tuple[tuple[int, Effort], ...] = ((2048, "low"), (8192, "medium"))


def effort_of(budget: int | None) -> Effort:
    """Return the effort that a budget of reasoning tokens is equivalent to; `high` without a budget."""
    if budget is None:
        return "high"
    return next((effort for limit, effort in _MAX_TOKENS if budget <= limit), "high")


class Intent(Struct):
    """What the caller wants and Converse has no member for. `adapt` translates it for one model, or reports it.

    What Converse has a member for, the dialect puts there itself.

    effort: of reasoning; None leaves it to the model.
    thinking_budget: the largest number of reasoning tokens, for models that accept one; None leaves it to `effort`.
    top_k: how many tokens to choose from.
    forbid_tools: the caller declared tools but wants no call of them now.
    single_tool_call: at most one tool call in the reply.
    json_object: the reply must be a JSON object of no particular schema.
    web_search: the model may search the web.
    """

    effort: Effort | None = None
    thinking_budget: int | None = None
    top_k: int | None = None
    forbid_tools: bool = False
    single_tool_call: bool = False
    json_object: bool = False
    web_search: bool = False


class ModelCall(Struct):
    """One call of a model.

    model: the name the caller used; `routing` resolves it.
    converse: the body, for any model.
    intent: what the body has no member for.
    ignored: fields of the caller's request that have no effect, reported in `x-outcrop-ignored`.
    names: the caller's fields by the name of the equivalent field of OpenAI's chat, where the two differ.
    """

    model: str
    converse: ConverseRequest
    intent: Intent = field(default_factory=Intent)
    ignored: list[str] = field(default_factory=list)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)


class NativeCall(Struct, frozen=True):
    """One call in a format that a surface of the target may accept without translation.

    model: the name the caller used. document: the caller's body, which is never changed.
    version, betas: of the format, from its headers.
    tool_paths: the path of each of the document's tools in the caller's own body.
    keep_reasoning: the reasoning of the answer is sent back later, so the model must return it.
    ignored: paths of the document's fields that have no effect.
    """

    model: str
    document: JsonObject
    version: str = ""
    betas: list[str] = field(default_factory=list)
    keep_reasoning: bool = False
    tool_paths: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


class NativeEvent(Struct, frozen=True):
    """One event of the answer to a native call. text: as it was received."""

    document: JsonObject
    text: bytes
