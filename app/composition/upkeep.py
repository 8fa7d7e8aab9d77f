"""Builds what runs beside the requests of a gateway with a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.config.settings import Settings

if TYPE_CHECKING:
    from app.governance.maintenance.upkeep import Upkeep
    from app.observability.metrics import RequestTotals
    from app.observability.team_metrics import TeamMetrics
    from app.storage.database import Database

_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 10.0


def build_upkeep(
    settings: Settings, database: Database | None, teams: TeamMetrics | None, totals: Callable[[], RequestTotals]
) -> Upkeep | None:
    """Return the tasks that keep the database in order, count requests and send webhooks; None without a database.

    Args:
        teams: the metrics that show the names of teams, if any do. totals: returns what this process has served.
    """
    if database is None:
        return None
    # only deployments with a database load it
    from app.bedrock.http1.transport import Http1Transport
    from app.governance.maintenance.request_counts import RequestCounts
    from app.governance.maintenance.upkeep import Upkeep
    from app.governance.webhooks.sender import Receiver
    from app.governance.webhooks.watch import WebhookWatch

    watch = None
    if (webhook := settings.webhook()) is not None:
        transport = Http1Transport(_CONNECT_SECONDS, _ANSWER_SECONDS, settings.aws_ca_bundle, keeps_idle=False)
        watch = WebhookWatch(database, Receiver(*webhook, transport))
    counts = RequestCounts(database, totals)
    return Upkeep(database, settings.ledger_retention_days, watch, teams, counts)
