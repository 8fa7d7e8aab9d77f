"""Builds the limits, budgets and the ledger of a gateway with a database, starts them in order, and closes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.config.settings import Settings, SettingsError
from app.models.prices import Prices

if TYPE_CHECKING:
    from app.execution.attempt import Attempt
    from app.governance.ledger.writer import LedgerWriter
    from app.storage.database import Database


class Governance:
    """The limits, budgets and the ledger of this process."""

    def __init__(self, database: Database, prices: Prices, folder: Path, *, fail_open: bool) -> None:
        from app.governance.charges import Charges
        from app.governance.holds.call_limits import CallLimits
        from app.governance.leases.client import LeaseClient
        from app.governance.ledger.posting import take_leases
        from app.models.exact_prices import ExactPrices

        self._folder = folder
        self.client = LeaseClient(database, take_leases)
        self.charges = Charges(CallLimits(self.client, fail_open=fail_open), ExactPrices(prices))
        self._ledger: LedgerWriter | None = None

    def govern(self, attempt: Attempt) -> Attempt:
        """Wrap an attempt in the limits and budgets of callers."""
        from app.execution.governed_attempt import GovernedAttempt

        return GovernedAttempt(attempt, self.charges)

    async def start(self) -> None:
        """Register this process, replay the journals of processes that have ended, and begin to post.

        Raises:
            SettingsError: the database cannot be used, or DATA_DIR.
        """
        from app.governance.ledger.journal import JournalFull
        from app.governance.ledger.writer import LedgerWriter
        from app.storage.database import DatabaseDown

        try:
            await self.client.start()
            self._ledger = LedgerWriter(self.client, self._folder)
            await self._ledger.start()
        except DatabaseDown as error:
            raise SettingsError([f"DATABASE_URL: {error}"]) from None
        except JournalFull as error:
            raise SettingsError([f"DATA_DIR: {error}"]) from None
        self.charges.ledger = self._ledger

    async def close(self) -> None:
        """Post what is left, and return all leases. What cannot be posted stays in the journal."""
        is_posted = self._ledger is None or await self._ledger.close()
        await self.client.close(keep_leases=not is_posted)


def build_governance(settings: Settings, database: Database | None, prices: Prices) -> Governance | None:
    """Return the limits and budgets of a deployment with a database; None without one."""
    if database is None or settings.data_dir is None:
        return None
    return Governance(database, prices, settings.data_dir, fail_open=settings.fail_open)
