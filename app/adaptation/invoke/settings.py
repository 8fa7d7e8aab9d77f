"""Length, sampling and tool choice in a body of Anthropic's Messages.

Evidence: sampling is refused since 4.7 (promptfoo#10307), `temperature` beside `top_p` before that
(bedrock-access-gateway#191); a forced tool by all models that reason (CLIProxyAPI#4070, experiential#804).
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedBody
from app.adaptation.invoke.cache_control import content_blocks
from app.adaptation.invoke.reasoning import SAMPLING, adapt_reasoning, leave_out, limit_effort_without_reasoning
from app.wire.documents import listed, text_in

_FORCED = ("any", "tool")


def adapt_settings(adapted: AdaptedBody) -> None:
    """Change a body's length, reasoning, tool choice and sampling into those that the model accepts."""
    body, capabilities = adapted.body, adapted.capabilities
    limit = body.get("max_tokens")
    if isinstance(limit, int) and limit > capabilities.max_output:
        _shorten(adapted, capabilities.max_output)
    if "thinking" in body or "output_config" in body:
        adapt_reasoning(adapted)
    if "tool_choice" in body and text_in(body["tool_choice"], "type") in _FORCED:
        _adapt_forced_choice(adapted)
    if not capabilities.sampling.accepted:
        leave_out(adapted, *SAMPLING)
    elif not capabilities.sampling.temperature_with_top_p and "temperature" in body:
        leave_out(adapted, "top_p")


def _shorten(adapted: AdaptedBody, limit: int) -> None:
    """Lower max_tokens to the model's limit, and a budget for reasoning that does not fit below it in proportion."""
    body = adapted.body
    thinking: Any = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and limit <= budget < body["max_tokens"]:
        body["thinking"] = {**thinking, "budget_tokens": budget * limit // body["max_tokens"]}
        adapted.adjust("reasoning_effort")
    body["max_tokens"] = limit
    adapted.adjust("max_tokens")


def _adapt_forced_choice(adapted: AdaptedBody) -> None:
    """Force no tool where the model accepts no forced tool.

    A model that reasons by default, and accepts none while it reasons, is told not to reason.
    """
    body, capabilities = adapted.body, adapted.capabilities
    choice: Any = body["tool_choice"]
    if capabilities.tools.choices.issuperset(_FORCED):
        reasons = capabilities.reasoning.by_default == "yes" and "thinking" not in body
        if reasons and not capabilities.reasoning.with_forced_tool:
            body["thinking"] = {"type": "disabled"}
            limit_effort_without_reasoning(adapted)
            adapted.adjust("reasoning_effort")
        return
    if choice["type"] == "tool":
        _name_tool(adapted, text_in(choice, "name"))
    rest = {name: value for name, value in choice.items() if name != "name"}
    body["tool_choice"] = {**rest, "type": "auto"}
    adapted.adjust("tool_choice")


def _name_tool(adapted: AdaptedBody, name: str) -> None:
    """Name the wanted tool in the last turn, if it is the user's. The list of tools must not change."""
    messages = listed(adapted.body.get("messages"))
    declared = any(text_in(tool, "name") == name for tool in listed(adapted.body.get("tools")))
    last = messages[-1] if messages else None
    if name and declared and isinstance(last, dict) and text_in(last, "role") == "user":
        content = [*content_blocks(last.get("content")), {"type": "text", "text": f"Call the tool {name} now."}]
        adapted.body["messages"] = [*messages[:-1], {**last, "content": content}]
