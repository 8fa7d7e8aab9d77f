"""The control plane: foundation models and inference profiles.

The `list_` operations take the query of a request, the `get_` operations an id or an ARN.
"""

from app.emulator.catalog import ACCOUNT, MODELS, REGION
from app.emulator.errors import ServiceError, invalid
from app.emulator.model_lookup import ARN
from app.wire.json import JsonObject


def list_foundation_models(query: dict[str, str]) -> JsonObject:
    """ListFoundationModels, with its filters."""
    summaries = [model.summary() for model in MODELS.values() if model.is_converse]
    if wanted := query.get("byProvider"):
        summaries = [each for each in summaries if each["providerName"].lower() == wanted.lower()]
    if wanted := query.get("byOutputModality"):
        summaries = [each for each in summaries if wanted in each["outputModalities"]]
    if wanted := query.get("byInferenceType"):
        summaries = [each for each in summaries if wanted in each["inferenceTypesSupported"]]
    return {"modelSummaries": summaries}


def get_foundation_model(name: str) -> JsonObject:
    """GetFoundationModel, by id or ARN."""
    model = MODELS.get(name.rpartition("/")[2])
    if model is None:
        raise ServiceError(
            "ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."
        )
    return {"modelDetails": model.summary()}


def _profiles() -> list[JsonObject]:
    return [
        {
            "inferenceProfileName": f"{geography.upper()} {model.name}",
            "description": f"Routes requests to {model.name}.",
            "inferenceProfileArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{geography}.{model.id}",
            "models": [{"modelArn": model.arn}],
            "inferenceProfileId": f"{geography}.{model.id}",
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }
        for model in MODELS.values()
        if model.profile_only
        for geography in ("us", "global")
    ]


def list_inference_profiles(query: dict[str, str]) -> JsonObject:
    """ListInferenceProfiles, page by page."""
    if query.get("type") == "APPLICATION":
        return {"inferenceProfileSummaries": []}
    first = _number(query.get("nextToken"), 0, 1_000_000, default=0)
    size = _number(query.get("maxResults"), 1, 1000, default=100)
    profiles = _profiles()
    page: JsonObject = {"inferenceProfileSummaries": profiles[first : first + size]}
    if first + size < len(profiles):
        page["nextToken"] = str(first + size)
    return page


def _number(text: str | None, least: int, most: int, *, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or not least <= int(text) <= most:
        raise invalid(f"Value '{text}' failed to satisfy constraint: Member must be a number of {least} to {most}")
    return int(text)


def get_inference_profile(name: str) -> JsonObject:
    """GetInferenceProfile, by id or ARN; an application profile is named after the model that it stands for."""
    for profile in _profiles():
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
