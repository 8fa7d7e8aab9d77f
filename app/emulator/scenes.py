"""The scripted models. The id picks the scene; what a scene says follows from the request alone."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from app.emulator.catalog import Model
from app.emulator.errors import model_refused
from app.emulator.script import Script, last_results, last_text, sample_of
from app.wire import json

Scene = Callable[[dict[str, Any]], Script]


def script_for(model: Model, request: dict[str, Any]) -> Script:
    """What this model says to this request."""
    check_signatures(request)
    scene = model.id.removeprefix("scripted.").removesuffix("-v1:0")
    return _SCENES.get(scene, _auto)(request)


def sign(thought: str) -> str:
    """The signature of a thought."""
    return b64encode(hashlib.sha256(f"signed:{thought}".encode()).digest()).decode()


def check_signatures(request: dict[str, Any]) -> None:
    """Refuse a signed thought that was changed on its way, as Claude does."""
    for turn, message in enumerate(request["messages"]):
        for place, block in enumerate(message["content"]):
            thought = (block.get("reasoningContent") or {}).get("reasoningText") or {}
            if thought.get("signature") and thought["signature"] != sign(thought["text"]):
                raise model_refused(f"messages.{turn}.content.{place}: Invalid `signature` in `thinking` block")


def _auto(request: dict[str, Any]) -> Script:
    """What a real model would do: call a tool it is given, follow a schema, think when asked, or answer."""
    fields = request.get("additionalModelRequestFields")
    fields = fields if isinstance(fields, dict) else {}
    config = request.get("toolConfig") or {}
    if last_results(request):
        return _tools(request)
    if config and "auto" not in (config.get("toolChoice") or {"auto": {}}):
        return _toolonly(request)
    if (request.get("outputConfig") or {}).get("textFormat"):
        return _structured(request)
    thinking = fields.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        return _thinking(request)
    return _tools(request) if config else _echo(request)


def _echo(request: dict[str, Any]) -> Script:
    return Script([{"text": last_text(request) or "(nothing was said)"}])


def _long(_: dict[str, Any]) -> Script:
    sentences = (f"Sentence {number} of a long answer that goes on. " for number in range(1, 201))
    return Script([{"text": "".join(sentences)}])


def _calls(request: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Calls of the declared tools, one after the other, or of the one that is forced."""
    config = request.get("toolConfig") or {"tools": []}
    specs = [tool["toolSpec"] for tool in config["tools"] if "toolSpec" in tool]
    forced = (config.get("toolChoice") or {}).get("tool", {}).get("name")
    specs = [spec for spec in specs if forced in (None, spec["name"])]
    calls = []
    for number in range(count if specs else 0):
        spec = specs[number % len(specs)]
        arguments = sample_of(spec["inputSchema"]["json"])
        digest = hashlib.sha256(f"{number}{spec['name']}{json.dumps_text(request['messages'])}".encode()).hexdigest()
        calls.append({"toolUse": {"toolUseId": f"tooluse_{digest[:22]}", "name": spec["name"], "input": arguments}})
    return calls


def _results(request: dict[str, Any]) -> Script | None:
    """The last word once tools have answered."""
    results = last_results(request)
    if not results:
        return None
    said = [
        part.get("text") or next(iter(part)) if "json" not in part else json.dumps_text(part["json"])
        for result in results
        for part in result["content"]
    ]
    return Script([{"text": f"The tools said: {'; '.join(said)}"}])


def _tools(request: dict[str, Any]) -> Script:
    if (answer := _results(request)) is not None:
        return answer
    calls = _calls(request, 1)
    return Script([{"text": "I will look that up."}, *calls], "tool_use") if calls else _echo(request)


def _parallel(request: dict[str, Any]) -> Script:
    if (answer := _results(request)) is not None:
        return answer
    count = max(2, len((request.get("toolConfig") or {"tools": []})["tools"]))
    calls = _calls(request, count)
    return Script([{"text": "I will look both up."}, *calls], "tool_use") if calls else _echo(request)


def _toolonly(request: dict[str, Any]) -> Script:
    if (answer := _results(request)) is not None:
        return answer
    calls = _calls(request, 1)
    return Script(calls, "tool_use") if calls else _echo(request)


def _thought(request: dict[str, Any]) -> dict[str, Any]:
    text = f"The user says: {last_text(request)[:80]!r}. I should answer."
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": sign(text)}}}


