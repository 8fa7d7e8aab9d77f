"""Temperature, topP and stop sequences, within what the model takes.

Evidence: Converse takes 0 to 1 where OpenAI takes up to 2 (service model); "`temperature` and `top_p` cannot both be
specified for this model" (BoltAI#399); "`temperature` is deprecated for this model" (openclaw#73663).
"""

from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.errors import InvalidRequest


def adapt_length(adapted: AdaptedRequest) -> None:
    """Ask for no more than the model gives, before anything is derived of it, such as a budget of thoughts."""
    config = adapted.body.get("inferenceConfig", {})
    if config.get("maxTokens", 0) > adapted.capabilities.max_output:
        adapted.body["inferenceConfig"] = {**config, "maxTokens": adapted.capabilities.max_output}
        adapted.adjust("max_tokens")


def adapt_sampling(adapted: AdaptedRequest) -> None:
    """Clamp, or leave out, what the model refuses.

    Raises:
        InvalidRequest: more stop sequences than the model takes.
    """
    if adapted.intent.top_k is not None:
        _choose_from(adapted, adapted.intent.top_k)
    config = adapted.body.get("inferenceConfig")
    if config is None:
        return
    config = config.copy()
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
    stops = config.get("stopSequences")
    if stops is not None:
        kept = [stop for stop in stops if stop.strip()]
        if len(kept) < len(stops):
            adapted.adjust("stop")
        if len(kept) > adapted.capabilities.sampling.max_stop_sequences:
            limit = adapted.capabilities.sampling.max_stop_sequences
            words = f"at most {limit}" if limit else "no"
            raise InvalidRequest(f"this model takes {words} stop sequences", param=adapted.path("stop"))
        if kept:
            config["stopSequences"] = kept
        else:
            del config["stopSequences"]
    if config:
        adapted.body["inferenceConfig"] = config
    else:
        del adapted.body["inferenceConfig"]


def _choose_from(adapted: AdaptedRequest, top_k: int) -> None:
    """Say top_k in the model's own words; a model that thinks takes none.

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
