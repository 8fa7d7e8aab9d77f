"""Length, temperature, topP, top_k and stop sequences.

Evidence: Converse accepts a temperature from 0 to 1, OpenAI one up to 2 (service model); "`temperature` and `top_p`
cannot both be specified for this model" (BoltAI#399); "`temperature` is deprecated for this model" (openclaw#73663).
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.converse.request import InferenceConfiguration
from app.errors import InvalidRequest

_ROOM = {"high": 2, "xhigh": 4, "max": 4}


def adapt_length(adapted: AdaptedRequest) -> None:
    """Bring maxTokens within the model's limits, before a later pass derives a budget for reasoning from it."""
    config = adapted.body.get("inferenceConfig", {})
    given = config.get("maxTokens")
    if given is None:
        return
    length = max(min(given, adapted.capabilities.max_output), adapted.capabilities.output.min_length)
    if length != given:
        adapted.body["inferenceConfig"] = {**config, "maxTokens": length}
        adapted.adjust("max_tokens")


def request_length(adapted: AdaptedRequest) -> None:
    """Name a length where the caller names none and the model's own default is too short; room for reasoning is added.

    Adaptive reasoning has no budget: twice the default leaves room at the effort `high`, four times above it.
    """
    config = adapted.body.get("inferenceConfig", {})
    capabilities = adapted.capabilities
    default = capabilities.output.default_length
    if not default or "maxTokens" in config:
        return
    fields: Any = adapted.body.get("additionalModelRequestFields", {})
    thinking = fields.get("thinking", {})
    kind = thinking.get("type", "disabled" if capabilities.reasoning.by_default == "no" else "adaptive")
    length = default + thinking.get("budget_tokens", 0)
    if kind == "adaptive":
        length *= _ROOM.get(fields.get("output_config", {}).get("effort", "high"), 1)
    adapted.body["inferenceConfig"] = {**config, "maxTokens": min(length, capabilities.max_output)}


def adapt_sampling(adapted: AdaptedRequest) -> None:
    """Limit or leave out the parameters that the model refuses.

    Raises:
        InvalidRequest: more stop sequences than the model accepts.
    """
    if adapted.intent.top_k is not None:
        _add_top_k(adapted, adapted.intent.top_k)
    given = adapted.body.get("inferenceConfig")
    if given is None:
        return
    config = given.copy()
    _limit_randomness(config, adapted)
    _limit_stops(config, adapted)
    if config:
        adapted.body["inferenceConfig"] = config
    else:
        del adapted.body["inferenceConfig"]


def _limit_randomness(config: InferenceConfiguration, adapted: AdaptedRequest) -> None:
    if config.get("temperature", 0.0) > 1:
        config["temperature"] = 1.0
        adapted.adjust("temperature")
    if not adapted.capabilities.sampling.accepted:
        if config.pop("temperature", None) is not None:
            adapted.adjust("temperature")
        if config.pop("topP", None) is not None:
            adapted.adjust("top_p")
    if not adapted.capabilities.sampling.temperature_with_top_p and "temperature" in config and "topP" in config:
        del config["topP"]
        adapted.adjust("top_p")


def _limit_stops(config: InferenceConfiguration, adapted: AdaptedRequest) -> None:
    stops = config.get("stopSequences")
    if stops is None:
        return
    kept = [stop for stop in stops if stop.strip()]
    if len(kept) < len(stops):
        adapted.adjust("stop")
    limit = adapted.capabilities.sampling.max_stop_sequences
    if len(kept) > limit:
        words = f"at most {limit}" if limit else "no"
        raise InvalidRequest(f"this model takes {words} stop sequences", param=adapted.path("stop"))
    if kept:
        config["stopSequences"] = kept
    else:
        del config["stopSequences"]


def _add_top_k(adapted: AdaptedRequest, top_k: int) -> None:
    """Add top_k in the model's own field. A model accepts none while it reasons.

    Source: docs/reference/contracts/converse-rules.md#thinking
    """
    fields: Any = adapted.body.get("additionalModelRequestFields", {})
    thinking = fields.get("thinking", {}).get("type", "disabled")
    match adapted.capabilities.sampling.top_k:
        case "field" if adapted.capabilities.sampling.accepted and thinking == "disabled":
            adapted.add_field("top_k", top_k)
        case "field":
            adapted.adjust("top_k")
        case "nested":
            adapted.add_field("inferenceConfig", {"topK": top_k})
        case _:
            adapted.ignored.append("top_k")
