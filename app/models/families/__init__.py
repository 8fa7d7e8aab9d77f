"""Facts by family, as data: rows are tried from the top, so a narrower pattern stands above a wider one.

A row names only what differs from the defaults of `Capabilities`, and says how that is known. Patterns match from the
start of the base id, after a geography has been taken off.
"""

from app.models.families import anthropic, embeddings, others, rerankers
from app.models.families.row import Row

FAMILIES: tuple[Row, ...] = (*anthropic.ROWS, *embeddings.ROWS, *rerankers.ROWS, *others.ROWS)

__all__ = ["FAMILIES", "Row"]
