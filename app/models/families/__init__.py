"""Capabilities by family. The first row whose pattern matches applies, so a narrow pattern precedes a wide one.

A row names only values that differ from the defaults of `Capabilities`, and their evidence. A pattern matches from the
start of the base id, which has no geography.
"""

from app.models.families import anthropic, embeddings, others, rerankers
from app.models.families.row import Row

FAMILIES: tuple[Row, ...] = (*anthropic.ROWS, *embeddings.ROWS, *rerankers.ROWS, *others.ROWS)

__all__ = ["FAMILIES", "Row"]
