"""The tables of the database. docs/adr/0033-leases-from-one-database.md explains those of leases.

Money is in nano-dollars, as integers. A change here needs a migration in `migrations/versions`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from app.storage.columns import Document, Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _scope_columns() -> list[Column[object]]:
    """What teams and keys both set for their calls."""
    columns: list[Column[object]] = [
        # patterns of model names; null allows all
        Column("models", Document),
        Column("default_max_tokens", BigInteger),
        Column("largest_max_tokens", BigInteger),
        Column("guardrail_id", Text),
        Column("guardrail_version", Text),
        Column("labels", Document, nullable=False),
        Column("status", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
        # counts changes: the ETag
        Column("revision", Integer, nullable=False),
    ]
    return columns


teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    *_scope_columns(),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team_id", Text, ForeignKey("teams.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    # the person in the team who holds it, if it is not the team's own
    Column("person", Text, nullable=False, index=True),
    *_scope_columns(),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

# secrets of a key: one, or two while it is rotated; and those that have ended lately
key_secrets = Table(
    "key_secrets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("keys.id", ondelete="CASCADE"), nullable=False, index=True),
    # HMAC-SHA-256 with KEY_PEPPER
    Column("hash", LargeBinary, nullable=False, unique=True),
    # what verifies SigV4 signatures, encrypted
    Column("signing", LargeBinary),
    Column("created_at", Instant, nullable=False),
    # the end of the time of grace of a rotated secret, or the time at which its key was revoked
    Column("expires_at", Instant),
)

# when what applies to the calls of a key or of a team last changed: replicas read what is new
key_changes = Table(
    "key_changes",
    metadata,
    # `key/ID` or `team/ID`, which may be deleted
    Column("name", Text, primary_key=True),
    # by the clock of the database
    Column("changed_at_us", BigInteger, nullable=False, index=True),
)

# a rate or a number of parallel requests. scope: `team` or `key`, and its id
limits = Table(
    "limits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
    # empty, `user` or `label:NAME`: one balance for each value of it
    Column("per", Text, nullable=False),
    # the value that it is for; empty for all values without a limit of their own
    Column("per_value", Text, nullable=False),
    # `requests_per_minute`, `tokens_per_minute` or `max_parallel_requests`
    Column("kind", Text, nullable=False),
    Column("capacity", BigInteger, nullable=False),
    # counts and logs, and refuses nothing
    Column("shadow", Boolean, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("scope", "scope_id", "per", "per_value", "kind"),
)

# money over a period
budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
    Column("per", Text, nullable=False),
    Column("per_value", Text, nullable=False),
    # `day`, `week`, `month` or `total`, in UTC
    Column("period", Text, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    # `block` or `warn`
    Column("action", Text, nullable=False),
    # `hard` or `estimated`
    Column("mode", Text, nullable=False),
    Column("shadow", Boolean, nullable=False),
    # another amount until a time
    Column("override_nano", BigInteger),
    Column("override_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("scope", "scope_id", "per", "per_value", "period", "action"),
)

# what of one capacity is used. The key of a budget's balance contains its window: `budget/ID/2026-11`
balances = Table(
    "balances",
    metadata,
    Column("key", Text, primary_key=True),
    # `budget`, `rate` or `permits`
    Column("kind", Text, nullable=False),
    # of the budget or the limit, whose row holds the capacity
    Column("source_id", Text, nullable=False, index=True),
    # budgets: nano-dollars that were posted
    Column("settled", BigInteger, nullable=False),
    # the sum of the leases that are not charged
    Column("leased", BigInteger, nullable=False),
    # rates: when all that was used has been refilled; ns since the epoch, by the clock of the database
    Column("refilled_at_ns", BigInteger, nullable=False),
    # when a replica last asked the others for what they do not use; us since the epoch
    Column("recalled_at_us", BigInteger, nullable=False, index=True),
)

# one process that admits requests. A restarted process is another replica
replicas = Table(
    "replicas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("version", Text, nullable=False),
    # `live`, `lost` or `closed`
    Column("state", Text, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    # by the clock of the database
    Column("expires_at_us", BigInteger, nullable=False),
    # counts its transactions, so that one whose answer was lost is recognized
    Column("sequence", BigInteger, nullable=False),
    Index("ix_replicas_state", "state", "expires_at_us"),
)

leases = Table(
    "leases",
    metadata,
    Column("replica_id", Text, ForeignKey("replicas.id"), primary_key=True),
    Column("balance_key", Text, ForeignKey("balances.key"), primary_key=True, index=True),
    # what is idle, held or not posted yet
    Column("amount", BigInteger, nullable=False),
    # counted as settled, because its replica was lost
    Column("is_charged", Boolean, nullable=False),
)

# one entry for each phase of an attempt; entries never change
ledger = Table(
    "ledger",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    # `hold`, `settle` or `adjust`
    Column("phase", Text, primary_key=True),
    # of the corrections of one attempt
    Column("number", SmallInteger, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("replica_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("labels", Document, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("model_served", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("cache_write_1h_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    # null: the price is not known
    Column("cost_nano", BigInteger),
    Column("price_version", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("is_estimated", Boolean, nullable=False),
    # keys of the balances that it is charged to
    Column("charged_to", Document, nullable=False),
    # what a guardrail has examined, by name; null without one
    Column("guardrail_units", Document),
    Index("ix_ledger_at", "at"),
    Index("ix_ledger_model_served_at", "model_served", "at"),
    Index("ix_ledger_user_at", "user", "at", postgresql_where=text("\"user\" <> ''")),
    Index("ix_ledger_team_id_at", "team_id", "at"),
    Index("ix_ledger_key_id_at", "key_id", "at"),
    Index("ix_ledger_replica_id_phase", "replica_id", "phase"),
    Index("ix_ledger_request_id", "request_id"),
)


def _sum_columns() -> list[Column[object]]:
    """What is summed up of settled attempts."""
    columns: list[Column[object]] = [
        Column("requests", BigInteger, nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("cache_read_tokens", BigInteger, nullable=False),
        Column("cache_write_tokens", BigInteger, nullable=False),
        Column("cache_write_1h_tokens", BigInteger, nullable=False),
        Column("reasoning_tokens", BigInteger, nullable=False),
        Column("cost_nano", BigInteger, nullable=False),
        # of the cost, what was an estimate when it was posted
        Column("estimated_nano", BigInteger, nullable=False),
        Column("unpriced_requests", BigInteger, nullable=False),
    ]
    return columns


# sums of the ledger by hour and by day, which its writer keeps
usage = Table(
    "usage",
    metadata,
    # `hour` or `day`
    Column("interval", Text, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("team_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    # JSON with sorted names
    Column("labels", Text, primary_key=True),
    *_sum_columns(),
    Index("ix_usage_key_id_interval_start", "key_id", "interval", "start"),
    Index("ix_usage_user_interval_start", "user", "interval", "start"),
)

# the same sums by team and one more dimension, so that reports read few rows. On PostgreSQL, those by hour and by day
# are in partitions of their own: reports of a month would else read the pages of all hours
usage_totals = Table(
    "usage_totals",
    metadata,
    Column("interval", Text, primary_key=True),
    # `model`, `key`, `user` or `label`
    Column("dimension", Text, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("team_id", Text, primary_key=True),
    # of the dimension; of `label`, JSON with sorted names
    Column("value", Text, primary_key=True),
    *_sum_columns(),
    Index("ix_usage_totals_dimension_value_interval_start", "dimension", "value", "interval", "start"),
    postgresql_partition_by="LIST (interval)",
)

# the same sums by one more dimension and the model, or all models, which maintenance derives of what is over: if the
# ledger's writer kept them, each of its batches would be dearer
derived_usage = Table(
    "derived_usage",
    metadata,
    # `hour`, `day`, `today`, or a range of days that reports offer, such as `30d`
    Column("interval", Text, primary_key=True),
    # `key`, `user` or `label`
    Column("dimension", Text, primary_key=True),
    # `*` for all models
    Column("model", Text, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("team_id", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    *_sum_columns(),
    Index("ix_derived_usage_dimension_value_model_start", "dimension", "value", "model", "start"),
    postgresql_partition_by="LIST (interval)",
)

# what is in `derived_usage`, with the sums of all entries of that time: they change if some are posted later
derived_usage_parts = Table(
    "derived_usage_parts",
    metadata,
    Column("interval", Text, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("until", Instant, nullable=False),
    *_sum_columns(),
)

# requests that all replicas served, refused ones included
request_counts = Table(
    "request_counts",
    metadata,
    # `minute`, `hour` or `day`
    Column("interval", Text, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("throttles", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    # `team.create`, `key.revoke`
    Column("action", Text, nullable=False),
    Column("object_id", Text, nullable=False, index=True),
    Column("before", Document),
    Column("after", Document),
)

# sessions of the console that were signed out before they expired
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("expires_at", Instant, nullable=False, index=True),
)

# answers of the admin API, for requests that are sent again
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    # encrypted where it shows a secret once
    Column("answer", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
)

# events that still have to be sent, or were sent lately
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    # such as the threshold of a budget's window: an event is sent once
    Column("subject", Text, nullable=False, unique=True),
    Column("event", Text, nullable=False),
    Column("payload", Document, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Instant, index=True),
    Column("delivered_at", Instant),
)
