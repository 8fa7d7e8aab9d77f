"""Scenarios that answer with text alone."""

from app.converse.request import ConverseRequest
from app.emulator.request_parts import last_user_text
from app.emulator.scripted_models.script import Script


def echo(request: ConverseRequest) -> Script:
    """Repeat the last user text."""
    return Script([{"text": last_user_text(request) or "(nothing was said)"}])


def long_answer(_: ConverseRequest) -> Script:
    """Answer with 200 sentences."""
    sentences = (f"Sentence {number} of a long answer that goes on. " for number in range(1, 201))
    return Script([{"text": "".join(sentences)}])


def slow_echo(request: ConverseRequest) -> Script:
    """Repeat the last user text, with a pause before each event."""
    return Script(echo(request).blocks, delay_seconds=0.05)


def cached_echo(request: ConverseRequest) -> Script:
    """Repeat the last user text, with cache usage."""
    return Script(echo(request).blocks, cache_read=1200, cache_write=300)


def blocked_by_guardrail(_: ConverseRequest) -> Script:
    """Answer as a guardrail does that blocked the output."""
    return Script(
        [{"text": "Sorry, the guardrail blocked this."}],
        "guardrail_intervened",
        trace={"guardrail": {"actionReason": "Guardrail blocked.", "modelOutput": [], "inputAssessment": {}}},
    )


def malformed_tool_use(_: ConverseRequest) -> Script:
    """Stop in the middle of a tool call that the model wrote as text."""
    return Script([{"text": "<tool_ca"}], "malformed_tool_use")
