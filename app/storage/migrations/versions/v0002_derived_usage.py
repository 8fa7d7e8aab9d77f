"""Sums of usage that are derived from those that the ledger keeps."""

import sqlalchemy as sa
from alembic import op

from app.storage.columns import Instant

revision = "0002"
down_revision = "0001"

_SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "cost_nano", "estimated_nano", "unpriced_requests",
)  # fmt: skip


def upgrade() -> None:
    """Create the tables. Maintenance fills them."""
    op.create_table(
        "derived_usage",
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("dimension", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("start", Instant, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        *_sum_columns(),
        sa.PrimaryKeyConstraint(
            "interval", "dimension", "model", "start", "team_id", "value", name=op.f("pk_derived_usage")
        ),
        postgresql_partition_by="LIST (interval)",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("create table derived_usage_day partition of derived_usage for values in ('day')")
        op.execute("create table derived_usage_recent partition of derived_usage default")
    op.create_index(
        "ix_derived_usage_dimension_value_model_start", "derived_usage", ["dimension", "value", "model", "start"]
    )
    op.create_table(
        "derived_usage_parts",
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("start", Instant, nullable=False),
        sa.Column("until", Instant, nullable=False),
        *_sum_columns(),
        sa.PrimaryKeyConstraint("interval", "start", name=op.f("pk_derived_usage_parts")),
    )


def _sum_columns() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS]
