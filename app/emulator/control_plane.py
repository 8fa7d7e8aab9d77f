"""The control plane: foundation models and inference profiles.

The `list_` operations take the query of a request, the `get_` operations an id or an ARN.
"""

from collections.abc import Iterator
from typing import TypedDict

from app.emulator.catalog import ACCOUNT, MODELS, REGION, Model
from app.emulator.errors import ServiceError, invalid
from app.emulator.model_lookup import ARN


class _Lifecycle(TypedDict):
    status: str


class FoundationModelSummary(TypedDict):
    """A model, as AWS describes it."""

    modelArn: str
    modelId: str
    modelName: str
    providerName: str
    inputModalities: list[str]
    outputModalities: list[str]
    responseStreamingSupported: bool
    customizationsSupported: list[str]
    inferenceTypesSupported: list[str]
    modelLifecycle: _Lifecycle


class FoundationModelList(TypedDict):
    """The response of ListFoundationModels."""

    modelSummaries: list[FoundationModelSummary]


class FoundationModel(TypedDict):
    """The response of GetFoundationModel."""

    modelDetails: FoundationModelSummary


class _ProfileModel(TypedDict):
    modelArn: str


class InferenceProfile(TypedDict, total=False):
    """An inference profile, as AWS describes it; an application profile has no description."""

    inferenceProfileName: str
    description: str
    inferenceProfileArn: str
    models: list[_ProfileModel]
    inferenceProfileId: str
    status: str
    type: str


class InferenceProfileList(TypedDict, total=False):
    """The response of ListInferenceProfiles."""

    inferenceProfileSummaries: list[InferenceProfile]
    nextToken: str


def list_foundation_models(query: dict[str, str]) -> FoundationModelList:
    """List the models, filtered by `byProvider`, `byOutputModality` and `byInferenceType`."""
    summaries = [_summary(model) for model in MODELS.values() if model.is_converse]
    if provider := query.get("byProvider"):
        summaries = [each for each in summaries if each["providerName"].lower() == provider.lower()]
    if modality := query.get("byOutputModality"):
        summaries = [each for each in summaries if modality in each["outputModalities"]]
    if inference_type := query.get("byInferenceType"):
        summaries = [each for each in summaries if inference_type in each["inferenceTypesSupported"]]
    return {"modelSummaries": summaries}


def get_foundation_model(name: str) -> FoundationModel:
    """Get a model.

    Raises:
        ServiceError: a ResourceNotFoundException.
    """
    model = MODELS.get(name.rpartition("/")[2])
    if model is None:
        raise ServiceError(
            "ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."
        )
    return {"modelDetails": _summary(model)}


def list_inference_profiles(query: dict[str, str]) -> InferenceProfileList:
    """List one page of the system's profiles; there are no application profiles to list.

    Raises:
        ServiceError: a ValidationException for a bad `nextToken` or `maxResults`.
    """
    if query.get("type") == "APPLICATION":
        return {"inferenceProfileSummaries": []}
    first = _number(query.get("nextToken"), 0, 1_000_000, default=0)
    size = _number(query.get("maxResults"), 1, 1000, default=100)
    profiles = list(_system_profiles())
    page: InferenceProfileList = {"inferenceProfileSummaries": profiles[first : first + size]}
    if first + size < len(profiles):
        page["nextToken"] = str(first + size)
    return page


def get_inference_profile(name: str) -> InferenceProfile:
    """Get a profile; the id of an application profile is the id of its model.

    Raises:
        ServiceError: a ResourceNotFoundException.
    """
    for profile in _system_profiles():
        if name in (profile["inferenceProfileId"], profile["inferenceProfileArn"]):
            return profile
    match = ARN.match(name)
    if match is not None and match[3] == "application-inference-profile" and match[4] in MODELS:
        model = MODELS[match[4]]
        return {
            "inferenceProfileName": model.name,
            "inferenceProfileArn": name,
            "models": [{"modelArn": model.arn}],
            "inferenceProfileId": model.id,
            "status": "ACTIVE",
            "type": "APPLICATION",
        }
    raise ServiceError("ResourceNotFoundException", "The specified inference profile was not found.")


def list_mantle_models() -> dict[str, object]:
    """List the models that mantle serves, in OpenAI's format."""
    served = [each for each in MODELS.values() if not each.is_converse or "mantle" in " ".join(each.openai)]
    data = [{"id": each.mantle_id or each.id, "object": "model", "created": 0, "owned_by": "system"} for each in served]
    return {"object": "list", "data": data}


def _summary(model: Model) -> FoundationModelSummary:
    return {
        "modelArn": model.arn,
        "modelId": model.id,
        "modelName": model.name,
        "providerName": model.provider,
        "inputModalities": list(model.inputs),
        "outputModalities": ["EMBEDDING"] if model.kind == "embedding" else ["TEXT"],
        "responseStreamingSupported": model.kind == "chat",
        "customizationsSupported": [],
        "inferenceTypesSupported": ["INFERENCE_PROFILE"] if model.profile_only else ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _system_profiles() -> Iterator[InferenceProfile]:
    for model in MODELS.values():
        for geography in ("us", "global") if model.profile_only else ():
            yield {
                "inferenceProfileName": f"{geography.upper()} {model.name}",
                "description": f"Routes requests to {model.name}.",
                "inferenceProfileArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{geography}.{model.id}",
                "models": [{"modelArn": model.arn}],
                "inferenceProfileId": f"{geography}.{model.id}",
                "status": "ACTIVE",
                "type": "SYSTEM_DEFINED",
            }


def _number(text: str | None, minimum: int, maximum: int, *, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or not minimum <= int(text) <= maximum:
        raise invalid(f"Value '{text}' failed to satisfy constraint: Member must be a number of {minimum} to {maximum}")
    return int(text)
