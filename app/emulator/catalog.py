"""The models that this Bedrock has, and what its control plane says of them."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from app.emulator.errors import ServiceError, invalid

REGION = "us-east-1"
ACCOUNT = "123456789012"
LLM_ID = "local.smollm2-135m-instruct-v1:0"

Kind = Literal["chat", "embedding", "rerank"]

_GEOGRAPHIES = ("us", "eu", "apac", "global")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]*):([0-9]*):([a-z-]+)/(.+)\Z")


@dataclass(frozen=True, slots=True)
class Model:
    """A foundation model.

    family: which of Bedrock's model-side rules hold. tool_choices: what it takes besides `auto`; None: no tools at all.
    profile_only: cannot be called by its base id. openai: where OpenAI's APIs are served for it, as `runtime` or
    `mantle` and the path. mantle_id: its id there, where it is another. is_converse: the runtime knows it.
    max_output_tokens: the most tokens that it answers.
    """

    id: str
    name: str
    provider: str
    family: str = "plain"
    kind: Kind = "chat"
    tool_choices: frozenset[str] | None = frozenset({"any", "tool"})
    inputs: tuple[str, ...] = ("TEXT", "IMAGE")
    profile_only: bool = False
    caching: bool = True
    openai: tuple[str, ...] = ()
    mantle_id: str = ""
    is_converse: bool = True
    max_output_tokens: int = 128_000

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:bedrock:{REGION}::foundation-model/{self.id}"

    def summary(self) -> dict[str, Any]:
        """Its entry in ListFoundationModels."""
        return {
            "modelArn": self.arn,
            "modelId": self.id,
            "modelName": self.name,
            "providerName": self.provider,
            "inputModalities": list(self.inputs),
            "outputModalities": ["EMBEDDING"] if self.kind == "embedding" else ["TEXT"],
            "responseStreamingSupported": self.kind == "chat",
            "customizationsSupported": [],
            "inferenceTypesSupported": ["INFERENCE_PROFILE"] if self.profile_only else ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        }


_NO_CHOICE: frozenset[str] = frozenset()
_ANY_ONLY = frozenset({"any"})

SCENES = (
    "echo",
    "long",
    "tools",
    "parallel",
    "toolonly",
    "thinking",
    "redacted",
    "citations",
    "structured",
    "media",
    "slow",
    "silent",
    "guarded",
    "malformed",
    "cached",
    "servertool",
)

MODELS: tuple[Model, ...] = (
    Model("anthropic.claude-sonnet-5", "Claude Sonnet 5", "Anthropic", "claude-5", profile_only=True),
    Model("anthropic.claude-opus-4-8", "Claude Opus 4.8", "Anthropic", "claude-5", profile_only=True),
    Model("anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6", "Anthropic", "claude-4.6", profile_only=True),
    Model(
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "Claude Sonnet 4.5",
        "Anthropic",
        "claude-4.5",
        profile_only=True,
        max_output_tokens=64_000,
    ),
    Model(
        "anthropic.claude-sonnet-4-20250514-v1:0", "Claude Sonnet 4", "Anthropic", "claude", max_output_tokens=64_000
    ),
    Model(
        "anthropic.claude-3-haiku-20240307-v1:0",
        "Claude 3 Haiku",
        "Anthropic",
        "claude",
        caching=False,
        max_output_tokens=4096,
    ),
    Model("amazon.nova-2-lite-v1:0", "Nova 2 Lite", "Amazon", "nova", profile_only=True),
    Model("amazon.nova-micro-v1:0", "Nova Micro", "Amazon", "nova", inputs=("TEXT",)),
    Model("amazon.nova-pro-v1:0", "Nova Pro", "Amazon", "nova"),
    Model(
        "meta.llama4-maverick-17b-instruct-v1:0",
        "Llama 4 Maverick",
        "Meta",
        "llama",
        tool_choices=_NO_CHOICE,
        profile_only=True,
        caching=False,
    ),
    Model(
        "mistral.pixtral-large-2502-v1:0", "Pixtral Large", "Mistral AI", "mistral", profile_only=True, caching=False
    ),
    Model("qwen.qwen3-32b-v1:0", "Qwen3 32B", "Qwen", tool_choices=_ANY_ONLY, inputs=("TEXT",), caching=False),
    Model(
        "openai.gpt-oss-120b-1:0",
        "gpt-oss-120b",
        "OpenAI",
        tool_choices=_NO_CHOICE,
        inputs=("TEXT",),
        caching=False,
        openai=("runtime/openai/v1/chat/completions", "mantle/v1/responses", "mantle/v1/chat/completions"),
        mantle_id="openai.gpt-oss-120b",
    ),
    Model(
        "openai.gpt-5.6-sol",
        "GPT-5.6 Sol",
        "OpenAI",
        "gpt",
        profile_only=True,
        caching=False,
        openai=("runtime/openai/v1/responses", "runtime/openai/v1/chat/completions", "mantle/openai/v1/responses"),
    ),
    Model("openai.gpt-5.5", "GPT-5.5", "OpenAI", "gpt", openai=("mantle/openai/v1/responses",), is_converse=False),
    Model(
        "google.gemma-4-31b",
        "Gemma 4 31B",
        "Google",
        openai=("mantle/openai/v1/responses", "mantle/openai/v1/chat/completions"),
        is_converse=False,
    ),
    Model(
        "amazon.titan-text-express-v1",
        "Titan Text Express",
        "Amazon",
        tool_choices=None,
        inputs=("TEXT",),
        caching=False,
    ),
    Model("amazon.titan-embed-text-v1", "Titan Text Embeddings", "Amazon", "titan-1", "embedding", inputs=("TEXT",)),
    Model(
        "amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2", "Amazon", "titan-2", "embedding", inputs=("TEXT",)
    ),
    Model("cohere.embed-english-v3", "Embed English", "Cohere", "cohere-3", "embedding", inputs=("TEXT",)),
    Model("cohere.embed-multilingual-v3", "Embed Multilingual", "Cohere", "cohere-3", "embedding", inputs=("TEXT",)),
    Model("cohere.embed-v4:0", "Embed v4", "Cohere", "cohere-4", "embedding"),
    Model("amazon.nova-2-multimodal-embeddings-v1:0", "Nova Multimodal Embeddings", "Amazon", "nova-2", "embedding"),
    Model("cohere.rerank-v3-5:0", "Rerank 3.5", "Cohere", "cohere-rerank", "rerank", inputs=("TEXT",)),
    Model("amazon.rerank-v1:0", "Rerank 1.0", "Amazon", "amazon-rerank", "rerank", inputs=("TEXT",)),
    *(Model(f"scripted.{scene}-v1:0", f"Scripted: {scene}", "Scripted") for scene in SCENES),
    Model(LLM_ID, "SmolLM2 135M Instruct", "Local", tool_choices=None, inputs=("TEXT",), caching=False),
)

_BY_ID = {model.id: model for model in MODELS}


def find_model(name: str) -> tuple[Model, str]:
    """The model behind an id, a profile id or an ARN, and the fault that a suffix asks for.

    A suffix stands behind the version of a model: `scripted.echo-v1:0.throttle-2`.

    Raises:
        ServiceError: in AWS's words.
    """
    match = _ARN.match(name)
    if match is not None and match[3] in ("inference-profile", "application-inference-profile", "foundation-model"):
        inside = match[4]
        return _find(inside, is_by_profile=match[3] != "foundation-model")
    if name.startswith("arn:"):
        raise invalid("The provided model identifier is invalid.")
    return _find(name, is_by_profile=False)


def find_counted(name: str) -> tuple[Model, str]:
    """The model whose tokens are counted, by its base id even where it is sold by profile only."""
    return _find(name, is_by_profile=True)


def _find(name: str, *, is_by_profile: bool) -> tuple[Model, str]:
    geography, _, rest = name.partition(".")
    if geography in _GEOGRAPHIES:
        name, is_by_profile = rest, True
    base, _, fault = name.partition(":0.")
    base = f"{base}:0" if fault else base
    model = _BY_ID.get(base)
    if model is None or not model.is_converse:
        raise invalid("The provided model identifier is invalid.")
    if model.profile_only and not is_by_profile:
        raise invalid(
            f"Invocation of model ID {name} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
            "Retry your request with the ID or ARN of an inference profile that contains this model."
        )
    return model, fault


def find_on_mantle(name: str) -> tuple[Model, str] | None:
    """The model that mantle knows by this id, and the fault that a suffix asks for; None where it knows none."""
    base, _, fault = name.partition(":0.")
    for model in MODELS:
        if name == (model.mantle_id or model.id):
            return model, ""
        if fault and f"{base}:0" == model.id and model.openai:
            return model, fault
    return None


def list_foundation_models(query: dict[str, str]) -> dict[str, Any]:
    """ListFoundationModels, with its filters."""
    summaries = [model.summary() for model in MODELS if model.is_converse]
    if wanted := query.get("byProvider"):
        summaries = [each for each in summaries if each["providerName"].lower() == wanted.lower()]
    if wanted := query.get("byOutputModality"):
        summaries = [each for each in summaries if wanted in each["outputModalities"]]
    if wanted := query.get("byInferenceType"):
        summaries = [each for each in summaries if wanted in each["inferenceTypesSupported"]]
    return {"modelSummaries": summaries}


def get_foundation_model(name: str) -> dict[str, Any]:
    """GetFoundationModel, by id or ARN."""
    model = _BY_ID.get(name.rpartition("/")[2])
    if model is None:
        raise ServiceError(
            "ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."
        )
    return {"modelDetails": model.summary()}


def _profiles() -> list[dict[str, Any]]:
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
        for model in MODELS
        if model.profile_only
        for geography in ("us", "global")
    ]


def list_inference_profiles(query: dict[str, str]) -> dict[str, Any]:
    """ListInferenceProfiles, page by page."""
    if query.get("type") == "APPLICATION":
        return {"inferenceProfileSummaries": []}
    first = _number(query.get("nextToken"), 0, 1_000_000, default=0)
    size = _number(query.get("maxResults"), 1, 1000, default=100)
    profiles = _profiles()
    page: dict[str, Any] = {"inferenceProfileSummaries": profiles[first : first + size]}
    if first + size < len(profiles):
        page["nextToken"] = str(first + size)
    return page


def _number(text: str | None, least: int, most: int, *, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or not least <= int(text) <= most:
        raise invalid(f"Value '{text}' failed to satisfy constraint: Member must be a number of {least} to {most}")
    return int(text)


def get_inference_profile(name: str) -> dict[str, Any]:
    """GetInferenceProfile, by id or ARN; an application profile is named after the model that it stands for."""
    for profile in _profiles():
        if name in (profile["inferenceProfileId"], profile["inferenceProfileArn"]):
            return profile
    match = _ARN.match(name)
    if match is not None and match[3] == "application-inference-profile" and match[4] in _BY_ID:
        model = _BY_ID[match[4]]
        return {
            "inferenceProfileName": model.name,
            "inferenceProfileArn": name,
            "models": [{"modelArn": model.arn}],
            "inferenceProfileId": model.id,
            "status": "ACTIVE",
            "type": "APPLICATION",
        }
    raise ServiceError("ResourceNotFoundException", "The specified inference profile was not found.")