def _thinking(request: dict[str, Any]) -> Script:
    rest = _tools(request)
    return Script([_thought(request), *rest.blocks], rest.stop_reason)


def _redacted(request: dict[str, Any]) -> Script:
    blob = b64encode(hashlib.sha256(last_text(request).encode()).digest()).decode()
    return Script(
        [{"reasoningContent": {"redactedContent": blob}}, *_tools(request).blocks], _tools(request).stop_reason
    )


def _citations(request: dict[str, Any]) -> Script:
    names = [
        block["document"]["name"]
        for message in request["messages"]
        for block in message["content"]
        if "document" in block
    ]
    citation = {
        "title": names[0] if names else "a document",
        "sourceContent": [{"text": "the cited words"}],
        "location": {"documentChunk": {"documentIndex": 0, "start": 0, "end": 1}},
    }
    web = {"title": "A page", "location": {"web": {"url": "https://example.com/page", "domain": "example.com"}}}
    return Script(
        [
            {"text": "According to the sources, "},
            {"citationsContent": {"content": [{"text": "this is so."}], "citations": [citation]}},
            {"text": " And "},
            {"citationsContent": {"content": [{"text": "so is that."}], "citations": [web]}},
        ]
    )


def _structured(request: dict[str, Any]) -> Script:
    text_format = (request.get("outputConfig") or {}).get("textFormat")
    if text_format is None:
        return _toolonly(request)
    schema = json.loads(text_format["structure"]["jsonSchema"]["schema"])
    return Script([{"text": json.dumps_text(sample_of(schema))}])


def _media(request: dict[str, Any]) -> Script:
    seen: list[str] = []

    def look(blocks: list[dict[str, Any]]) -> None:
        for block in blocks:
            for kind in ("image", "document", "audio", "video"):
                if kind in block:
                    size = len(block[kind]["source"].get("bytes", "")) * 3 // 4
                    name = f" {block[kind]['name']!r}" if "name" in block[kind] else ""
                    seen.append(f"{kind} {block[kind].get('format', '')}{name} of about {size} bytes")
            if "toolResult" in block:
                look(block["toolResult"]["content"])

    for message in request["messages"]:
        look(message["content"])
    return Script([{"text": f"I see {', '.join(seen) or 'nothing but text'}."}])


def _slow(request: dict[str, Any]) -> Script:
    return Script(_echo(request).blocks, pause=0.05)


def _silent(request: dict[str, Any]) -> Script:
    """A model that only thinks, as Qwen 3 was recorded to do."""
    return Script(
        [{"reasoningContent": {"reasoningText": {"text": f"Nothing to say to {last_text(request)[:40]!r}."}}}]
    )


def _guarded(_: dict[str, Any]) -> Script:
    trace = {"guardrail": {"actionReason": "Guardrail blocked.", "modelOutput": [], "inputAssessment": {}}}
    return Script([{"text": "Sorry, the guardrail blocked this."}], "guardrail_intervened", trace=trace)


def _malformed(_: dict[str, Any]) -> Script:
    return Script([{"text": "<tool_ca"}], "malformed_tool_use")


def _cached(request: dict[str, Any]) -> Script:
    return Script(_echo(request).blocks, cache_read=1200, cache_write=300)


def _servertool(_: dict[str, Any]) -> Script:
    use = {
        "toolUseId": "tooluse_server0000000000000",
        "name": "nova_code_interpreter",
        "input": {"snippet": "6 * 7"},
        "type": "server_tool_use",
    }
    result = {
        "toolUseId": use["toolUseId"],
        "type": "nova_code_interpreter_result",
        "status": "success",
        "content": [{"json": {"stdOut": "42", "stdErr": "", "exitCode": 0, "isError": False}}],
    }
    return Script([{"toolUse": use}, {"toolResult": result}, {"text": "The answer is 42."}])


_SCENES: dict[str, Scene] = {
    "echo": _echo,
    "long": _long,
    "tools": _tools,
    "parallel": _parallel,
    "toolonly": _toolonly,
    "thinking": _thinking,
    "redacted": _redacted,
    "citations": _citations,
    "structured": _structured,
    "media": _media,
    "slow": _slow,
    "silent": _silent,
    "guarded": _guarded,
    "malformed": _malformed,
    "cached": _cached,
    "servertool": _servertool,
}
