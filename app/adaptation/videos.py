"""Videos, which few models accept."""

from app.adaptation.adapted_request import AdaptedRequest
from app.converse.content import ContentBlock
from app.errors import InvalidRequest


def refuse_videos(adapted: AdaptedRequest) -> None:
    """Refuse a video that the model does not accept. Raises InvalidRequest with the path of the field."""
    if not adapted.capabilities.turns.videos and any(map(_has_video, adapted.blocks())):
        raise InvalidRequest("this model accepts no video", param=adapted.path("video"))


def _has_video(block: ContentBlock) -> bool:
    if "toolResult" in block:
        return any("video" in part for part in block["toolResult"]["content"])
    return "video" in block
