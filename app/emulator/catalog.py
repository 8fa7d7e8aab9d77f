"""The models of this Bedrock."""

from dataclasses import dataclass
from typing import Literal

from app.emulator.scripted_models.scenarios import SCENARIOS

REGION = "us-east-1"
ACCOUNT = "123456789012"
LLM_ID = "local.smollm2-135m-instruct-v1:0"

Kind = Literal["chat", "embedding", "rerank"]


@dataclass(frozen=True, slots=True)
class Model:
    """A foundation model.

    rules: names the rules of the model, such as `claude-4.5`.
    tool_choices: what it accepts besides `auto`; None if it accepts no tools.
    profile_only: it cannot be called by its base id.
    openai: where OpenAI's APIs serve it: `runtime` or `mantle`, followed by the path.
    mantle_id: its id on mantle, where that differs.
    is_converse: the runtime serves it.
    quota, is_on_mantle: of a model as it was called: the name of its quota, and whether mantle serves the call.
    """

    id: str
    name: str
    provider: str
    rules: str = "plain"
    kind: Kind = "chat"
    tool_choices: frozenset[str] | None = frozenset({"any", "tool"})
    inputs: tuple[str, ...] = ("TEXT", "IMAGE")
    profile_only: bool = False
    caching: bool = True
    openai: tuple[str, ...] = ()
    mantle_id: str = ""
    is_converse: bool = True
    max_output_tokens: int = 128_000
    quota: str = ""
    is_on_mantle: bool = False

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:bedrock:{REGION}::foundation-model/{self.id}"


_NO_CHOICE: frozenset[str] = frozenset()
_ANY_ONLY = frozenset({"any"})


def _claude_5_5(model_id: str, name: str) -> Model:
    return Model(model_id, name, "Anthropic", "claude-5", tool_choices=_NO_CHOICE, profile_only=True)


def _gpt(model_id: str, name: str) -> Model:
    return Model(
        model_id,
        name,
        "OpenAI",
        "gpt",
        profile_only=True,
        caching=False,
        openai=("runtime/openai/v1/responses", "runtime/openai/v1/chat/completions", "mantle/openai/v1/responses"),
    )


_MODELS: tuple[Model, ...] = (
    _claude_5_5("anthropic.claude-fable-5-1", "Claude Fable 5.1"),
    _claude_5_5("anthropic.claude-opus-5-5", "Claude Opus 5.5"),
    _claude_5_5("anthropic.claude-sonnet-5-5", "Claude Sonnet 5.5"),
    _claude_5_5("anthropic.claude-haiku-5-5", "Claude Haiku 5.5"),
    Model("anthropic.claude-mythos-5", "Claude Mythos 5", "Anthropic", "claude-5", is_converse=False),
    Model("anthropic.claude-opus-5", "Claude Opus 5", "Anthropic", "claude-5", profile_only=True),
    Model("anthropic.claude-sonnet-5", "Claude Sonnet 5", "Anthropic", "claude-5", profile_only=True),
    Model("anthropic.claude-opus-4-8", "Claude Opus 4.8", "Anthropic", "claude-5", profile_only=True),
    Model("anthropic.claude-opus-4-6-v1", "Claude Opus 4.6", "Anthropic", "claude-4.6", profile_only=True),
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
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "Claude Haiku 4.5",
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
    Model("amazon.nova-lite-v1:0", "Nova Lite", "Amazon", "nova"),
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
    _gpt("openai.gpt-6.2-sol", "GPT-6.2 Sol"),
    _gpt("openai.gpt-5.6-sol", "GPT-5.6 Sol"),
    Model(
        "openai.gpt-5.5",
        "GPT-5.5",
        "OpenAI",
        "gpt",
        profile_only=True,
        openai=("mantle/openai/v1/responses", "runtime/openai/v1/responses"),
        is_converse=False,
    ),
    Model(
        "google.gemma-4-31b",
        "Gemma 4 31B",
        "Google",
        openai=("mantle/openai/v1/responses", "mantle/openai/v1/chat/completions"),
        is_converse=False,
    ),
    Model(
        "zai.glm-4.6",
        "GLM 4.6",
        "Z.AI",
        inputs=("TEXT",),
        openai=("mantle/v1/chat/completions",),
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
    Model("amazon.titan-embed-image-v1", "Titan Multimodal Embeddings", "Amazon", "titan-image", "embedding"),
    Model("twelvelabs.marengo-embed-2-7-v1:0", "Marengo Embed 2.7", "TwelveLabs", "marengo-2", "embedding"),
    Model("twelvelabs.marengo-embed-3-0-v1:0", "Marengo Embed 3.0", "TwelveLabs", "marengo-3", "embedding"),
    Model("cohere.embed-english-v3", "Embed English", "Cohere", "cohere-3", "embedding", inputs=("TEXT",)),
    Model("cohere.embed-multilingual-v3", "Embed Multilingual", "Cohere", "cohere-3", "embedding", inputs=("TEXT",)),
    Model("cohere.embed-v4:0", "Embed v4", "Cohere", "cohere-4", "embedding"),
    Model("amazon.nova-2-multimodal-embeddings-v1:0", "Nova Multimodal Embeddings", "Amazon", "nova-2", "embedding"),
    Model("cohere.rerank-v3-5:0", "Rerank 3.5", "Cohere", "cohere-rerank", "rerank", inputs=("TEXT",)),
    Model("amazon.rerank-v1:0", "Rerank 1.0", "Amazon", "amazon-rerank", "rerank", inputs=("TEXT",)),
    *(Model(f"scripted.{scenario}-v1:0", f"Scripted: {scenario}", "Scripted") for scenario in SCENARIOS),
    Model(LLM_ID, "SmolLM2 135M Instruct", "Local", inputs=("TEXT",), caching=False),
)

# by id; tests may replace a model
MODELS = {model.id: model for model in _MODELS}
