"""Changes a Converse call, or a native body, into one that the target's model accepts.

Each module is one pass, or a topic that several passes share. `passes` holds their order. Every change is named in the
`x-outcrop-adjusted` header. This package knows models by their capabilities and knows no dialect.
"""

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.passes import PASSES, adapt

__all__ = ["PASSES", "AdaptedRequest", "adapt"]
