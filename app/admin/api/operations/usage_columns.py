"""The names by which sums of usage are grouped and filtered, and what is summed up."""

from typing import Literal

Interval = Literal["hour", "day"]
# the column of each in `usage`
COLUMNS = {"team": "team_id", "key": "key_id", "user": "user", "model": "model", "label": "labels"}
SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "cost_nano", "estimated_nano", "unpriced_requests",
)  # fmt: skip
