"""Temperature, topP and stop sequences, within what the model takes.

Evidence: Converse takes 0 to 1 where OpenAI takes up to 2 (service model); "`temperature` and `top_p` cannot both be
specified for this model" (BoltAI#399, pain 11); "`temperature` is deprecated for this model" (openclaw#73663).
"""

from typing import Any

from app.adaptation.adapted_request import Draft
from app.errors import InvalidRequest


def adapt_length(draft: Draft) -> None:
    """Ask for no more than the model gives, before anything is derived of it, such as a budget of thoughts."""
    config = draft.body.get("inferenceConfig", {})
    if config.get("maxTokens", 0) > draft.capabilities.most_output:
        draft.body["inferenceConfig"] = {**config, "maxTokens": draft.capabilities.most_output}
        draft.repair("max_tokens")


def adapt_sampling(draft: Draft) -> None:
    """Clamp, or leave out, what the model refuses.

    Raises:
        InvalidRequest: more stop sequences than the model takes.
    """
    if draft.intent.top_k is not None:
        _choose_from(draft, draft.intent.top_k)
    config = draft.body.get("inferenceConfig")
    if config is None:
        return
    config = config.copy()
    if config.get("temperature", 0.0) > 1:
        config["temperature"] = 1.0
        draft.repair("temperature")
    if not draft.capabilities.sampling:
        if config.pop("temperature", None) is not None:
            draft.repair("temperature")
        if config.pop("topP", None) is not None:
            draft.repair("top_p")
    if not draft.capabilities.temperature_with_top_p and "temperature" in config and "topP" in config:
        del config["topP"]
        draft.repair("top_p")
    stops = config.get("stopSequences")
    if stops is not None:
        kept = [stop for stop in stops if stop.strip()]
        if len(kept) < len(stops):
            draft.repair("stop")
        if len(kept) > draft.capabilities.max_stop_sequences:
            most = draft.capabilities.max_stop_sequences
            words = f"at most {most}" if most else "no"
            raise InvalidRequest(f"this model takes {words} stop sequences", param=draft.path("stop"))
        if kept:
            config["stopSequences"] = kept
        else:
            del config["stopSequences"]
    if config:
        draft.body["inferenceConfig"] = config
    else:
        del draft.body["inferenceConfig"]


def _choose_from(draft: Draft, top_k: int) -> None:
    """Say top_k in the model's own words; a model that thinks takes none (contracts 6)."""
    fields: Any = draft.body.get("additionalModelRequestFields", {})
    thinking = fields.get("thinking", {}).get("type", "disabled")
    match draft.capabilities.top_k:
        case "field" if draft.capabilities.sampling and thinking == "disabled":
            draft.add_field("top_k", top_k)
        case "field":
            draft.repair("top_k")
        case "nested":
            draft.add_field("inferenceConfig", {"topK": top_k})
        case _:
            draft.ignored.append("top_k")
