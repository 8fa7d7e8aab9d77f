"""Beta features that a model gets by Converse.

Source: AWS user guide, Claude Messages API: `anthropic_beta` in additionalModelRequestFields.
"""

from app.adaptation.adapted_request import AdaptedRequest
from app.wire.documents import listed


def add_betas(adapted: AdaptedRequest) -> None:
    """Request the beta of the long context, beside those that the caller requested."""
    if not adapted.capabilities.context.is_extended:
        return
    fields, beta = adapted.body.get("additionalModelRequestFields") or {}, adapted.capabilities.context.beta
    requested = listed(fields.get("anthropic_beta"))
    adapted.add_field("anthropic_beta", requested if beta in requested else [*requested, beta])
