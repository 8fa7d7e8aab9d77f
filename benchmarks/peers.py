"""Measures peers, each served as its documentation says, with the same upstream and the same request."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.figures import measure, run_requests, run_streams
from benchmarks.load import Call, call, repeat
from benchmarks.processes import KEY, MODEL, Process, free_port, gateway, running, upstream

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream bedrock {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://bedrock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
_LITELLM_MODEL = """
  - model_name: {model}
    litellm_params:
      model: bedrock/converse/{model}
      aws_access_key_id: AKIAOUTCROPEMULATOR0
      aws_secret_access_key: outcrop-emulator-secret-key-0000000000000
      aws_region_name: us-east-1
      aws_bedrock_runtime_endpoint: http://127.0.0.1:{upstream}
"""
_LITELLM_SETTINGS = "litellm_settings:\n  telemetry: false\n"
_LITELLM_KEY = f"sk-{KEY}-of-more-letters-0123456789"
# 200 chunks, one each 5 ms
_PACED = "bench.paced-5-200"
_CHUNKS, _STREAMS = 200, 64


def compare(measured: int, other: int, litellm: Path | None, portkey: Path | None) -> Iterator[dict[str, Any]]:
    """Measure Outcrop and each installed peer: CPU per request and per streamed chunk, latency, and idle memory."""
    with upstream(other) as port:
        with gateway(port, measured) as process:
            streamed = figures.stream_call(process.port, 5, _CHUNKS)
            yield _figures("Outcrop", "this tree", process, figures.complete_call(process.port), streamed, 6000)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        if Path(nginx).exists():
            with _nginx(nginx, port, measured) as process:
                chat: dict[str, Any] = {"messages": figures.chat()}
                direct = call(process.port, f"/model/{MODEL}/converse", chat, KEY)
                streamed = call(process.port, f"/model/{_PACED}/converse-stream", chat, KEY, figures.FRAME_END)
                yield _figures("nginx", "as a plain proxy", process, direct, streamed, 20_000)
        if litellm is not None:
            with _litellm(litellm, port, measured) as process:
                direct, streamed = _chat_calls(process.port, _LITELLM_KEY)
                yield _figures("LiteLLM", _version(litellm, "litellm"), process, direct, streamed, 400)
        if portkey is not None:
            with _portkey(portkey, measured) as process:
                direct, streamed = (_through_portkey(each, port) for each in _chat_calls(process.port, KEY))
                yield _figures("Portkey", "npm", process, direct, streamed, 1500)


def _figures(name: str, version: str, process: Process, made: Call, streamed: Call, total: int) -> dict[str, Any]:
    memory = process.memory()
    load = min((run_requests(process, made, 16, total) for _ in range(3)), key=lambda each: each.cpu)
    alone = measure(process, repeat(made, process.port, 1, max(total // 10, 50)))
    paced = min((run_streams(process, streamed, _STREAMS) for _ in range(3)), key=lambda each: each.cpu)
    if load.faults or paced.faults:
        raise SystemExit(f"{name} failed {load.faults} of {total} requests, and {paced.faults} of {_STREAMS} streams")
    return {
        "name": name,
        "version": version,
        "cpu_us": load.cpu_us,
        "chunk_us": paced.cpu / _STREAMS / _CHUNKS * 1e6,
        "p50_ms": alone.latency_ms(),
        "memory": memory,
        "seconds_to_200": process.seconds_to_200,
    }


@contextlib.contextmanager
def _nginx(program: str, upstream_port: int, core: int) -> Iterator[Process]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream_port))
        with running([program, "-c", str(configuration)], port, core) as process:
            yield process


@contextlib.contextmanager
def _litellm(python: Path, upstream_port: int, core: int) -> Iterator[Process]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "litellm.yaml"
        models = "".join(_LITELLM_MODEL.format(model=model, upstream=upstream_port) for model in (MODEL, _PACED))
        configuration.write_text(f"model_list:{models}{_LITELLM_SETTINGS}")
        command = [str(python.parent / "litellm"), "--config", str(configuration), "--port", str(port)]
        command += ["--host", "127.0.0.1", "--num_workers", "1"]
        environment = {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": _LITELLM_KEY,
        }
        with running(command, port, core, "/health/liveliness", environment) as process:
            yield process


def _portkey(folder: Path, core: int) -> AbstractContextManager[Process]:
    port = free_port()
    script = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    return running(["node", str(script), f"--port={port}", "--headless"], port, core)


def _chat_calls(port: int, key: str) -> tuple[Call, Call]:
    """Return a chat request with a complete response, and one with a streaming response."""
    direct = {"model": MODEL, "messages": figures.chat()}
    streamed = {"model": _PACED, "messages": figures.chat(), "stream": True}
    path = "/v1/chat/completions"
    return call(port, path, direct, key), call(port, path, streamed, key, figures.DONE)


def _through_portkey(made: Call, upstream_port: int) -> Call:
    named = {
        "x-portkey-provider": "bedrock",
        "x-portkey-aws-access-key-id": "AKIAOUTCROPEMULATOR0",
        "x-portkey-aws-secret-access-key": "outcrop-emulator-secret-key-0000000000000",
        "x-portkey-aws-region": "us-east-1",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items()).encode()
    return Call(made.head.removesuffix(b"\r\n") + lines + b"\r\n", made.body, made.end)


def _version(python: Path, package: str) -> str:
    return next(
        (path.name.split("-")[1].removesuffix(".dist") for path in python.parents[1].rglob(f"{package}-*.dist-info")),
        "",
    )
