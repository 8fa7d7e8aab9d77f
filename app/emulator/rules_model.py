"""The rules of a model's own layer. Converse puts its prefix before their words, InvokeModel does not."""

from typing import Any

from app.emulator.catalog import Model
from app.emulator.errors import invalid
from app.emulator.grammar import complaint, complaint_together
from app.kit import json

_MAX_IMAGES = 20
_STRICT = ("claude-4.5", "claude-4.6")
_ADAPTIVE = ("claude-5", "claude-4.6")


def check_model_side(model: Model, request: dict[str, Any], prefix: str) -> None:
    """The rules of the model's own layer; Converse puts its prefix before their words, InvokeModel does not.

    Raises:
        ServiceError: a ValidationException.
    """
    try:
        _check_model(model, request, prefix)
    except _Refused as refused:
        raise invalid(f"{prefix}{refused}") from None


class _Refused(Exception):
    """The model's own words."""


def _check_model(model: Model, request: dict[str, Any], prefix: str) -> None:
    messages = request["messages"]
    inference = request.get("inferenceConfig") or {}
    _check_modalities(model, messages)
    _check_system_turns(model, messages)
    if not model.family.startswith("claude"):
        return
    if any(not stop.strip() for stop in inference.get("stopSequences") or ()):
        raise _Refused("stop_sequences: each stop sequence must contain non-whitespace")
    _check_length(model, inference, prefix)
    _check_end(model, messages)
    _check_sampling(model, request, inference)
    _check_strictness(model, request)
    _check_format(model, request)
    _check_schemas_of_tools(request)
    _check_thoughts(messages)
    _check_thinking(model, request, inference)
    _check_effort(model, request)


def _check_modalities(model: Model, messages: list[Any]) -> None:
    images = sum("image" in block for message in messages for block in message["content"])
    if images and "IMAGE" not in model.inputs:
        raise invalid(
            "This model doesn't support the image content block that you provided. Update the content block "
            "and try again."
        )
    if images > _MAX_IMAGES:
        raise _Refused(f"messages: too many images: image_count > {_MAX_IMAGES}")  # boto3#4632, cline#1844


def _check_system_turns(model: Model, messages: list[Any]) -> None:
    """Contracts 3.5: only on the newest Claude, behind the user's turn, and last or before the assistant's."""
    roles = [message["role"] for message in messages]
    for place, role in enumerate(roles):
        if role != "system":
            continue
        if model.family != "claude-5":
            raise _Refused('messages: Unexpected role "system".')
        if place == 0 or roles[place - 1] != "user" or roles[place + 1 : place + 2] not in ([], ["assistant"]):
            raise _Refused(f"messages.{place}: a system message must follow a user turn.")


def _check_length(model: Model, inference: Any, prefix: str) -> None:
    """Converse says so itself (vercel/ai#2772); the model's own words are those of Claude Haiku 4.5 and others."""
    wished = inference.get("maxTokens") or 0
    if wished > model.most_output and prefix:
        words = f"The maximum tokens you requested exceeds the model limit of {model.most_output}."
        raise invalid(f"{words} Try again with a maximum tokens value that is lower than {model.most_output}.")
    if wished > model.most_output:
        most = "which is the maximum allowed number of output tokens for"
        raise _Refused(f"max_tokens: {wished} > {model.most_output}, {most} {model.id}")


