"""Errors in OpenAI's envelope."""

from app.emulator.errors import ServiceError, invalid


class OpenAIServiceError(ServiceError):
    """An error in OpenAI's envelope."""

    @property
    def error_type(self) -> str:
        """Empty: these APIs name their errors in the body only."""
        return ""

    @property
    def body(self) -> dict[str, object]:
        """The JSON body."""
        kind = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        return {"error": {"code": "validation_error", "message": self.message, "param": None, "type": kind}}


def refused(message: str) -> OpenAIServiceError:
    """A request that the API itself refuses."""
    return OpenAIServiceError("ValidationException", message)


def unsupported_model(model: str, *, is_mantle: bool, path: str) -> ServiceError:
    """A model that is not served on this path."""
    if is_mantle:
        return refused(f"model `{model}` isn't supported on this route")
    return invalid(f"The model '{model}' does not support the '{path}' API")
