"""Paths that lead nowhere still answer in the language of whoever asked."""

from app.dialects.bedrock import errors as bedrock
from app.dialects.envelopes import ErrorRenderer
from app.dialects.openai_chat import errors as openai_chat

_BEDROCK_PATHS = (
    "/model/",
    "/foundation-model",
    "/inference-profile",
    "/guardrail",
    "/async-invoke",
    "/imported-models",
    "/prompt-routers",
    "/provisioned-model",
)


def renderer_for(path: str, authorization: str) -> ErrorRenderer:
    """How to render an error for a path without a door: as Bedrock for AWS's paths and signatures, else as OpenAI."""
    if path.startswith(_BEDROCK_PATHS) or authorization.startswith("AWS4-"):
        return bedrock.render_error
    return openai_chat.render_error
