"""Stop sequences, `maxTokens` and sampling parameters of Claude."""

from app.converse.request import ConverseRequest, InferenceConfiguration
from app.emulator.catalog import Model
from app.emulator.errors import invalid
from app.emulator.model_rules.refusal import ModelRefusal
from app.emulator.request_parts import model_fields


def check_stop_sequences(inference: InferenceConfiguration) -> None:
    """Refuse blank stop sequences."""
    if any(not stop.strip() for stop in inference.get("stopSequences") or ()):
        raise ModelRefusal("stop_sequences: each stop sequence must contain non-whitespace")


def check_max_tokens(model: Model, inference: InferenceConfiguration, *, is_converse: bool) -> None:
    """Converse has wording of its own (vercel/ai#2772); the model's is that of Claude Haiku 4.5 and others."""
    requested = inference.get("maxTokens") or 0
    limit = model.max_output_tokens
    if requested <= limit:
        return
    if is_converse:
        raise invalid(
            f"The maximum tokens you requested exceeds the model limit of {limit}. "
            f"Try again with a maximum tokens value that is lower than {limit}."
        )
    raise ModelRefusal(
        f"max_tokens: {requested} > {limit}, which is the maximum allowed number of output tokens for {model.id}"
    )


def check_sampling(model: Model, request: ConverseRequest, inference: InferenceConfiguration) -> None:
    """Check `temperature`, `topP` and `top_k`."""
    if model.rules in ("claude-4.5", "claude-4.6") and "temperature" in inference and "topP" in inference:
        # BoltAI#399
        raise ModelRefusal("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if model.rules != "claude-5":
        return
    for name, value in (
        ("temperature", inference.get("temperature")),
        ("top_p", inference.get("topP")),
        ("top_k", model_fields(request).get("top_k")),
    ):
        if value is not None:
            raise ModelRefusal(f"`{name}` is deprecated for this model.")  # openclaw#73663
