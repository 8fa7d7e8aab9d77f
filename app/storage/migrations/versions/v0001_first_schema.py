"""The first schema."""

import sqlalchemy as sa
from alembic import op

from app.storage.columns import Document, Instant

revision = "0001"
down_revision = None

_BUDGET_IDENTITY = "uq_budgets_scope_scope_id_per_per_value_period_action"
_LIMIT_IDENTITY = "uq_limits_scope_scope_id_per_per_value_kind"


def upgrade() -> None:
    """Create all tables."""
    _create_audit()
    _create_balances()
    _create_budgets()
    _create_ended_sessions()
    _create_idempotency_keys()
    _create_ledger()
    _create_limits()
    _create_replicas()
    _create_request_counts()
    _create_teams()
    _create_usage()
    _create_usage_totals()
    _create_webhooks()
    _create_keys()
    _create_key_changes()
    _create_leases()
    _create_key_secrets()


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("before", Document),
        sa.Column("after", Document),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
    op.create_index(op.f("ix_audit_object_id"), "audit", ["object_id"])


def _create_balances() -> None:
    op.create_table(
        "balances",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.Column("leased", sa.BigInteger, nullable=False),
        sa.Column("refilled_at_ns", sa.BigInteger, nullable=False),
        sa.Column("recalled_at_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_balances")),
    )
    op.create_index(op.f("ix_balances_recalled_at_us"), "balances", ["recalled_at_us"])
    op.create_index(op.f("ix_balances_source_id"), "balances", ["source_id"])


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("scope_id", sa.Text, nullable=False),
        sa.Column("per", sa.Text, nullable=False),
        sa.Column("per_value", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("amount_nano", sa.BigInteger, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("override_nano", sa.BigInteger),
        sa.Column("override_until", Instant),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint("scope", "scope_id", "per", "per_value", "period", "action", name=_BUDGET_IDENTITY),
    )


def _create_ended_sessions() -> None:
    op.create_table(
        "ended_sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ended_sessions")),
    )
    op.create_index(op.f("ix_ended_sessions_expires_at"), "ended_sessions", ["expires_at"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("attempt_id", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("number", sa.SmallInteger, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("replica_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("labels", Document, nullable=False),
        sa.Column("model_asked", sa.Text, nullable=False),
        sa.Column("model_served", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("price_version", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("is_estimated", sa.Boolean, nullable=False),
        sa.Column("charged_to", Document, nullable=False),
        sa.Column("guardrail_units", Document, nullable=True),
        sa.PrimaryKeyConstraint("attempt_id", "phase", "number", name=op.f("pk_ledger")),
    )
    op.create_index("ix_ledger_at", "ledger", ["at"])
    op.create_index("ix_ledger_key_id_at", "ledger", ["key_id", "at"])
    op.create_index("ix_ledger_model_served_at", "ledger", ["model_served", "at"])
    op.create_index("ix_ledger_replica_id_phase", "ledger", ["replica_id", "phase"])
    op.create_index("ix_ledger_request_id", "ledger", ["request_id"])
    op.create_index("ix_ledger_team_id_at", "ledger", ["team_id", "at"])
    op.create_index("ix_ledger_user_at", "ledger", ["user", "at"], postgresql_where=sa.text("\"user\" <> ''"))


def _create_limits() -> None:
    op.create_table(
        "limits",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("scope_id", sa.Text, nullable=False),
        sa.Column("per", sa.Text, nullable=False),
        sa.Column("per_value", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("capacity", sa.BigInteger, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limits")),
        sa.UniqueConstraint("scope", "scope_id", "per", "per_value", "kind", name=_LIMIT_IDENTITY),
    )


def _create_replicas() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.create_index("ix_replicas_state", "replicas", ["state", "expires_at_us"])


def _create_request_counts() -> None:
    op.create_table(
        "request_counts",
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("start", Instant, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("throttles", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("interval", "start", name=op.f("pk_request_counts")),
    )


def _create_teams() -> None:
    op.create_table(
        "teams",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("models", Document),
        sa.Column("default_max_tokens", sa.BigInteger),
        sa.Column("largest_max_tokens", sa.BigInteger),
        sa.Column("guardrail_id", sa.Text),
        sa.Column("guardrail_version", sa.Text),
        sa.Column("labels", Document, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("start", Instant, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        *_sum_columns(),
        sa.PrimaryKeyConstraint(
            "interval", "start", "team_id", "key_id", "user", "model", "labels", name=op.f("pk_usage")
        ),
    )
    op.create_index("ix_usage_key_id_interval_start", "usage", ["key_id", "interval", "start"])
    op.create_index("ix_usage_user_interval_start", "usage", ["user", "interval", "start"])


def _create_usage_totals() -> None:
    op.create_table(
        "usage_totals",
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("dimension", sa.Text, nullable=False),
        sa.Column("start", Instant, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        *_sum_columns(),
        sa.PrimaryKeyConstraint("interval", "dimension", "start", "team_id", "value", name=op.f("pk_usage_totals")),
        postgresql_partition_by="LIST (interval)",
    )
    if op.get_bind().dialect.name == "postgresql":
        for interval in ("hour", "day"):
            op.execute(f"create table usage_totals_{interval} partition of usage_totals for values in ('{interval}')")
    op.create_index(
        "ix_usage_totals_dimension_value_interval_start",
        "usage_totals",
        ["dimension", "value", "interval", "start"],
    )


def _sum_columns() -> list[sa.Column[int]]:
    return [
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("estimated_nano", sa.BigInteger, nullable=False),
        sa.Column("unpriced_requests", sa.BigInteger, nullable=False),
    ]


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("payload", Document, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", Instant),
        sa.Column("delivered_at", Instant),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("subject", name="uq_webhooks_subject"),
    )
    op.create_index(op.f("ix_webhooks_next_attempt_at"), "webhooks", ["next_attempt_at"])


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("models", Document),
        sa.Column("default_max_tokens", sa.BigInteger),
        sa.Column("largest_max_tokens", sa.BigInteger),
        sa.Column("guardrail_id", sa.Text),
        sa.Column("guardrail_version", sa.Text),
        sa.Column("labels", Document, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("expires_at", Instant),
        sa.Column("revoked_at", Instant),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_keys_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )
    op.create_index(op.f("ix_keys_person"), "keys", ["person"])
    op.create_index(op.f("ix_keys_team_id"), "keys", ["team_id"])


def _create_key_changes() -> None:
    op.create_table(
        "key_changes",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("changed_at_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_key_changes")),
    )
    op.create_index(op.f("ix_key_changes_changed_at_us"), "key_changes", ["changed_at_us"])


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("replica_id", sa.Text, nullable=False),
        sa.Column("balance_key", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("is_charged", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["balance_key"], ["balances.key"], name=op.f("fk_leases_balance_key")),
        sa.ForeignKeyConstraint(["replica_id"], ["replicas.id"], name=op.f("fk_leases_replica_id")),
        sa.PrimaryKeyConstraint("replica_id", "balance_key", name=op.f("pk_leases")),
    )
    op.create_index(op.f("ix_leases_balance_key"), "leases", ["balance_key"])


def _create_key_secrets() -> None:
    op.create_table(
        "key_secrets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("signing", sa.LargeBinary),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_key_secrets_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_secrets")),
        sa.UniqueConstraint("hash", name="uq_key_secrets_hash"),
    )
    op.create_index(op.f("ix_key_secrets_key_id"), "key_secrets", ["key_id"])
