"""Every way in which a request can fail, for callers and for the retry policy.

    GatewayError
    ├── AuthenticationFailed      401  the caller's key is missing or not ours
    │   └── SignatureRefused      401  the caller's SigV4 signature does not match, or is too old
    ├── PermissionRefused         403  AWS refuses the gateway's identity, or the caller may not
    ├── InvalidRequest            400  the caller's request cannot be carried out as it stands
    │   ├── ContextTooLong        400  more input than the model's context holds
    │   ├── ModelDiffers          400  the model that was asked takes less than was thought
    │   ├── BodyTooLarge          413  more bytes than MAX_BODY_BYTES
    │   ├── CallerTooSlow         408  the body did not arrive in time
    │   ├── ThreadRefused         400  the conversation's beginning is kept where Outcrop does not reach
    │   └── GuardrailIntervened   400  the deployment's guardrail blocks what it was shown before the call
    ├── NotFound                  404  no such path or resource
    │   └── ModelNotFound         404  no such model, or none that this account can call
    │       └── ProfileRequired   404  a model that is sold only by inference profile
    ├── MethodNotAllowed          405
    ├── RateLimited               429  a throttle, of AWS or ours
    │   └── QuotaExceeded         429  a quota that waiting does not mend
    ├── InternalFailure           500  a fault of Outcrop, or Bedrock's InternalServerException
    │   └── GuardrailMissing      500  the deployment's guardrail is not where it is asked for
    ├── UpstreamFailed            502  the connection to Bedrock broke, or its answer made no sense
    │   ├── ConnectionLost        502  there was one, and it broke
    │   ├── UpstreamUnreachable   502  there was no connection at all
    │   └── IdentityRefused       502  Bedrock does not accept the gateway's own credentials
    ├── Overloaded                503  Bedrock has no capacity, or the gateway is not ready
    │   └── GatewayBusy           429  more requests at once than MAX_IN_FLIGHT, and no room to wait
    └── UpstreamTimeout           504  Bedrock did not answer within the limits
        ├── ConnectTimeout        504  nor did it take a connection
        └── CallerDeadline        504  its caller wanted to wait for less

A message is public by construction; what is internal goes to `detail`, and to the log. `retry_here` and
`retry_elsewhere` are the only things that retry and failover read: nobody else interprets a status.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct


class UpstreamReply(Struct, frozen=True):
    """What Bedrock answered, word for word, for callers that speak its language."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class GatewayError(Exception):
    """The root of the tree. `kind` names the class of fault in logs; dialects choose their words by the class.

    Args:
        message: public text for the caller.
        param: path of the offending field, as `messages[0].content`.
        retry_after: seconds that Bedrock asks to wait.
        retry_here: another attempt at the same target may succeed.
        retry_elsewhere: an attempt at another target may succeed.
        detail: internal text, for the log only.
        upstream: Bedrock's own answer, if there was one.

    `is_final` is set by failover where nobody should try again: it did, or it is not worth it. `upstream_request_id` is
    set by whoever asked Bedrock, where it answered.
    """

    kind: ClassVar[str] = "gateway"
    status: ClassVar[int] = 500
    default_retry_here: ClassVar[bool] = False
    default_retry_elsewhere: ClassVar[bool] = False
    # seconds that a caller is told to wait where Bedrock names none
    default_retry_after: ClassVar[float | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        retry_here: bool | None = None,
        retry_elsewhere: bool | None = None,
        detail: str = "",
        upstream: UpstreamReply | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.retry_here = self.default_retry_here if retry_here is None else retry_here
        self.retry_elsewhere = self.default_retry_elsewhere if retry_elsewhere is None else retry_elsewhere
        self.detail = detail
        self.upstream = upstream
        self.headers = headers or {}
        self.is_final = False
        self.upstream_request_id = ""


class AuthenticationFailed(GatewayError):
    """The caller did not prove who it is."""

    kind, status = "authentication", 401


class SignatureRefused(AuthenticationFailed):
    """The caller's signature does not match, or is too old."""

    kind = "signature"


class PermissionRefused(GatewayError):
    """The caller, or the gateway's own identity at AWS, may not do this."""

    kind, status = "permission", 403


class InvalidRequest(GatewayError):
    """The request cannot be carried out as it stands."""

    kind, status = "invalid_request", 400


class ContextTooLong(InvalidRequest):
    """The input is longer than the model's context."""

    kind = "context_too_long"


class ModelDiffers(InvalidRequest):
    """The model takes less than was thought: `facts` are what it tells of its capabilities, by their names.

    `is_lasting` tells whether they hold for other calls too.
    """

    def __init__(self, message: str, values: Mapping[str, Any] | None = None, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.values, self.is_lasting = values or {}, is_lasting


class BodyTooLarge(InvalidRequest):
    """The body is larger than the gateway takes."""

    kind, status = "body_too_large", 413


class CallerTooSlow(InvalidRequest):
    """The caller's body did not arrive in time."""

    kind, status = "caller_too_slow", 408


class ThreadRefused(InvalidRequest):
    """The conversation's beginning is kept where Outcrop does not reach."""


class GuardrailIntervened(InvalidRequest):
    """The guardrail that this deployment has put on every call blocks the input."""

    kind = "guardrail_intervened"


class NotFound(GatewayError):
    """No such path or resource."""

    kind, status = "not_found", 404


class ModelNotFound(NotFound):
    """No such model, or none that this account can call."""

    kind = "model_not_found"
    default_retry_elsewhere = True


class ProfileRequired(ModelNotFound):
    """The model is there, and sold only by inference profile."""


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    kind, status = "method_not_allowed", 405


class RateLimited(GatewayError):
    """A throttle: the same call may succeed later."""

    kind, status = "rate_limited", 429
    default_retry_here = True
    default_retry_elsewhere = True
    default_retry_after: ClassVar[float | None] = 1.0


class QuotaExceeded(RateLimited):
    """A quota that waiting does not mend."""

    kind = "quota_exceeded"
    default_retry_here = False
    default_retry_after = None


class InternalFailure(GatewayError):
    """A fault on our side, or one that Bedrock calls internal."""

    kind, status = "internal", 500


class GuardrailMissing(InternalFailure):
    """The deployment's guardrail is not where it is asked for; it may be where another target is."""

    default_retry_elsewhere = True


class UpstreamFailed(GatewayError):
    """The connection to Bedrock broke, or its answer made no sense."""

    kind, status = "upstream_failed", 502
    default_retry_elsewhere = True


class ConnectionLost(UpstreamFailed):
    """The connection to Bedrock broke."""

    kind = "connection_lost"
    default_retry_here = True


class UpstreamUnreachable(UpstreamFailed):
    """There was no connection to Bedrock at all."""

    kind = "upstream_unreachable"
    default_retry_here = True


class IdentityRefused(UpstreamFailed):
    """Bedrock does not accept the gateway's own credentials: never the caller's fault."""

    kind = "identity_refused"
    default_retry_here = True


class Overloaded(GatewayError):
    """Nobody has capacity for this right now."""

    kind, status = "overloaded", 503
    default_retry_here = True
    default_retry_elsewhere = True
    default_retry_after = 1.0


class GatewayBusy(Overloaded):
    """The gateway has as many requests as it may have at once."""

    kind, status = "gateway_busy", 429
    default_retry_here = False
    default_retry_elsewhere = False


class UpstreamTimeout(GatewayError):
    """Bedrock did not answer within the limits."""

    kind, status = "upstream_timeout", 504
    default_retry_elsewhere = True


class CallerDeadline(UpstreamTimeout):
    """Bedrock did not answer in the time that the caller gave."""

    kind = "caller_deadline"


class ConnectTimeout(UpstreamTimeout):
    """Bedrock did not take a connection in time."""

    kind = "connect_timeout"
    default_retry_here = True
