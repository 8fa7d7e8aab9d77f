"""An entry of the ledger, and its form in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct, ValidationError, convert, field, structs

from app.converse.usage import Usage
from app.storage.records import now
from app.wire.json import JsonObject
from app.wire.secret_text import without_secrets

Phase = Literal["hold", "settle", "adjust"]
# outcomes: the second is of an attempt whose outcome nobody knows, because its process was lost
OK, LOST = "ok", "lost"
COUNTS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens",
)  # fmt: skip
_MAX_TEXT = 256
# of a line of the journal; amounts as the database stores them
_MAX_COUNT = 10**12
_MAX_AMOUNT = 2**63 - 1
_MAX_NUMBER = 2**15 - 1


def recorded(text: str) -> str:
    """Return a text that a caller chose as the ledger stores it.

    It is without secrets of keys, without what a database refuses, and not too long.
    """
    text = without_secrets(text)
    if len(text) <= _MAX_TEXT and text.isprintable():
        return text
    return "".join(filter(str.isprintable, text))[:_MAX_TEXT]


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One phase of an attempt. It holds no content.

    replica_id: whose leases are charged. number: of the corrections of one attempt.
    cost_nano: None if the price is not known; in the phase `hold`, the most that the attempt costs.
    charged_to: nano-dollars by the keys of balances; in the phase `hold`, what is held.
    guardrail_units: what a guardrail has examined, by name; see `converse.guardrail_units`.
    """

    attempt_id: str
    phase: Phase
    number: int = 0
    at: datetime = field(default_factory=now)
    replica_id: str
    request_id: str = ""
    team_id: str = ""
    key_id: str = ""
    user: str = ""
    labels: Mapping[str, str] = {}
    model_asked: str = ""
    model_served: str = ""
    location: str = ""
    tier: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int | None = None
    price_version: str = ""
    outcome: str = ""
    is_estimated: bool = False
    charged_to: Mapping[str, int] = {}
    guardrail_units: Mapping[str, int] | None = None

    @property
    def payer(self) -> str:
        """Who made the call: a key, or a person of a team who has none."""
        return self.key_id or f"{self.team_id}/{self.user}"

    @property
    def has_failed(self) -> bool:
        """True for the settlement of an attempt that failed, whether Bedrock bills it or not."""
        return self.outcome not in ("", OK)

    @classmethod
    def from_line(cls, line: JsonObject) -> Entry:
        """Read a line of the journal, without members that this version does not know.

        Raises:
            ValueError: it is malformed, or a number is out of range.
        """
        try:
            entry = convert(line, cls)
        except ValidationError as error:
            raise ValueError(str(error)) from None
        if "at" not in line or entry.at.tzinfo is None:
            raise ValueError("`at` must be a time with its zone")
        entry._check_numbers()
        return entry

    def _check_numbers(self) -> None:
        """Check what the database stores. Only a correction has negative numbers. Raises ValueError."""
        counts = {**(self.guardrail_units or {}), **{name: getattr(self, name) for name in COUNTS}}
        amounts = {"cost_nano": self.cost_nano or 0, **self.charged_to}
        for most, numbers in ((_MAX_COUNT, counts), (_MAX_AMOUNT, amounts), (_MAX_NUMBER, {"number": self.number})):
            least = -most if self.phase == "adjust" else 0
            for name, value in numbers.items():
                if not least <= value <= most:
                    raise ValueError(f"`{name}` must be from {least} to {most}")
        for key in self.charged_to:
            if not key.startswith("budget/") or key.count("/") < 2:
                raise ValueError("`charged_to` must have keys of budgets")

    def settled(
        self,
        usage: Usage,
        cost_nano: int | None,
        *,
        tier: str,
        outcome: str,
        is_estimated: bool = False,
        at: datetime | None = None,
    ) -> Entry:
        """Return the settlement of an attempt, whose phase `hold` this is. All that it held for is charged its cost."""
        return structs.replace(
            self,
            phase="settle",
            at=at or now(),
            tier=tier,
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cache_write_1h_tokens=usage.cache_write_1h,
            reasoning_tokens=usage.reasoning,
            cost_nano=cost_nano,
            outcome=outcome,
            is_estimated=is_estimated,
            charged_to=dict.fromkeys(self.charged_to, cost_nano or 0),
            guardrail_units=dict(usage.guardrail_units) if usage.guardrail_units else None,
        )

    def at_what_was_held(self) -> Entry:
        """Return the settlement of an attempt whose outcome nobody knows: at most what it held was billed.

        Without budgets it held nothing: it is settled at the most that it costs.
        """
        charges = {key: max(0, amount) for key, amount in self.charged_to.items()}
        cost = max(0, max(charges.values(), default=self.cost_nano or 0))
        return structs.replace(
            self, phase="settle", cost_nano=cost, outcome=LOST, is_estimated=True, charged_to=charges
        )

    def correction_of(self, estimate: Entry) -> Entry:
        """Return the correction that turns an estimated settlement into this one."""
        counts = {name: getattr(self, name) - getattr(estimate, name) for name in COUNTS}
        keys = {**self.charged_to, **estimate.charged_to}
        charges = {key: self.charged_to.get(key, 0) - estimate.charged_to.get(key, 0) for key in keys}
        cost = (self.cost_nano or 0) - (estimate.cost_nano or 0)
        return structs.replace(self, phase="adjust", number=1, cost_nano=cost, charged_to=charges, **counts)
