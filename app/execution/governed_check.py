"""Holds the limits and budgets of the caller for a check by ApplyGuardrail, and charges what it cost."""

from __future__ import annotations

from msgspec import Struct

from app.converse.guardrail_units import Units
from app.converse.usage import Usage
from app.execution.request_context import RequestContext
from app.governance.charges import Charge, Charges
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import RequestHold
from app.governance.holds.needs import CalledModel
from app.governance.ledger.entry import OK
from app.models.exact_prices import GUARDRAIL

_NO_TOKENS = CallBounds(0, 0)


class GovernedCheckCharges(Struct, frozen=True):
    """Charges checks. charges: of this process."""

    charges: Charges

    async def begin(self, context: RequestContext, identifier: str, characters: int) -> Charge:
        """Hold what a check may cost. Its request counts as one, whatever else it sends.

        Raises:
            GatewayError: the limits or budgets of the caller do not allow it.
        """
        subject, hold = self.charges.subject_of(context), context.hold or RequestHold()
        context.hold = hold
        name = f"{GUARDRAIL}{identifier}"
        called = CalledModel(context.record.model, name, "", name, "", "")
        terms, request_id = self.charges.terms_of(subject, called), context.record.request_id
        return await self.charges.begin(terms, hold, _NO_TOKENS, request_id, characters)

    def end(self, charge: Charge, units: Units | None, outcome: str) -> None:
        """End a check. units: that the guardrail has examined; None if there was no answer."""
        if units is None:
            self.charges.release(charge, outcome)
        else:
            self.charges.settle(charge, Usage(guardrail_units=units), "", outcome or OK)
