"""Errors as Bedrock sends them."""

_BEDROCK = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_FRONT_END = "http://internal.amazon.com/coral/com.amazon.coral.service/"

MALFORMED = "Malformed input request, please reformat your input and try again."

_STATUS = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "InternalServerException": 500,
    "InvalidSignatureException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "SerializationException": 400,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
}


class ServiceError(Exception):
    """An exception of the service.

    Args:
        name: of the exception, such as `ThrottlingException`. message: AWS's wording.
        extra: further members of the body. headers: further headers.
        is_front_end: AWS's front end refuses the request before Bedrock sees it; then the body says `Message`.
    """

    def __init__(
        self,
        name: str,
        message: str,
        *,
        extra: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        is_front_end: bool = False,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.extra = extra or {}
        self.headers = headers or {}
        self.is_front_end = is_front_end

    @property
    def status(self) -> int:
        """The HTTP status."""
        return _STATUS[self.name]

    @property
    def error_type(self) -> str:
        """The value of `x-amzn-ErrorType`, with its namespace, as seen in raw captures (agentgateway#3254)."""
        return f"{self.name}:{_FRONT_END if self.is_front_end else _BEDROCK}"

    @property
    def body(self) -> dict[str, object]:
        """The JSON body."""
        return {**self.extra, "Message" if self.is_front_end else "message": self.message}


def invalid(message: str) -> ServiceError:
    """A ValidationException."""
    return ServiceError("ValidationException", message)


def model_refused(message: str) -> ServiceError:
    """A ValidationException of the model itself, with the prefix of Converse."""
    return invalid(f"The model returned the following errors: {message}")