def _check_end(model: Model, messages: list[Any]) -> None:
    if messages[-1]["role"] != "assistant":
        return
    if model.family in ("claude-5", "claude-4.6"):
        # MiMo-Code#1702
        raise _Refused(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    end = messages[-1]["content"][-1].get("text") or ""
    if end != end.rstrip():
        raise _Refused("messages: final assistant content cannot end with trailing whitespace")


def _check_sampling(model: Model, request: dict[str, Any], inference: Any) -> None:
    if model.family in ("claude-4.5", "claude-4.6") and "temperature" in inference and "topP" in inference:
        # BoltAI#399
        raise _Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if model.family != "claude-5":
        return
    for name, value in (
        ("temperature", inference.get("temperature")),
        ("top_p", inference.get("topP")),
        ("top_k", _fields(request).get("top_k")),
    ):
        if value is not None:
            raise _Refused(f"`{name}` is deprecated for this model.")  # openclaw#73663


def _check_strictness(model: Model, request: dict[str, Any]) -> None:
    """litellm#31582 and #33193; recording strict_tool_calls for Sonnet 4.5, vercel/ai#18199 for 4.6."""
    for place, tool in enumerate((request.get("toolConfig") or {"tools": []})["tools"]):
        if tool.get("toolSpec", {}).get("strict") and model.family not in _STRICT:
            raise _Refused(f"tools.{place}.custom.strict: Extra inputs are not permitted")
    _check_grammars(request)


def _check_grammars(request: dict[str, Any]) -> None:
    specs = [tool.get("toolSpec", {}) for tool in (request.get("toolConfig") or {"tools": []})["tools"]]
    strict = {place: spec["inputSchema"]["json"] for place, spec in enumerate(specs) if spec.get("strict")}
    for place, schema in strict.items():
        if words := complaint(schema):
            raise _Refused(f"tools.{place}.custom: {words}")
    wanted = (request.get("outputConfig") or {}).get("textFormat")
    output = [json.loads(wanted["structure"]["jsonSchema"]["schema"])] if wanted else []
    if output and (words := complaint(output[0])):
        raise _Refused(f"output_config.format.schema: {words}")
    if words := complaint_together([*strict.values(), *output], len(strict)):
        raise _Refused(words)


def _check_format(model: Model, request: dict[str, Any]) -> None:
    """anthropic-sdk-python#1759 and vercel/ai#14773: not since 4.7."""
    if model.family == "claude-5" and (request.get("outputConfig") or {}).get("textFormat"):
        raise _Refused("output_config.format: Extra inputs are not permitted")


def _check_schemas_of_tools(request: dict[str, Any]) -> None:
    """cua#3303, kilocode#12246."""
    for place, tool in enumerate((request.get("toolConfig") or {"tools": []})["tools"]):
        schema = tool.get("toolSpec", {}).get("inputSchema", {}).get("json", {})
        if {"oneOf", "allOf", "anyOf"} & schema.keys():
            path = f"tools.{place}.custom.input_schema"
            raise _Refused(f"{path}: input_schema does not support oneOf, allOf, or anyOf at the top level")


def _check_thoughts(messages: list[Any]) -> None:
    for turn, message in enumerate(messages):
        for place, block in enumerate(message["content"]):
            thought = (block.get("reasoningContent") or {}).get("reasoningText")
            if thought and not thought.get("signature"):
                raise _Refused(f"messages.{turn}.content.{place}.thinking.signature: Field required")


def _check_thinking(model: Model, request: dict[str, Any], inference: Any) -> None:
    thinking = _fields(request).get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    is_forced = bool(set((request.get("toolConfig") or {}).get("toolChoice") or {}) & {"any", "tool"})
    # langchain-aws#1141, #1151: both go together since 4.8
    if is_forced and kind in ("enabled", "adaptive") and model.family != "claude-5":
        raise _Refused("Thinking may not be enabled when tool_choice forces tool use.")
    if kind not in ("enabled", "adaptive"):
        return
    if kind == "enabled":
        _check_budget(model, thinking, inference)
    elif model.family not in _ADAPTIVE:
        raise _Refused("adaptive thinking is not supported on this model")  # llm-gateway#1928
    if inference.get("topP") is not None and inference["topP"] < 0.95:
        # forgecode#3472
        raise _Refused("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
    if (inference.get("temperature") or 1) != 1 or _fields(request).get("top_k") is not None:
        raise _Refused("`temperature` may only be set to 1 when thinking is enabled.")


def _check_effort(model: Model, request: dict[str, Any]) -> None:
    """Seen live by others on Claude 4.5 and 4.6, 2026."""
    effort = (_fields(request).get("output_config") or {}).get("effort")
    if effort and model.family not in _ADAPTIVE:
        raise _Refused("This model does not support the effort parameter.")
    if effort == "xhigh" and model.family != "claude-5":
        raise _Refused("This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.")


def _check_budget(model: Model, thinking: Any, inference: Any) -> None:
    budget = thinking.get("budget_tokens")
    if model.family == "claude-5":
        raise _Refused(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if not isinstance(budget, int) or budget < 1024:
        raise _Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= (inference.get("maxTokens") or budget + 1):
        raise _Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _fields(request: dict[str, Any]) -> dict[str, Any]:
    fields = request.get("additionalModelRequestFields")
    return fields if isinstance(fields, dict) else {}
