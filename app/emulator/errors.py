"""An error as Bedrock sends it."""

_BEDROCK = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_FRONT_DOOR = "http://internal.amazon.com/coral/com.amazon.coral.service/"

MALFORMED = "Malformed input request, please reformat your input and try again."

STATUS = {
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
        name: the exception, as `ThrottlingException`. message: AWS's wording.
        extra: further members of the body. headers: further headers.
        is_front_end: refused before it reached Bedrock; then the body says `Message`.
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
        """The HTTP status that goes with the name."""
        return STATUS[self.name]

    @property
    def error_type(self) -> str:
        """The value of `x-amzn-ErrorType`, with its namespace, as seen in raw captures (agentgateway#3254)."""
        return f"{self.name}:{_FRONT_DOOR if self.is_front_end else _BEDROCK}"

    @property
    def body(self) -> dict[str, object]:
        """The JSON body."""
        return {**self.extra, "Message" if self.is_front_end else "message": self.message}


def invalid(message: str) -> ServiceError:
    """A ValidationException."""
    return ServiceError("ValidationException", message)


def model_refused(message: str) -> ServiceError:
    """A ValidationException that came from the model's own layer, with the prefix that Converse gives it."""
    return invalid(f"The model returned the following errors: {message}")
