"""The scenarios by name, and the default one for models that are not scripted."""

from collections.abc import Callable

from app.converse.request import ConverseRequest
from app.emulator.request_parts import last_tool_results, model_fields, text_format
from app.emulator.scripted_models import agents, plain_text, reasoning, sources, structured_output, tool_use
from app.emulator.scripted_models.script import Script

Scenario = Callable[[ConverseRequest], Script]


def script_for(model_id: str, request: ConverseRequest) -> Script:
    """The answer of a model to a request.

    Raises:
        ServiceError: a ValidationException for reasoning whose signature does not match.
    """
    reasoning.check_signatures(request["messages"])
    name = model_id.removeprefix("scripted.").removesuffix("-v1:0")
    return SCENARIOS.get(name, _like_a_real_model)(request)


def _like_a_real_model(request: ConverseRequest) -> Script:
    """Call a tool, follow a schema, reason, or answer, as the request asks for; an agent gets what it asks for."""
    answer = agents.answer_agent if agents.is_agent(request) else tool_use.call_one
    config = request.get("toolConfig")
    if last_tool_results(request):
        return tool_use.call_one(request)
    if config and "auto" not in (config.get("toolChoice") or {"auto": {}}):
        return tool_use.call_only(request)
    if text_format(request):
        return structured_output.answer_by_schema(request)
    thinking = model_fields(request).get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        return reasoning.reason(request, answer)
    return answer(request) if config else plain_text.echo(request)


# in the order in which the control plane lists them
SCENARIOS: dict[str, Scenario] = {
    "echo": plain_text.echo,
    "long": plain_text.long_answer,
    "tools": tool_use.call_one,
    "parallel": tool_use.call_in_parallel,
    "toolonly": tool_use.call_only,
    "thinking": reasoning.reason,
    "redacted": reasoning.reason_redacted,
    "citations": sources.cite,
    "structured": structured_output.answer_by_schema,
    "media": sources.describe_media,
    "slow": plain_text.slow_echo,
    "silent": reasoning.reason_only,
    "guarded": plain_text.blocked_by_guardrail,
    "malformed": plain_text.malformed_tool_use,
    "cached": plain_text.cached_echo,
    "servertool": tool_use.call_server_tool,
}
