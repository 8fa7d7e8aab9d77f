"""Every way in which a request can fail, for callers and for the retry policy.

    GatewayError
    ├── AuthenticationFailed      401  the caller's key is missing or unknown
    │   └── SignatureRefused      401  the caller's SigV4 signature does not match, or has expired
    ├── PermissionRefused         403  AWS denies access to the gateway's identity, or the caller may not
    ├── InvalidRequest            400  the request cannot be carried out
    │   ├── ContextTooLong        400  the input exceeds the model's context
    │   ├── ModelDiffers          400  the model accepts less than its capabilities say
    │   ├── BodyTooLarge          413  the body exceeds MAX_BODY_BYTES
    │   ├── CallerTooSlow         408  the body did not arrive in time
    │   ├── ThreadRefused         400  the thread is stored at Anthropic
    │   ├── ResponseNotStored     400  the response that the request continues is not stored here
    │   └── GuardrailIntervened   400  the deployment's guardrail blocks the input
    ├── NotFound                  404  no such path or resource
    │   └── ModelNotFound         404  no such model, or none that this account can call
    │       └── ProfileRequired   404  the model is sold by inference profile only
    ├── MethodNotAllowed          405
    │   └── UpgradeRequired       426  the path needs another protocol, as WebSocket
    ├── RateLimited               429  a throttle of AWS or of the gateway
    │   ├── TooManyFailures       429  too many authentications failed from one address
    │   ├── LimitReached          429  a limit of the caller does not allow the call now
    │   ├── QuotaBusy             429  too many calls wait for a quota of Bedrock
    │   └── QuotaExceeded         429  a quota that waiting does not restore
    │       ├── DayQuotaSpent     429  Bedrock's tokens of the day are spent
    │       └── BudgetSpent       429  a budget of the caller has too little left
    ├── InternalFailure           500  a defect of Outcrop, or Bedrock's InternalServerException
    │   └── GuardrailMissing      500  the deployment's guardrail does not exist at the target
    ├── UpstreamFailed            502  the connection to Bedrock broke, or its response is malformed
    │   ├── ConnectionLost        502  an established connection broke
    │   ├── UpstreamUnreachable   502  no connection could be established
    │   └── IdentityRefused       502  Bedrock refuses the gateway's own credentials
    ├── Overloaded                503  Bedrock has no capacity, or the gateway is not ready
    │   └── GatewayBusy           429  MAX_IN_FLIGHT requests run, and the queue is full
    ├── CredentialsMissing        503  the gateway has no AWS credentials
    └── UpstreamTimeout           504  Bedrock did not respond within the limits
        ├── ConnectTimeout        504  Bedrock did not accept a connection in time
        └── CallerDeadline        504  Bedrock did not respond within the caller's own limit

`message` is public. Internal text goes to `detail`, and to the log. Whether a call is retried follows from
`retry_here` and `retry_elsewhere`, how long a retry waits from `retry_after`; neither reads a status.
"""

from collections.abc import Mapping
from copy import copy
from typing import ClassVar, Self

from msgspec import Struct


class UpstreamReply(Struct, frozen=True):
    """Bedrock's own response, for callers of the Bedrock runtime paths."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class GatewayError(Exception):
    """The root of the tree. `kind` names the class in logs. Dialects choose status and type by class.

    Args:
        message: public text for the caller.
        param: path of the offending field, as `messages[0].content`.
        retry_after: seconds that Bedrock asks to wait.
        retry_here: another attempt at the same target may succeed.
        retry_elsewhere: an attempt at another target may succeed.
        detail: internal text, for the log only.
        upstream: Bedrock's own answer, if there was one.

    is_final: clients should not retry, since failover did, or since it is not worth it.
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
        is_final: bool = False,
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
        self.is_final = is_final

    def replaced(self, **members: object) -> Self:
        """Return a copy with other members, without the traceback and causes, whose frames would keep bodies alive."""
        copied = copy(self)
        copied.__dict__.update(members)
        return copied


class AuthenticationFailed(GatewayError):
    """The caller's key is missing or unknown."""

    kind, status = "authentication", 401


class SignatureRefused(AuthenticationFailed):
    """The caller's signature does not match, or has expired."""

    kind = "signature"


class PermissionRefused(GatewayError):
    """The caller, or the gateway's identity at AWS, lacks a permission."""

    kind, status = "permission", 403


class InvalidRequest(GatewayError):
    """The request cannot be carried out."""

    kind, status = "invalid_request", 400


class ContextTooLong(InvalidRequest):
    """The input exceeds the model's context."""

    kind = "context_too_long"


