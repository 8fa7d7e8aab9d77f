"""The operation behind both APIs, for callers that are authenticated."""

from app.emulator.catalog import Model
from app.emulator.model_lookup import find_on_mantle, find_on_openai
from app.emulator.model_runner import ModelRunner
from app.emulator.openai_api.chat_request import chat_to_converse
from app.emulator.openai_api.chat_stream import gather_completion, to_chunks
from app.emulator.openai_api.errors import unsupported_model
from app.emulator.openai_api.implicit_cache import with_cache_counts
from app.emulator.openai_api.responses_request import responses_to_converse
from app.emulator.openai_api.responses_stream import gather_response, to_responses
from app.emulator.request_bodies import parse_body
from app.emulator.responses import GARBAGE, CompleteResponse, Response, StreamingResponse, sse_frames, with_first_frame
from app.emulator.stream_writers import SseWriter
from app.wire import json


async def create(runner: ModelRunner, path: str, *, is_mantle: bool | None, body: bytes) -> Response:
    """Create a chat completion or a response.

    Args:
        is_mantle: which service was called; None if unknown, then mantle if it serves the model.

    Raises:
        ServiceError: in OpenAI's envelope. ConnectionResetError: the fault `reset`.
    """
    document = parse_body(body)
    name = str(document.get("model"))
    if is_mantle is None:
        is_mantle = _is_served_on_mantle(name, path)
    model, suffix = _find(name, path, is_mantle=is_mantle)
    model = runner.as_called(model, name, is_mantle=is_mantle)
    fault = await runner.faults.inject(suffix, f"{name}{path}", body)
    if fault.name == "garbage":
        return GARBAGE
    is_chat = path.endswith("/chat/completions")
    request = chat_to_converse(document) if is_chat else responses_to_converse(document, is_mantle=is_mantle)
    read = runner.implicit_cache.read(model.id, request) if model.provider == "OpenAI" else 0
    answer = with_cache_counts(runner.run(model, request), read)
    events = to_chunks(answer, document) if is_chat else to_responses(answer, document)
    if document.get("stream"):
        frames = await with_first_frame(sse_frames(events, ends_with_done=is_chat))
        return StreamingResponse(frames, fault, SseWriter(), "text/event-stream")
    return CompleteResponse(json.dumps(await (gather_completion(events) if is_chat else gather_response(events))))


def _is_served_on_mantle(name: str, path: str) -> bool:
    found = find_on_mantle(name)
    return found is not None and f"mantle{path}" in found[0].openai


def _find(name: str, path: str, *, is_mantle: bool) -> tuple[Model, str]:
    found = find_on_mantle(name) if is_mantle else find_on_openai(name)
    if found is None or f"{'mantle' if is_mantle else 'runtime'}{path}" not in found[0].openai:
        raise unsupported_model(name, is_mantle=is_mantle, path=path)
    return found
