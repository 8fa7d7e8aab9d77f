"""Finds a model by the name that a call gives it."""

import re

from app.emulator.catalog import MODELS, Model
from app.emulator.errors import invalid

ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]*):([0-9]*):([a-z-]+)/(.+)\Z")

_GEOGRAPHIES = ("us", "eu", "apac", "global")


def find_model(name: str) -> tuple[Model, str]:
    """Find a model by its id, the id of a profile, or an ARN; returns it with the suffix that names a fault.

    The suffix follows the version of a model: `scripted.echo-v1:0.throttle-2`.

    Raises:
        ServiceError: a ValidationException.
    """
    match = ARN.match(name)
    if match is not None and match[3] in ("inference-profile", "application-inference-profile", "foundation-model"):
        return _find(match[4], is_by_profile=match[3] != "foundation-model")
    if name.startswith("arn:"):
        raise invalid("The provided model identifier is invalid.")
    return _find(name, is_by_profile=False)


def find_for_token_count(name: str) -> tuple[Model, str]:
    """Find a model by its id, even one that is sold by profile only; returns the same as `find_model`.

    Raises:
        ServiceError: a ValidationException.
    """
    return _find(name, is_by_profile=True)


def find_on_openai(name: str) -> tuple[Model, str]:
    """Find a model that the runtime may serve by OpenAI's APIs; returns the same as `find_model`.

    Raises:
        ServiceError: a ValidationException.
    """
    return _find(name, is_by_profile=False, is_converse=False)


def find_on_mantle(name: str) -> tuple[Model, str] | None:
    """Find a model by its id on mantle; returns the same as `find_model`, or None."""
    base, _, suffix = name.partition(":0.")
    for model in MODELS.values():
        if name == (model.mantle_id or model.id):
            return model, ""
        if suffix and model.id in (base, f"{base}:0") and model.openai:
            return model, suffix
    return None


def _find(name: str, *, is_by_profile: bool, is_converse: bool = True) -> tuple[Model, str]:
    geography, _, rest = name.partition(".")
    if geography in _GEOGRAPHIES:
        name, is_by_profile = rest, True
    base, _, suffix = name.partition(":0.")
    model = MODELS.get(f"{base}:0" if suffix else base) or MODELS.get(base)
    if model is None or (is_converse and not model.is_converse):
        raise invalid("The provided model identifier is invalid.")
    if model.profile_only and not is_by_profile:
        raise invalid(
            f"Invocation of model ID {name} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
            "Retry your request with the ID or ARN of an inference profile that contains this model."
        )
    return model, suffix