class ModelDiffers(InvalidRequest):
    """The model accepts less than its capabilities say. `values` are the corrected capabilities, by name.

    `is_lasting` tells whether they hold for other calls too.
    """

    def __init__(self, message: str, values: Mapping[str, object] | None = None, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.values, self.is_lasting = values or {}, is_lasting


class BodyTooLarge(InvalidRequest):
    """The body exceeds MAX_BODY_BYTES."""

    kind, status = "body_too_large", 413


class CallerTooSlow(InvalidRequest):
    """The body did not arrive in time."""

    kind, status = "caller_too_slow", 408


class ThreadRefused(InvalidRequest):
    """The request continues a thread that is stored at Anthropic."""


class ResponseNotStored(InvalidRequest):
    """The response that the request continues is not stored here."""


class GuardrailIntervened(InvalidRequest):
    """The deployment's guardrail blocks the input."""

    kind = "guardrail_intervened"


class NotFound(GatewayError):
    """No such path or resource."""

    kind, status = "not_found", 404


class ModelNotFound(NotFound):
    """No such model, or none that this account can call."""

    kind = "model_not_found"
    default_retry_elsewhere = True


class ProfileRequired(ModelNotFound):
    """The model is sold by inference profile only."""


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    kind, status = "method_not_allowed", 405


class UpgradeRequired(MethodNotAllowed):
    """The path exists, but needs another protocol."""

    status = 426


class RateLimited(GatewayError):
    """A throttle. The same call may succeed later."""

    kind, status = "rate_limited", 429
    default_retry_here = True
    default_retry_elsewhere = True
    default_retry_after: ClassVar[float | None] = 1.0


class TooManyFailures(RateLimited):
    """Too many authentications failed from one address. In logs and metrics it is one more, and no throttle."""

    kind = "authentication"
    default_retry_here = False
    default_retry_elsewhere = False


class QuotaBusy(RateLimited):
    """The call cannot start before its time is over, because others wait for Bedrock's quota of the model."""

    default_retry_here = False


class QuotaExceeded(RateLimited):
    """A quota that waiting does not restore."""

    kind = "quota_exceeded"
    default_retry_here = False
    default_retry_after = None


class DayQuotaSpent(QuotaExceeded):
    """Bedrock's quota of tokens per day is spent. Another region or account has its own."""


class LimitReached(RateLimited):
    """A limit of the caller does not allow the call now."""

    kind = "limit_reached"
    default_retry_here = False
    default_retry_elsewhere = False


class BudgetSpent(QuotaExceeded):
    """A budget of the caller has too little left for the call."""

    kind = "budget_spent"
    default_retry_elsewhere = False


class InternalFailure(GatewayError):
    """A defect of Outcrop, or an internal error of Bedrock."""

    kind, status = "internal", 500


class GuardrailMissing(InternalFailure):
    """The deployment's guardrail does not exist at this target. It may exist at another."""

    default_retry_elsewhere = True


class UpstreamFailed(GatewayError):
    """The connection to Bedrock broke, or its response is malformed."""

    kind, status = "upstream_failed", 502
    default_retry_elsewhere = True


class ConnectionLost(UpstreamFailed):
    """An established connection to Bedrock broke."""

    kind = "connection_lost"
    default_retry_here = True


class UpstreamUnreachable(UpstreamFailed):
    """No connection to Bedrock could be established."""

    kind = "upstream_unreachable"
    default_retry_here = True


class IdentityRefused(UpstreamFailed):
    """Bedrock refuses the gateway's own credentials. Never the caller's fault."""

    kind = "identity_refused"
    default_retry_here = True


class Overloaded(GatewayError):
    """Bedrock has no capacity, or the gateway is not ready."""

    kind, status = "overloaded", 503
    default_retry_here = True
    default_retry_elsewhere = True
    default_retry_after = 1.0


class GatewayBusy(Overloaded):
    """MAX_IN_FLIGHT requests run, and the queue is full."""

    kind, status = "gateway_busy", 429
    default_retry_here = False
    default_retry_elsewhere = False


class CredentialsMissing(GatewayError):
    """The gateway has no AWS credentials."""

    kind, status = "credentials_missing", 503
    default_retry_elsewhere = True


class UpstreamTimeout(GatewayError):
    """Bedrock did not respond within the limits."""

    kind, status = "upstream_timeout", 504
    default_retry_elsewhere = True


class CallerDeadline(UpstreamTimeout):
    """Bedrock did not respond within `x-outcrop-timeout`."""

    kind = "caller_deadline"


class ConnectTimeout(UpstreamTimeout):
    """Bedrock did not accept a connection in time."""

    kind = "connect_timeout"
    default_retry_here = True
