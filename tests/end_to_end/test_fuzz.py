"""Mutated request documents and mutated upstream streams cause no crash and no hang."""

import copy
import itertools
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import errors
from app.adaptation.adapted_document import TRANSLATIONS, Events
from app.adaptation.response_mapping import NO_MAPPING
from app.adaptation.to_openai.chat_reply import ChunkEvents
from app.adaptation.to_openai.responses_reply import ResponseEvents
from app.bedrock.reported_usage import UsageTap
from app.bedrock.stream_decoding import EventDecoder, NativeDecoder, ServerSentDecoder
from app.converse.call import NativeEvent
from app.execution.operations.openai import DocumentReader
from app.execution.operations.translated import TranslatedReader
from app.observability.observer import AttemptContext
from app.wire import json
from tests.bedrock.test_stream_decoding import STREAM
from tests.end_to_end.faults import RESPONSE_EVENTS, response_to
from tests.servers import KEY

CLAUDE, GPT, ECHO = "anthropic.claude-3-haiku-20240307-v1:0", "openai.gpt-oss-120b-1:0", "scripted.echo-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
# models that Converse does not serve
MANTLE = ["openai.gpt-5.5", "google.gemma-4-31b", "zai.glm-4.6", "anthropic.claude-mythos-5"]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": PICTURE}}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city":"x"}'}}],
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,eA==", "filename": "a.txt"}}],
        },
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    "max_completion_tokens": 9,
    "temperature": 0.5,
    "stop": ["x"],
    "reasoning_effort": "low",
    "metadata": {"a": "b"},
    "stream_options": {"include_usage": True},
    "service_tier": "default",
    "web_search_options": {"search_context_size": "low"},
}
MESSAGES: dict[str, Any] = {
    "max_tokens": 9,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [{"type": "text", "text": "sunny"}],
                    "is_error": False,
                },
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                    "title": "t",
                    "citations": {"enabled": True},
                },
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
            ],
        },
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    "temperature": 1.0,
    "top_k": 5,
}
RESPONSES: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": PICTURE}],
        },
        {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"city":"x"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True},
        {"type": "custom", "name": "g", "description": "d"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "h", "parameters": SCHEMA}]},
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}, "verbosity": "low"},
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 9,
    "metadata": {"a": "b"},
    "store": True,
}
CONVERSE: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"text": "x"}, {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "oai1.WyJyc18xIiwgInJzbl9hIl0="}}},
                {"toolUse": {"toolUseId": "a", "name": "f", "input": {"city": "x"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"json": {"x": 1}}, {"text": "y"}], "status": "error"}},
                {"document": {"format": "pdf", "name": "n", "source": {"bytes": "JVBERi0="}}},
                {"guardContent": {"text": {"text": "x", "qualifiers": ["query"]}}},
                {"searchResult": {"source": "s", "title": "t", "content": [{"text": "c"}]}},
                {"cachePoint": {"type": "default"}},
            ],
        },
    ],
    "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "5m"}}],
    "inferenceConfig": {"maxTokens": 99, "temperature": 0.5, "topP": 0.5},
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}, "strict": True}}],
        "toolChoice": {"tool": {"name": "f"}},
    },
    "outputConfig": {
        "effort": "low",
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}", "name": "n"}}},
    },
    "additionalModelRequestFields": {"reasoning": {"effort": "low"}, "verbosity": "low"},
    "additionalModelResponseFieldPaths": ["/x"],
    "requestMetadata": {"a": "b"},
    "performanceConfig": {"latency": "optimized"},
    "serviceTier": {"type": "flex"},
}
EMBEDDINGS: dict[str, Any] = {"input": ["x", "y"], "dimensions": 256, "encoding_format": "float", "user": "u"}
RERANK: dict[str, Any] = {"query": "x", "documents": ["y", "z"], "top_n": 1, "return_documents": True}
ENDPOINTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("/v1/chat/completions", CHAT, [ECHO, CLAUDE, GPT, NOVA, *MANTLE]),
    ("/v1/messages", MESSAGES, [ECHO, CLAUDE, GPT, *MANTLE]),
    ("/v1/messages/count_tokens", MESSAGES, [ECHO, CLAUDE, "us.anthropic.claude-opus-4-8"]),
    ("/v1/responses", RESPONSES, [ECHO, CLAUDE, GPT, *MANTLE]),
    ("/model/{model}/converse", CONVERSE, MANTLE),
    ("/model/{model}/converse-stream", CONVERSE, MANTLE),
    ("/v1/embeddings", EMBEDDINGS, ["amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"]),
    ("/v1/rerank", RERANK, ["cohere.rerank-v3-5:0", "amazon.rerank-v1:0"]),
]
ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "\u0000", "\U0001f600" * 3, [], {}, [[]], [None], {"type": {}}, {"type": []},
    {"type": "text"}, {"": ""}, [{"type": None}], "a" * 300, {"$ref": "#/x"}, ["x", 1, {}], {"type": "object", "properties": 1},
]  # fmt: skip


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Iterate over the paths of all values in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inside:
        yield (*path, name)
        yield from paths_of(each, (*path, name))


