"""The answer of a scripted model."""

from dataclasses import dataclass

from app.converse.content import ContentBlock
from app.converse.events import StreamTrace


@dataclass(slots=True)
class Script:
    """An answer before limits and stop sequences cut it.

    delay_seconds: the pause before each event of a stream. cache_read, cache_write: tokens that the usage reports.
    """

    blocks: list[ContentBlock]
    stop_reason: str = "end_turn"
    delay_seconds: float = 0.0
    cache_read: int = 0
    cache_write: int = 0
    trace: StreamTrace | None = None
