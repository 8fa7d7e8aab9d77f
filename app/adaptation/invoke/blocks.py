"""The blocks of a message in a body of Anthropic's Messages.

Evidence: ids of calls match `^[a-zA-Z0-9_-]+$`, each once (bifrost#5097, claude-code#20901). A model without reasoning
accepts no reasoning of earlier turns (vercel/ai#7034).
"""

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedBody
from app.adaptation.call_ids import CLAUDES_OWN, CallIds
from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.cache_control import with_known_cache_control
from app.converse.encrypted_reasoning import is_encrypted
from app.converse.media import image_format
from app.errors import InvalidRequest
from app.wire.documents import text_in
from app.wire.json import JsonObject

REASONING = ("thinking", "redacted_thinking")
_CALLS = ("tool_use", "tool_result")


def adapt_blocks(blocks: list[object], path: str, adapted: AdaptedInvokeBody) -> list[object]:
    """Return blocks, and the blocks that they contain, without members that Bedrock refuses.

    Raises:
        InvalidRequest: a source is a URL or a file of Anthropic's, with the path of the field.
    """
    return [_block(block, f"{path}.content[{index}]", adapted) for index, block in enumerate(blocks)]


def _block(block: object, path: str, adapted: AdaptedInvokeBody) -> object:
    if not isinstance(block, dict):
        return block
    made = with_known_cache_control(block, path, adapted)
    if made.get("type") in _CALLS:
        adapted.ids = adapted.ids or CallIds(CLAUDES_OWN)
        made = _with_accepted_id(made, adapted.ids, adapted)
    source = made.get("source")
    if isinstance(source, dict):
        made = _with_accepted_source(made, source, path, adapted)
    if isinstance(made.get("content"), list):
        made = {**made, "content": adapt_blocks(made["content"], path, adapted)}
    return _result_without_blanks(made, adapted) if made.get("type") == "tool_result" else made


def _with_accepted_source(block: JsonObject, source: JsonObject, path: str, adapted: AdaptedInvokeBody) -> JsonObject:
    if block.get("type") == "image":
        block = _with_true_media_type(block, source, adapted)
    if source.get("type") in ("url", "file"):
        raise InvalidRequest(
            "must be base64: other addresses are not fetched here, nor are files of Anthropic's",
            param=f"{path}.source",
        )
    if isinstance(source.get("content"), list):
        block = {**block, "source": {**source, "content": adapt_blocks(source["content"], f"{path}.source", adapted)}}
    return block


def _with_accepted_id(block: JsonObject, ids: CallIds, adapted: AdaptedBody) -> JsonObject:
    match block:
        case {"type": "tool_use", "id": str(given)}:
            name, sent = "id", ids.of_call(given)
        case {"type": "tool_result", "tool_use_id": str(given)}:
            name, sent = "tool_use_id", ids.of_result(given)
        case _:
            return block
    if sent == given:
        return block
    adapted.adjust("tool_ids")
    return {**block, name: sent}


def adapt_content(blocks: list[object], role: str, path: str, adapted: AdaptedBody) -> list[object]:
    """Return the blocks that a model accepts in a turn. Those of a turn of the assistant's may be none."""
    kinds = {text_in(block, "type") for block in blocks}
    if role == "assistant" and "image" in kinds:
        blocks = _without_images(blocks, path, adapted)
    has_reasoning = not kinds.isdisjoint(REASONING)
    if has_reasoning:
        accepted = [block for block in blocks if _is_accepted(block, role, adapted)]
        if len(accepted) < len(blocks):
            adapted.adjust("reasoning")
        blocks = accepted
    kept = without_blanks(blocks, adapted)
    if role != "assistant":
        return kept or _placeholder(adapted)
    if has_reasoning and kept and _is_refused_as_prefill(kept, adapted):
        adapted.adjust("reasoning")
        return []
    return kept


def _result_without_blanks(block: JsonObject, adapted: AdaptedBody) -> JsonObject:
    """Return a tool result without blank texts.

    It may be empty, unless it is an error: "content cannot be empty if is_error is true" (trae-agent#230).
    """
    content = block.get("content")
    kept = without_blanks(content, adapted) if isinstance(content, list) else content
    if not kept and (kept != content or block.get("is_error")):
        kept = _placeholder(adapted)
    return block if kept is content else {**block, "content": kept}


def _placeholder(adapted: AdaptedBody) -> list[object]:
    adapted.adjust("blank_text")
    return [{"type": "text", "text": PLACEHOLDER}]


def _is_refused_as_prefill(blocks: list[object], adapted: AdaptedBody) -> bool:
    """Tell whether the model takes a turn of reasoning alone for a prefill, and refuses it (hermes-agent#105780)."""
    is_reasoning = all(text_in(block, "type") in REASONING for block in blocks)
    return is_reasoning and adapted.capabilities.turns.prefill == "refused"


def _without_images(blocks: list[object], path: str, adapted: AdaptedBody) -> list[object]:
    # "'image' blocks are not permitted within assistant turns"
    adapted.ignored += [f"{path}.content[{i}]" for i, block in enumerate(blocks) if text_in(block, "type") == "image"]
    return [block for block in blocks if text_in(block, "type") != "image"]


def _is_accepted(block: object, role: str, adapted: AdaptedBody) -> bool:
    """Tell whether a block is not reasoning, or reasoning that the model accepts.

    "User messages cannot contain reasoning content". Reasoning of models that sign none has an empty signature here.
    Reasoning that one of OpenAI's APIs encrypted has a mark, which no Claude signed.
    """
    kind = text_in(block, "type")
    if not isinstance(block, dict) or kind not in REASONING:
        return True
    is_complete = kind != "thinking" or bool(block.get("signature"))
    if role != "assistant" or adapted.capabilities.reasoning.request == "none" or not is_complete:
        return False
    if kind == "thinking":
        return not is_encrypted({"reasoningText": {"text": "", "signature": text_in(block, "signature")}})
    return not is_encrypted({"redactedContent": text_in(block, "data")})


def without_blanks(blocks: list[object], adapted: AdaptedBody) -> list[object]:
    """Return the blocks without blank texts, except those before reasoning.

    Turns with reasoning are compared, block by block, with what the model has sent (vercel/ai#14175).
    """
    blanks = {index for index, block in enumerate(blocks) if _is_blank_text(block)}
    if not blanks:
        return blocks
    compared = max((index for index, block in enumerate(blocks) if text_in(block, "type") in REASONING), default=0)
    kept = [block for index, block in enumerate(blocks) if index < compared or index not in blanks]
    if len(kept) == len(blocks):
        return blocks
    adapted.adjust("blank_text")
    return kept


def _is_blank_text(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and is_blank(block.get("text"))


def is_blank(text: object) -> bool:
    """Tell whether a value is a text without visible characters."""
    return isinstance(text, str) and (not text or text.isspace())


def _with_true_media_type(block: JsonObject, source: JsonObject, adapted: AdaptedBody) -> JsonObject:
    named, data = text_in(source, "media_type"), text_in(source, "data")
    found = image_format(named.lower(), data) if data else None
    if found is None or named == f"image/{found}":
        return block
    adapted.adjust("media_type")
    return {**block, "source": {**source, "media_type": f"image/{found}"}}
