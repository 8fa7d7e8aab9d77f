"""The body that the passes change."""

from msgspec import field

from app.adaptation.adapted_request import AdaptedBody
from app.adaptation.call_ids import CallIds


class AdaptedInvokeBody(AdaptedBody):
    """A body of Anthropic's Messages for one model, the betas that it needs, and the ids of its calls, if any."""

    betas: list[str] = field(default_factory=list)
    ids: CallIds | None = None

    def add_beta(self, beta: str) -> None:
        """Add a beta, once."""
        if beta not in self.betas:
            self.betas.append(beta)
