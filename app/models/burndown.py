"""How many tokens of a quota an output token takes.

Bedrock counts the tokens of a call against its quota: `input + cache write + output * rate`. Tokens that are read from
a cache do not count. A table of dated rows holds the rates; a deployment's own rate comes before it. A model of a
vendor with rates above 1 that has no row gets the dearest rate, and a warning.

Sources: AWS user guide, "Token burndown" and "Quotas for the bedrock-mantle endpoint", as quoted on the dates of the
rows. The page and AWS's own toolkit differ about Claude before 3.7; the dearer rate is used.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from msgspec import Struct

_log = logging.getLogger(__name__)

_MAX_REPORTED = 1000


class BurndownRow(Struct, frozen=True):
    """The rate of the models whose base ids match. date: of the source."""

    pattern: re.Pattern[str]
    rate: int
    date: str


def _row(pattern: str, rate: int, date: str) -> BurndownRow:
    return BurndownRow(re.compile(pattern), rate, date)


# what may follow a model's name in its id: a date and a version
_END = r"(-\d{8})?(-v\d+(:\d+)?)?\Z"

ROWS = (
    _row(r"anthropic\.claude-[a-z]+-4-8" + _END, 15, "2026-09-10"),
    _row(r"anthropic\.claude-(sonnet-5|opus-5|fable-5-1)" + _END, 10, "2026-09-10"),
    _row(r"anthropic\.claude-opus-5-5" + _END, 10, "2026-10-09"),
    _row(r"anthropic\.claude-[a-z]+-4(-[0-7])?" + _END, 5, "2026-09-10"),
    _row(r"anthropic\.claude-(3|v2|instant)", 5, "2026-09-10"),
    _row(r"openai\.gpt-5\.6-(sol|terra|luna)" + _END, 10, "2026-09-10"),
    _row(r"openai\.gpt-oss-", 1, "2026-09-10"),
)
# without a row, these get the dearest rate, and all others 1
_VENDORS_WITH_RATES = ("anthropic.", "openai.")
DEAREST_RATE = max(row.rate for row in ROWS)


class Burndown:
    """The rates of all models.

    Args:
        own: a deployment's rates, by base id.
    """

    def __init__(self, own: Mapping[str, int] | None = None) -> None:
        self._own = own or {}
        self._rates: dict[str, int] = {}

    def rate(self, base: str) -> int:
        """Return the rate of a model on the runtime, by its base id. On mantle it is 1."""
        found = self._rates.get(base)
        if found is None:
            found = self._find(base)
            if len(self._rates) < _MAX_REPORTED:
                self._rates[base] = found
        return found

    def _find(self, base: str) -> int:
        if base in self._own:
            return self._own[base]
        for row in ROWS:
            if row.pattern.match(base):
                return row.rate
        if not base.startswith(_VENDORS_WITH_RATES):
            return 1
        _log.warning(
            "no burndown rate is known of a model: its output tokens count at the dearest one",
            extra={"fields": {"model": base, "rate": DEAREST_RATE}},
        )
        return DEAREST_RATE
