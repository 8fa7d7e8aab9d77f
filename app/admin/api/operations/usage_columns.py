"""The names by which sums of usage are grouped and filtered."""

from typing import Literal

Interval = Literal["hour", "day"]
# the column of each in `usage`
COLUMNS = {"team": "team_id", "key": "key_id", "user": "user", "model": "model", "label": "labels"}
