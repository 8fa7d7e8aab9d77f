"""Charges attempts: each holds its worst case before it is sent, and is settled at what it cost.

Bedrock bills what a model wrote, even if the answer did not arrive. So an attempt whose outcome is not known is settled
at an estimate: from what was reported of it, and from what calls of its key usually use. If a hard budget pays, a call
whose caller disconnected is settled at its worst case, so that callers cannot make calls cheaper by disconnecting.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from app.converse.usage import Usage
from app.errors import GatewayError
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import AttemptHold, CallLimits, RequestHold
from app.governance.holds.needs import CalledModel, Subject
from app.governance.holds.subjects import USERS_PER_HOUR, Subjects
from app.governance.holds.usual_tokens import UsualTokens
from app.governance.identity.caller import Caller
from app.governance.ledger.entry import Entry, recorded
from app.governance.ledger.writer import LedgerWriter
from app.models.exact_prices import ExactPrice, ExactPrices
from app.server.request_head import RequestHead
from app.storage.records import now

# a header that names the end user of a request
_USER = "x-outcrop-user"

# of a stream, for each token of the answer at most: an event has more than this, and a token at least
_BYTES_OF_A_TOKEN = 300
_NOTHING = Usage()


def _as_utf8(text: str) -> str:
    """Return the text of a header, which was read as Latin-1. Clients send UTF-8, or Latin-1."""
    try:
        return text if text.isascii() else text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return text


def _ignore(*_: str) -> None:
    pass


class ChargedRequest(Protocol):
    """A request whose attempts are charged. hold: what they hold together; None before the first of them."""

    caller: Caller
    head: RequestHead
    user: str
    hold: RequestHold | None


class Terms(Struct, frozen=True):
    """What the calls of a subject for a model have in common.

    entry: the members that their entries share. payer_and_model: what their usual tokens are learned by.
    requested_price, standard_price: in the tier that is requested, and in the standard tier; None if one is not known.
    single_price: the price, if both are the same.
    """

    subject: Subject
    call: CalledModel
    entry: Entry
    payer_and_model: tuple[str, str]
    requested_price: ExactPrice | None
    standard_price: ExactPrice | None
    single_price: ExactPrice | None

    def worst_nano(self, bounds: CallBounds) -> int | None:
        """Return the most that a call costs; None if the price is not known.

        A call may be served by the standard tier instead, which then has the price of that.
        """
        requested, standard = self.requested_price, self.standard_price
        if requested is None or standard is None:
            return None
        return max(each.worst_nano(bounds.input, bounds.output) for each in (requested, standard))


class Charge(Struct, eq=False, gc=False):
    """An attempt that is charged, until its hold ends. entry: that of its hold."""

    terms: Terms
    bounds: CallBounds
    hold: AttemptHold
    entry: Entry


class Charges:
    """Charges the attempts of a process. ledger: set once the process has started.

    on_refused: called with the team and the kind of error of each call that is refused.

    Args:
        wall: the time that entries of the ledger have. users_per_hour: see `Subjects`.
    """

    ledger: LedgerWriter
    on_refused: Callable[[str, str], object] = staticmethod(_ignore)

    def __init__(
        self,
        limits: CallLimits,
        prices: ExactPrices,
        wall: Callable[[], datetime] = now,
        users_per_hour: int = USERS_PER_HOUR,
    ) -> None:
        self.limits = limits
        self._wall = wall
        self._subjects = Subjects(users_per_hour)
        self._prices = prices
        self._usual = UsualTokens()

    def subject_of(self, request: ChargedRequest) -> Subject:
        """Return who makes a request."""
        # the header comes before the body, since a program may set it for all its clients
        named = request.head.headers.get(_USER)
        return self._subjects.of(request.caller, _as_utf8(named) if named else request.user)

    async def begin(
        self,
        terms: Terms,
        request: RequestHold,
        bounds: CallBounds,
        request_id: str,
        examined: int = 0,
    ) -> Charge:
        """Hold what an attempt may cost, and write that to the journal.

        Args:
            terms: see `terms_of`. request_id: as it is logged.
            examined: how many characters a guardrail examines at most.

        Raises:
            GatewayError: see `CallLimits.hold` and `LedgerWriter.admit`.
        """
        price = terms.single_price
        worst = terms.worst_nano(bounds) if price is None else price.worst_nano(bounds.input, bounds.output)
        if examined and worst is not None:
            worst += self._prices.worst_guardrail_nano(examined)
        try:
            hold = await self.limits.hold(terms.subject, terms.call.called, bounds, worst, request)
        except GatewayError as error:
            self.on_refused(terms.subject.team_id, error.kind)
            raise
        entry = replace(
            terms.entry,
            attempt_id=self.ledger.next_id(),
            at=hold.at,
            replica_id=hold.replica,
            request_id=request_id,
            cost_nano=worst,
            charged_to=dict(zip(hold.rules.money, hold.amounts, strict=False)),
        )
        try:
            self.ledger.admit(entry)
        except GatewayError:
            self.limits.release(hold)
            raise
        return Charge(terms, bounds, hold, entry)

    def settle(
        self, charge: Charge, usage: Usage | None, tier: str, outcome: str, *, received: int = 0, is_left: bool = False
    ) -> None:
        """End an attempt that Bedrock bills, at what its response reported, or else at an estimate.

        Args:
            tier: the service tier that the response reports; empty for the one that was requested.
            received: bytes of a stream. is_left: its caller ended it.
        """
        if not charge.hold.is_open:
            return
        terms, bounds, recorded_tier = charge.terms, charge.bounds, charge.entry.tier
        is_estimated = usage is None or not usage.is_final
        if usage is None or is_estimated:
            usage = self._with_estimates(charge, usage, received, is_left=is_left)
        else:
            self._usual.note(terms.payer_and_model, bounds, usage)
        price = terms.requested_price
        if tier and tier != terms.call.tier:
            price, recorded_tier = self._prices.of(terms.call.called, terms.call.behind, tier), recorded(tier)
        cost = None if price is None else price.cost_nano(usage)
        if cost is None and (price := price or terms.standard_price) is not None:
            # the price of this tier, or of a cache, is not known
            cost, is_estimated = price.worst_nano(usage.prompt, usage.output), True
        if cost is None:
            is_estimated = False
        elif usage.guardrail_units:
            cost += self._prices.guardrail_nano(usage.guardrail_units)
        entry = charge.entry.settled(
            usage, cost, tier=recorded_tier, outcome=outcome, is_estimated=is_estimated, at=self._wall()
        )
        self.ledger.settle(entry)
        self.limits.settle(charge.hold, cost or 0, usage.input + usage.cache_write + usage.output)

    def release(self, charge: Charge, outcome: str) -> None:
        """End an attempt that Bedrock does not bill."""
        if charge.hold.is_open:
            entry = charge.entry
            self.ledger.settle(entry.settled(_NOTHING, 0, tier=entry.tier, outcome=outcome, at=self._wall()))
            self.limits.release(charge.hold)

    def terms_of(self, subject: Subject, call: CalledModel) -> Terms:
        """Return what the calls of a subject for a model have in common. Callers keep it."""
        entry = Entry(
            attempt_id="",
            phase="hold",
            replica_id="",
            team_id=subject.team_id,
            key_id=subject.key_id,
            user=subject.user,
            labels=subject.labels,
            model_asked=recorded(call.asked),
            model_served=recorded(call.served),
            location=call.location,
            tier=recorded(call.tier),
            price_version=self._prices.version,
        )
        requested, standard = [self._prices.of(call.called, call.behind, tier) for tier in (call.tier, "")]
        single = requested if requested is standard else None
        return Terms(subject, call, entry, (entry.payer, call.called), requested, standard, single)

    def _with_estimates(self, charge: Charge, usage: Usage | None, received: int, *, is_left: bool) -> Usage:
        """Return what was reported of an attempt, with estimates of what was not."""
        bounds = charge.bounds
        if is_left and charge.hold.rules.is_hard:
            usual = bounds
        else:
            usual = self._usual.estimate(charge.terms.payer_and_model, bounds)
        output = max(usual.output, min(received // _BYTES_OF_A_TOKEN, bounds.output))
        if usage is None or not usage.prompt:
            reported, units = (0, ()) if usage is None else (usage.output, usage.guardrail_units)
            return Usage(input=usual.input, output=max(output, reported), guardrail_units=units)
        return replace(usage, output=max(usage.output, output), rounds=())