def mutate(document: dict[str, Any], chance: random.Random) -> None:
    """Change a random value of a document: replace it with an odd one, delete it, or duplicate it."""
    *path, last = chance.choice([*paths_of(document)])
    holder: Any = document
    for step in path:
        holder = holder[step]
    match chance.random():
        case low if low < 0.7:
            holder[last] = copy.deepcopy(chance.choice(ODD))
        case middle if middle < 0.85:
            del holder[last]
        case _ if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        case _:
            holder[chance.choice(["type", "x", "name"])] = copy.deepcopy(holder[last])


@pytest.mark.parametrize(("path", "document", "models"), ENDPOINTS, ids=[endpoint[0] for endpoint in ENDPOINTS])
def test_mutated_documents_cause_no_internal_error(
    gateway_url: str, path: str, document: dict[str, Any], models: list[str]
) -> None:
    seed = 0 if settings().derandomize else random.randrange(2**32)
    chance = random.Random(seed)
    with httpx.Client(base_url=gateway_url, headers={"authorization": f"Bearer {KEY}"}, timeout=20) as client:
        for number in range(250):
            body = copy.deepcopy(document)
            for _ in range(chance.randint(1, 3)):
                mutate(body, chance)
            model = chance.choice(models)
            if "{model}" not in path:
                body |= {"model": model} | ({"stream": True} if chance.random() < 0.3 else {})
            started = time.monotonic()
            answer = client.post(path.format(model=model), content=json.dumps(body))
            sample = f"seed {seed}, number {number}: {json.dumps_text(body)}"
            assert answer.status_code in (200, 400, 403, 404, 429, 502), sample
            assert b"an internal error occurred" not in answer.content, sample
            assert time.monotonic() - started < 15, sample


# streams from Bedrock


def _translating(events: Events) -> TranslatedReader:
    documents = DocumentReader(TRANSLATIONS["openai_responses"].last_events, lambda _: None, AttemptContext())
    return TranslatedReader(documents, events, NO_MAPPING)


CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "x"}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
]
DECODERS: list[tuple[Callable[[], Any], bytes]] = [
    (
        lambda: _translating(ResponseEvents()),
        b"".join(b"data: " + json.dumps(each) + b"\n\n" for each in RESPONSE_EVENTS),
    ),
    (
        lambda: _translating(ChunkEvents()),
        b"".join(b"data: " + json.dumps(each) + b"\n\n" for each in CHUNKS) + b"data: [DONE]\n\n",
    ),
    (EventDecoder, STREAM),
    (UsageTap, STREAM),
    (lambda: NativeDecoder(last="message_stop"), b"".join(response_to("/invoke-with-response-stream").pieces)),
    (
        lambda: ServerSentDecoder(frozenset({"response.completed"})),
        b"".join(b"data: " + json.dumps(each) + b"\n\n" for each in RESPONSE_EVENTS),
    ),
]


def flipped(stream: bytes, changes: list[tuple[int, int]]) -> bytes:
    data = bytearray(stream)
    for index, value in changes:
        data[index % len(data)] = value
    return bytes(data)


@pytest.mark.parametrize("index", range(len(DECODERS)))
@given(
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    tail=st.binary(max_size=100),
    cuts=st.lists(st.integers(0, 5000), max_size=6),
)
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_mutated_streams_raise_only_gateway_errors(
    index: int, changes: list[tuple[int, int]], tail: bytes, cuts: list[int]
) -> None:
    make, stream = DECODERS[index]
    data, decoder = flipped(stream, changes) + tail, make()
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    found: list[Any] = []
    outcome = "complete"
    try:
        for start, end in itertools.pairwise(ends):
            found += decoder.feed(data[start:end]) or ()
        if not isinstance(decoder, UsageTap):
            decoder.finish()
    except errors.GatewayError as error:
        outcome = error.kind
    assert outcome in ("complete", "upstream_failed") or changes
    assert all(isinstance(each.document if isinstance(each, NativeEvent) else each, dict) for each in found)


@pytest.mark.parametrize("index", range(len(DECODERS)))
def test_endless_streams_use_bounded_memory(index: int) -> None:
    make, _ = DECODERS[index]
    decoder = make()
    tracemalloc.start()
    try:
        fed = 0
        try:
            # a frame that declares the maximum length and never ends
            decoder.feed((24 * 1024 * 1024).to_bytes(4, "big") + bytes(8))
            while fed < 64 * 1024 * 1024:
                decoder.feed(b"x" * 65536)
                fed += 65536
        except errors.GatewayError:
            pass
        assert tracemalloc.get_traced_memory()[0] < 40 * 1024 * 1024
    finally:
        tracemalloc.stop()
