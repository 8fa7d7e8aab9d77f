"""The data of charts, as scripts read them from an attribute of the chart's element."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from app.wire import json


class Series(Struct, frozen=True):
    """A line or a row of bars. written_as: how its figures are written. tone: its colour, if it means something."""

    label: str
    values: Sequence[float]
    written_as: Literal["usd", "count"] = "count"
    bars: bool = False
    tone: Literal["", "accent", "second", "bad"] = ""


def chart_data(starts: Sequence[datetime], series: Sequence[Series]) -> str:
    """Return the data of a chart over time."""
    drawn = [
        {"label": each.label, "values": each.values, "as": each.written_as, "bars": each.bars, "tone": each.tone}
        for each in series
    ]
    return json.dumps({"x": [round(start.timestamp()) for start in starts], "series": drawn}).decode()


def filled(starts: Sequence[datetime], values: Mapping[datetime, float]) -> list[float]:
    """Return a value for each interval: 0 where nothing was used."""
    return [values.get(start, 0) for start in starts]
