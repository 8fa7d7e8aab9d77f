"""All rules of a model, in the order in which they apply."""

from app.converse.request import ConverseRequest
from app.emulator.catalog import Model
from app.emulator.errors import invalid
from app.emulator.model_rules.inference import check_max_tokens, check_sampling, check_stop_sequences
from app.emulator.model_rules.messages import check_images, check_prefill, check_signatures, check_system_turns
from app.emulator.model_rules.refusal import ModelRefusal
from app.emulator.model_rules.schemas import check_output_format, check_strict_tools, check_tool_schemas
from app.emulator.model_rules.thinking import check_effort, check_thinking


def check_model_rules(model: Model, request: ConverseRequest, prefix: str) -> None:
    """Check a request against the rules of the model itself.

    Args:
        prefix: what Converse puts before the model's wording; empty for InvokeModel.

    Raises:
        ServiceError: a ValidationException.
    """
    try:
        _check(model, request, prefix)
    except ModelRefusal as refusal:
        raise invalid(f"{prefix}{refusal}") from None


def _check(model: Model, request: ConverseRequest, prefix: str) -> None:
    messages = request["messages"]
    check_images(model, messages)
    check_system_turns(model, messages)
    # the rules below are known of Claude only; a rule of another vendor belongs above this line
    if not model.rules.startswith("claude"):
        return
    inference = request.get("inferenceConfig") or {}
    check_stop_sequences(inference)
    check_max_tokens(model, inference, is_converse=bool(prefix))
    check_prefill(model, messages)
    check_sampling(model, request, inference)
    check_strict_tools(model, request)
    check_output_format(model, request)
    check_tool_schemas(request)
    check_signatures(messages)
    check_thinking(model, request, inference)
    check_effort(model, request)
