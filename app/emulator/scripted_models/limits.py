"""`maxTokens` and stop sequences, applied to a script."""

from dataclasses import dataclass

from app.converse.content import ContentBlock
from app.converse.request import InferenceConfiguration
from app.emulator import tokens
from app.emulator.scripted_models.script import Script
from app.wire import json

_NO_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class LimitedOutput:
    """What is left of a script, why it stops, and the stop sequence if that is why."""

    blocks: list[ContentBlock]
    stop_reason: str
    tokens: int
    stop_sequence: str | None = None


def apply_limits(script: Script, inference: InferenceConfiguration) -> LimitedOutput:
    """Cut a script at its first stop sequence or at `maxTokens`, whichever comes first; only text is cut."""
    stop_sequences = inference.get("stopSequences") or []
    limit = inference.get("maxTokens") or _NO_LIMIT
    used = 0
    kept: list[ContentBlock] = []
    for block in script.blocks:
        if "text" not in block:
            used += tokens.count_text(json.dumps_text(block))
            kept.append(block)
            continue
        text, stop_sequence = _until_stop_sequence(block["text"], stop_sequences)
        size = tokens.count_text(text)
        if used + size > limit:
            cut = tokens.cut(text, limit - used)
            return LimitedOutput([*kept, *_text_blocks(cut)], "max_tokens", limit)
        used += size
        kept += _text_blocks(text)
        if stop_sequence is not None:
            return LimitedOutput(kept, "stop_sequence", used, stop_sequence)
    return LimitedOutput(kept, script.stop_reason, used)


def _until_stop_sequence(text: str, stop_sequences: list[str]) -> tuple[str, str | None]:
    """The text up to the first stop sequence in it, and that sequence."""
    found = [(start, stop) for stop in stop_sequences if (start := text.find(stop)) >= 0]
    if not found:
        return text, None
    start, stop = min(found)
    return text[:start], stop


def _text_blocks(text: str) -> list[ContentBlock]:
    return [{"text": text}] if text else []
