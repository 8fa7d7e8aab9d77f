"""Claude's `thinking` and `output_config.effort`."""

from app.converse.request import ConverseRequest, InferenceConfiguration
from app.emulator.catalog import Model
from app.emulator.model_rules.refusal import ModelRefusal
from app.emulator.request_parts import model_fields
from app.wire.json import JsonObject

_ADAPTIVE = ("claude-5", "claude-4.6")
_MIN_BUDGET = 1024
# Converse's default for Claude, reasoning included (litellm#41529)
_DEFAULT_MAX_TOKENS = 4096


def check_thinking(model: Model, request: ConverseRequest, inference: InferenceConfiguration) -> None:
    """Check the kind of thinking, its budget, and what may not go with it."""
    thinking = model_fields(request).get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return
    # langchain-aws#1141, #1151: both go together since 4.8
    if _forces_tool_use(request) and model.rules != "claude-5":
        raise ModelRefusal("Thinking may not be enabled when tool_choice forces tool use.")
    if thinking["type"] == "enabled":
        _check_budget(model, thinking, inference)
    elif model.rules not in _ADAPTIVE:
        raise ModelRefusal("adaptive thinking is not supported on this model")  # llm-gateway#1928
    _check_sampling(request, inference)


def check_effort(model: Model, request: ConverseRequest) -> None:
    """Seen live by others on Claude 4.5 and 4.6, 2026."""
    effort = (model_fields(request).get("output_config") or {}).get("effort")
    if effort and model.rules not in _ADAPTIVE:
        raise ModelRefusal("This model does not support the effort parameter.")
    if effort == "xhigh" and model.rules != "claude-5":
        raise ModelRefusal(
            "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium."
        )


def _forces_tool_use(request: ConverseRequest) -> bool:
    config = request.get("toolConfig")
    choice = config.get("toolChoice") if config else None
    return bool({"any", "tool"} & set(choice or ()))


def _check_budget(model: Model, thinking: JsonObject, inference: InferenceConfiguration) -> None:
    budget = thinking.get("budget_tokens")
    if model.rules == "claude-5":
        raise ModelRefusal(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if not isinstance(budget, int) or budget < _MIN_BUDGET:
        raise ModelRefusal(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_MIN_BUDGET}")
    if budget >= (inference.get("maxTokens") or _DEFAULT_MAX_TOKENS):
        raise ModelRefusal("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_sampling(request: ConverseRequest, inference: InferenceConfiguration) -> None:
    top_p = inference.get("topP")
    if top_p is not None and top_p < 0.95:
        # forgecode#3472
        raise ModelRefusal("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
    if (inference.get("temperature") or 1) != 1 or model_fields(request).get("top_k") is not None:
        raise ModelRefusal("`temperature` may only be set to 1 when thinking is enabled.")
