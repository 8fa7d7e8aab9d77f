"""Faults on demand: a suffix of a model's id picks one, a number behind it says how many, after how many
frames, or for how many milliseconds.

    scripted.echo-v1:0.throttle-2     the first two attempts of the same request are throttled
    scripted.long-v1:0.cut-3          the connection breaks in the middle of the fourth frame

Those that strike before the answer: throttle, internal, unavailable, notready, timeout, modelerror, denied, quota,
toolong, notfound, expired, reset (times); retryafter (seconds); slow (milliseconds); never; garbage.
Those that strike during a stream: exception, throttlemid, modelstream, cut, stop, stall, badcrc (after frames); drip
(milliseconds a frame).
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from app.emulator.errors import ServiceError, invalid

_REMEMBERED = 10_000

# a fault before the answer: exception and wording
_REFUSALS: dict[str, tuple[str, str]] = {
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
_DURING = frozenset({"exception", "throttlemid", "modelstream", "cut", "stop", "stall", "badcrc", "drip"})
_BEFORE = frozenset({"slow", "never", "reset", "garbage", "retryafter"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its name, and its number or -1."""

    name: str = ""
    number: int = -1

    @classmethod
    def parse(cls, suffix: str) -> "Fault":
        """Read a suffix such as `throttle-2`; nothing is no fault.

        Raises:
            ServiceError: no such fault.
        """
        if not suffix:
            return cls()
        name, dash, number = suffix.partition("-")
        is_known = name in _REFUSALS or name in _DURING or name in _BEFORE
        if not is_known or (dash and not number.isdigit()) or len(number) > 6:
            raise invalid("The provided model identifier is invalid.")
        return cls(name, int(number) if dash else -1)

    def is_at(self, name: str, frame: int) -> bool:
        """True if this fault is `name`, and is due before this frame; without a number, before the first."""
        return self.name == name and frame == max(self.number, 0)


class FaultMemory:
    """Counts attempts of the same request, so that a fault can end after some of them."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[bytes, int] = OrderedDict()

    def refuse(self, fault: Fault, path: str, body: bytes) -> None:
        """Raise the refusal that is due, if one is.

        Raises:
            ServiceError: the fault. ConnectionResetError: the connection must break without a word.
        """
        if fault.name == "retryafter":
            name, message = _REFUSALS["throttle"]
            raise ServiceError(name, message, headers={"retry-after": str(max(fault.number, 1))})
        if fault.name not in _REFUSALS and fault.name != "reset":
            return
        key = hashlib.sha256(path.encode() + b"\0" + body).digest()
        attempts = self._attempts.pop(key, 0) + 1
        self._attempts[key] = attempts
        while len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)
        if fault.number < 0 or attempts <= fault.number:
            if fault.name == "reset":
                raise ConnectionResetError
            name, message = _REFUSALS[fault.name]
            extra: dict[str, object] = {"originalStatusCode": 500} if name == "ModelErrorException" else {}
            raise ServiceError(name, message, extra=extra)
