"""Parts of queries about budgets at a time: what their amount is, and which balances are of the window that runs."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, or_

from app.governance.leases.windows import PERIODS, window_of
from app.storage.tables import balances, budgets


def amount_at(moment: datetime) -> ColumnElement[int]:
    """Return the amount of a row of `budgets`: the override's, until that ends. See `Budget.amount_at`."""
    is_overridden = budgets.c.override_nano.is_not(None) & or_(
        budgets.c.override_until.is_(None), budgets.c.override_until > moment
    )
    return case((is_overridden, budgets.c.override_nano), else_=budgets.c.amount_nano)


def is_current(moment: datetime) -> ColumnElement[bool]:
    """Return the condition that a row of `balances` is of a row of `budgets`, in the window of a time."""
    in_window = [
        and_(budgets.c.period == period, balances.c.key.endswith(f"/{window_of(period, moment)[0]}", autoescape=True))
        for period in PERIODS
    ]
    return and_(balances.c.source_id == budgets.c.id, or_(*in_window))
