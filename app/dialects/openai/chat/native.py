"""Passes responses of a surface that speaks Chat Completions to the caller, with the caller's name for the model.

Requests of mode `native` are adapted in `app.adaptation.openai`.
"""

from collections.abc import Iterable

from app.dialects.openai.common.errors import error_body
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject
from app.wire.sse import data_frame


def from_document(document: JsonObject, model: str) -> JsonObject:
    """Return the completion with the caller's name for the model.

    Raises:
        UpstreamFailed: the document is not a completion.
    """
    if document.get("object") != "chat.completion":
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no completion")
    return {**document, "model": model}


class NativeChunks:
    """Passes one stream to the caller.

    Args:
        model: as the caller named it. include_usage: the caller requested the chunk with the usage.
    """

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._is_finished = False

    def from_event(self, document: JsonObject) -> bytes:
        """Return the frames for a chunk."""
        return b"".join(self._frames(document))

    def finish(self) -> bytes:
        """Return the end of a stream that succeeded.

        Raises:
            UpstreamFailed: no choice was finished before it.
        """
        if not self._is_finished:
            raise UpstreamFailed("Bedrock's stream ended before its message was complete", detail="ended early")
        return data_frame(b"[DONE]")

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of a stream that failed: the error, and no `[DONE]`."""
        return data_frame(error_body(error))

    def _frames(self, document: JsonObject) -> Iterable[bytes]:
        self._is_finished = self._is_finished or any(
            choice.get("finish_reason") for choice in document.get("choices") or ()
        )
        # the gateway always requests the usage; callers that did not are not sent it
        if "usage" in document and not self._include_usage:
            if not document.get("choices"):
                return
            document = {name: value for name, value in document.items() if name != "usage"}
        yield data_frame(json.dumps({**document, "model": self._model}))
