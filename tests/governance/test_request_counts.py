"""Counts of requests: of all replicas together, by minute, hour and day."""

from datetime import UTC, datetime, timedelta

from app.admin.api.operations.request_counts import RequestCount, counts_over_time
from app.governance.maintenance.request_counts import RequestCounts
from app.governance.maintenance.retention import delete_old_rows
from app.governance.maintenance.upkeep import Upkeep
from app.observability.metrics import Metrics, RequestTotals
from app.observability.observer import RequestRecord
from app.storage.database import Database
from app.storage.records import now

MOMENT = datetime(2026, 11, 30, 12, 34, 56, tzinfo=UTC)
MINUTE, HOUR, DAY = MOMENT.replace(second=0), MOMENT.replace(minute=0, second=0), datetime(2026, 11, 30, tzinfo=UTC)


def serve(metrics: Metrics, *statuses: int, dialect: str = "openai", **changes: object) -> None:
    for status in statuses:
        metrics.request_ended(RequestRecord("id", "POST", dialect=dialect, status=status, **changes))  # type: ignore[arg-type]


async def read(database: Database, interval: str) -> list[RequestCount]:
    async with database.begin(reads=True) as connection:
        return [*await counts_over_time(connection, DAY, interval)]  # type: ignore[arg-type]


def test_a_process_counts_what_failed_and_what_a_limit_refused() -> None:
    metrics = Metrics()
    serve(metrics, 200, 200, 400, 429, 529, 503, 500)
    serve(metrics, 200, streamed=True, error="upstream_failed")
    serve(metrics, 404, 500, dialect="")
    assert metrics.totals() == RequestTotals(requests=8, errors=3, throttles=2)


async def test_replicas_add_what_is_new_to_the_same_rows(database: Database) -> None:
    replicas = [Metrics(), Metrics()]
    writers = [RequestCounts(database, metrics.totals) for metrics in replicas]
    serve(replicas[0], 200, 429)
    serve(replicas[1], 500)
    for writer in writers:
        await writer.write(MOMENT)
        await writer.write(MOMENT)
    serve(replicas[0], 200)
    await writers[0].write(MOMENT + timedelta(minutes=1))
    first, second = RequestCount(MINUTE, 3, 1, 1), RequestCount(MINUTE + timedelta(minutes=1), 1, 0, 0)
    assert await read(database, "minute") == [first, second]
    assert await read(database, "hour") == [RequestCount(HOUR, 4, 1, 1)]
    assert await read(database, "day") == [RequestCount(DAY, 4, 1, 1)]


async def test_minutes_are_deleted_after_two_days(database: Database) -> None:
    metrics = Metrics()
    serve(metrics, 200)
    await RequestCounts(database, metrics.totals).write(MOMENT)
    assert await delete_old_rows(database, 400, MOMENT + timedelta(days=3)) == {"request_counts": 1}
    assert await read(database, "minute") == []
    assert len(await read(database, "day")) == 1


async def test_what_a_process_served_last_is_written_at_its_end(database: Database) -> None:
    metrics = Metrics()
    upkeep = Upkeep(database, 400, counts=RequestCounts(database, metrics.totals))
    upkeep.start()
    serve(metrics, 429)
    await upkeep.close()
    async with database.begin(reads=True) as connection:
        (count,) = await counts_over_time(connection, now() - timedelta(days=2), "day")
    assert (count.requests, count.throttles) == (1, 1)
