"""Builds the limits, budgets and the ledger of a gateway with a database, starts them in order, and closes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.config.settings import Settings, SettingsError
from app.models.prices import Prices
from app.observability.metrics import Metrics

if TYPE_CHECKING:
    from app.execution.attempt import Attempt
    from app.execution.governed_check import GovernedCheckCharges
    from app.governance.ledger.entry import Entry
    from app.governance.ledger.writer import LedgerWriter
    from app.observability.team_metrics import TeamMetrics
    from app.storage.database import Database


class Governance:
    """The limits, budgets and the ledger of this process. teams: counts what is posted; None if no team has metrics."""

    def __init__(
        self,
        database: Database,
        prices: Prices,
        folder: Path,
        *,
        fail_open: bool,
        users_per_hour: int,
        teams: TeamMetrics | None = None,
    ) -> None:
        from app.execution.abandoned_calls import AbandonedCalls
        from app.governance.charges import Charges
        from app.governance.holds.call_limits import CallLimits
        from app.governance.leases.client import LeaseClient
        from app.governance.ledger.entry import COUNTS
        from app.governance.ledger.posting import take_leases
        from app.models.exact_prices import ExactPrices

        self._folder = folder
        self.teams = teams
        self._kinds = {name: name.removesuffix("_tokens") for name in COUNTS}
        self.client = LeaseClient(database, take_leases)
        limits = CallLimits(self.client, fail_open=fail_open, wall=database.clock.now)
        self.charges = Charges(limits, ExactPrices(prices), database.clock.now, users_per_hour)
        if teams is not None:
            self.charges.on_refused = teams.note_refused
        self._abandoned = AbandonedCalls()
        self._ledger: LedgerWriter | None = None

    def govern(self, attempt: Attempt) -> Attempt:
        """Wrap an attempt in the limits and budgets of callers."""
        from app.execution.governed_attempt import GovernedAttempt

        return GovernedAttempt(attempt, self.charges, self._abandoned)

    def check_charges(self) -> GovernedCheckCharges:
        """Return what charges callers the checks by guardrails."""
        from app.execution.governed_check import GovernedCheckCharges

        return GovernedCheckCharges(self.charges)

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
            self._ledger = LedgerWriter(self.client, self._folder, None if self.teams is None else self._count)
            await self._ledger.start()
        except DatabaseDown as error:
            raise SettingsError([f"DATABASE_URL: {error}"]) from None
        except JournalFull as error:
            raise SettingsError([f"DATA_DIR: {error}"]) from None
        self.charges.ledger = self._ledger

    def unposted(self) -> int:
        """Return the number of settlements that are not in the database yet."""
        return 0 if self._ledger is None else self._ledger.unposted

    def is_reachable(self) -> bool:
        """Return whether the last transaction with the database succeeded."""
        return self.client.transactions.reached_since is not None

    def _count(self, kinds: Sequence[Sequence[Entry]]) -> None:
        """Count settlements that are in the database, by team and outcome."""
        if self.teams is None:
            return
        from app.governance.ledger.usage_sums import SUMS, counts_of

        for members in kinds:
            counts = dict(zip(SUMS, counts_of(members), strict=True))
            tokens = {kind: counts[name] for name, kind in self._kinds.items()}
            team, outcome = members[0].team_id, members[0].outcome
            self.teams.note_posted(team, outcome, tokens, counts["cost_nano"], len(members))

    async def close(self) -> None:
        """Post what is left, and return all leases. What cannot be posted stays in the journal."""
        if not self.client.transactions.replica:
            # it was never started
            return
        await self._abandoned.close()
        is_posted = self._ledger is None or await self._ledger.close()
        await self.client.close(keep_leases=not is_posted)


def check_journal_folder(settings: Settings) -> None:
    """Check that DATA_DIR has room for a journal. Without DATABASE_URL, do nothing.

    Raises:
        SettingsError: it has none.
    """
    if settings.database_url is None or settings.data_dir is None:
        return
    from app.governance.ledger.journal import Journal, JournalFull

    try:
        Journal(settings.data_dir).close(delete=True)
    except JournalFull as error:
        raise SettingsError([f"DATA_DIR: {error}"]) from None


def build_governance(
    settings: Settings, database: Database | None, prices: Prices, metrics: Metrics
) -> Governance | None:
    """Return the limits and budgets of a deployment with a database; None without one."""
    if database is None or settings.data_dir is None:
        return None
    # only deployments with a database load it
    from app.observability.team_metrics import TeamMetrics

    teams = TeamMetrics(metrics, settings.metrics_teams) if settings.metrics_teams else None
    governance = Governance(
        database,
        prices,
        settings.data_dir,
        fail_open=settings.fail_open,
        users_per_hour=settings.users_per_hour,
        teams=teams,
    )
    metrics.watch("ledger_unposted", "Settled attempts that are not in the database yet.", governance.unposted)
    metrics.watch("database_reachable", "1 if the last transaction succeeded.", governance.is_reachable)
    return governance
