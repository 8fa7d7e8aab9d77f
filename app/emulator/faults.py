"""Faults on demand. The suffix of a model's id names a fault and, after a hyphen, its number.

    scripted.echo-v1:0.throttle-2     the first two attempts of the same request are throttled
    scripted.long-v1:0.cut-3          the connection breaks in the middle of the fourth frame

Before the response:

- throttle, internal, unavailable, notready, timeout, modelerror, denied, quota, toolong, notfound, expired, reset:
  the number is how many attempts fail; without one, all do
- retryafter: the number is in seconds
- slow: the number is in milliseconds
- never, garbage: no number

In a stream:

- exception, throttlemid, modelstream, cut, stop, stall, badcrc: the number is how many frames come before
- drip: the number is in milliseconds per frame
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from app.emulator.errors import ServiceError, invalid

_MAX_REQUESTS = 10_000

# faults that are exceptions of the service, by their name and wording
_EXCEPTIONS: dict[str, tuple[str, str]] = {
    "throttle": ("ThrottlingException", "Too many requests, please wait before trying again."),
    "internal": (
        "InternalServerException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    "unavailable": ("ServiceUnavailableException", "Bedrock is unable to process your request."),
    "notready": ("ModelNotReadyException", "Model is not ready for inference. Wait and try your request again."),
    "timeout": (
        "ModelTimeoutException",
        "Model has timed out in processing the request. Try your request again.",
    ),
    "modelerror": ("ModelErrorException", "The model failed."),
    "denied": ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "quota": ("ServiceQuotaExceededException", "Your request exceeds a service quota for your account."),
    "toolong": ("ValidationException", "Input is too long for requested model."),
    "notfound": ("ResourceNotFoundException", "Model not found."),
    "expired": ("ExpiredTokenException", "The security token included in the request is expired"),
}
_IN_STREAM = frozenset({"exception", "throttlemid", "modelstream", "cut", "stop", "stall", "badcrc", "drip"})
_BEFORE_RESPONSE = frozenset({"slow", "never", "reset", "garbage", "retryafter"})
_NAMES = _EXCEPTIONS.keys() | _IN_STREAM | _BEFORE_RESPONSE


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its name, and its number or -1."""

    name: str = ""
    number: int = -1

    @classmethod
    def parse(cls, suffix: str) -> "Fault":
        """Parse a suffix such as `throttle-2`; an empty one is not a fault.

        Raises:
            ServiceError: no such fault.
        """
        if not suffix:
            return cls()
        name, hyphen, number = suffix.partition("-")
        if name not in _NAMES or (hyphen and not number.isdigit()) or len(number) > 6:
            raise invalid("The provided model identifier is invalid.")
        return cls(name, int(number) if hyphen else -1)

    def is_at(self, name: str, frame: int) -> bool:
        """True if this fault is `name` and due before this frame; without a number, before the first."""
        return self.name == name and frame == max(self.number, 0)


class FaultInjector:
    """Injects faults before a response. It counts the attempts of each request, so that a fault can end."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[bytes, int] = OrderedDict()

    async def inject(self, suffix: str, path: str, body: bytes) -> Fault:
        """Raise or wait as the fault says; returns it, since it may also concern the response.

        Raises:
            ServiceError: the fault, or no such fault. ConnectionResetError: close the connection without a response.
        """
        fault = Fault.parse(suffix)
        if fault.name == "retryafter":
            name, message = _EXCEPTIONS["throttle"]
            raise ServiceError(name, message, headers={"retry-after": str(max(fault.number, 1))})
        if fault.name in _EXCEPTIONS or fault.name == "reset":
            attempts = self._count_attempt(path, body)
            if fault.number < 0 or attempts <= fault.number:
                raise _error_of(fault)
        if fault.name == "slow":
            await asyncio.sleep(max(fault.number, 0) / 1000)
        if fault.name == "never":
            await asyncio.Event().wait()
        return fault

    def _count_attempt(self, path: str, body: bytes) -> int:
        key = hashlib.sha256(path.encode() + b"\0" + body).digest()
        attempts = self._attempts.pop(key, 0) + 1
        self._attempts[key] = attempts
        while len(self._attempts) > _MAX_REQUESTS:
            self._attempts.popitem(last=False)
        return attempts


def _error_of(fault: Fault) -> ServiceError | ConnectionResetError:
    if fault.name == "reset":
        return ConnectionResetError()
    name, message = _EXCEPTIONS[fault.name]
    return ServiceError(name, message, extra={"originalStatusCode": 500} if name == "ModelErrorException" else {})
