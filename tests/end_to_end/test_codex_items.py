"""The items and tools of Codex's sessions, on a model behind Converse, at the runtime and on mantle.

The embedded Bedrock refuses the types of items and tools that each surface of AWS's refuses.
"""

from typing import Any

import httpx
import pytest

from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY

HEADERS = {"x-api-key": KEY}
CLAUDE, GPT56, GPT55, GEMMA = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.openai.gpt-5.6-sol",
    "openai.gpt-5.5",
    "google.gemma-4-31b",
)
SHELL: Any = {"type": "function", "name": "exec", "parameters": {"type": "object", "properties": {}}, "strict": False}
FILES: Any = {"type": "namespace", "name": "files", "description": "Files", "tools": [{**SHELL, "name": "read"}]}
QUESTION: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is in a.txt?"}]}
HISTORY: list[Any] = [
    {"type": "additional_tools", "role": "developer", "tools": [SHELL, FILES]},
    QUESTION,
    {
        "type": "agent_message",
        "author": "worker",
        "recipient": "main",
        "content": [{"type": "input_text", "text": "x"}],
    },
    {"type": "local_shell_call", "id": "ls_1", "call_id": "call_a", "action": {"type": "exec", "command": ["ls"]}},
    {"type": "function_call_output", "call_id": "call_a", "output": "a.txt"},
    {"type": "shell_call", "call_id": "call_b", "action": {"commands": ["cat a.txt"]}},
    {"type": "shell_call_output", "call_id": "call_b", "output": [{"stdout": "hello", "stderr": ""}]},
    {"type": "apply_patch_call", "call_id": "call_c", "operation": {"type": "delete_file", "path": "b"}},
    {"type": "apply_patch_call_output", "call_id": "call_c", "status": "completed", "output": "ok"},
    {"type": "tool_search_call", "call_id": "call_d", "execution": "client", "arguments": {"query": "files"}},
    {"type": "tool_search_output", "call_id": "call_d", "execution": "client", "tools": [FILES]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "output": "o"},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
    {"type": "context_compaction", "id": "cmp_1"},
    {"type": "compaction_trigger"},
    {"type": "nobody_knows_yet", "id": "x"},
    QUESTION,
]


def ask(url: str, recorder: RecordingBedrock, model: str, **body: Any) -> tuple[httpx.Response, Any]:
    recorder.requests.clear()
    asked = {"model": model, "store": False, **body}
    answer = httpx.post(f"{url}/v1/responses", json=asked, headers=HEADERS, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer, recorder.requests[-1].body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, GPT56, GPT55, GEMMA])
def test_no_item_of_a_session_is_refused(url: str, recorder: RecordingBedrock, model: str, stream: bool) -> None:
    answer, _ = ask(url, recorder, model, input=HISTORY, stream=stream)
    assert {"input[14]", "input[15]", "input[16]"} <= set(answer.headers["x-outcrop-ignored"].split(", "))


def test_items_are_calls_with_results_for_converse(url: str, recorder: RecordingBedrock) -> None:
    answer, body = ask(url, recorder, CLAUDE, input=HISTORY)
    blocks = [block for message in body["messages"] for block in message["content"]]
    calls = [block["toolUse"]["name"] for block in blocks if "toolUse" in block]
    assert calls == ["local_shell", "shell", "apply_patch", "tool_search", "s__n"]
    results = [block["toolResult"]["content"][0]["text"] for block in blocks if "toolResult" in block]
    assert results == ["a.txt", "hello", "ok", "tools found: files", "o"]
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["exec", "files__read"]
    assert "Message from worker to main:\nx" in [block.get("text") for block in blocks]
    assert answer.headers["x-outcrop-ignored"].split(", ") == [
        *("input[11]", "input[13]", "input[14]", "input[15]", "input[16]"),
        "input[10].tools[0].description",
    ]


@pytest.mark.parametrize(
    "output",
    [
        {"type": "local_shell_call_output", "call_id": "c1", "output": "files"},
        {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "files", "stderr": ""}]},
        {"type": "apply_patch_call_output", "call_id": "c1", "status": "completed", "output": "files"},
        {"type": "function_call_output", "call_id": "c1", "output": "files"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "files"},
        {"type": "nobody_knows_yet", "call_id": "c1", "output": "files"},
    ],
    ids=lambda output: output["type"],
)
def test_an_output_without_its_call_is_a_text_for_converse(url: str, recorder: RecordingBedrock, output: Any) -> None:
    answer, body = ask(url, recorder, CLAUDE, input=[QUESTION, output])
    (message,) = body["messages"]
    assert message["content"][-1] == {"text": "Output of the tool call c1:\nfiles"}
    assert answer.headers["x-outcrop-adjusted"] == "tool_results"


def test_a_result_without_its_call_is_a_text_in_every_format(url: str, recorder: RecordingBedrock) -> None:
    chat: Any = [{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "c1", "content": "files"}]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "files"}
    for path, messages in (("chat/completions", chat), ("messages", [{"role": "user", "content": [result]}])):
        recorder.requests.clear()
        body = {"model": "us.amazon.nova-2-lite-v1:0", "max_tokens": 99, "messages": messages}
        answer = httpx.post(f"{url}/v1/{path}", json=body, headers=HEADERS)
        assert (answer.status_code, answer.headers.get("x-outcrop-adjusted")) == (200, "tool_results"), answer.text
        content = recorder.requests[-1].body["messages"][-1]["content"]
        assert content[-1] == {"text": "Output of the tool call c1:\nfiles"}


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        (
            GPT56,
            {"apply_patch_call", "apply_patch_call_output", "tool_search_call", "tool_search_output", "mcp_call"},
        ),
        (GPT55, {"tool_search_call", "tool_search_output", "mcp_call", "web_search_call"}),
    ],
)
def test_items_cross_where_the_surface_accepts_them(
    url: str, recorder: RecordingBedrock, model: str, kept: set[str]
) -> None:
    _, body = ask(url, recorder, model, input=HISTORY)
    kinds = {item["type"] for item in body["input"]}
    assert kinds == kept | {"message", "function_call", "function_call_output", "mcp_list_tools"}
    assert [tool["name"] for tool in body["tools"]] == ["exec", "files__read"]


def test_a_call_of_a_tool_in_an_item_gets_its_namespace_back(url: str, recorder: RecordingBedrock) -> None:
    items = [{"type": "additional_tools", "role": "developer", "tools": [FILES]}, QUESTION]
    for model in (CLAUDE, GPT56, GPT55):
        answer, _ = ask(url, recorder, model, input=items)
        calls = [item for item in answer.json()["output"] if item["type"] == "function_call"]
        assert [(call["namespace"], call["name"]) for call in calls] == [("files", "read")], model


def test_errors_name_the_caller_s_own_paths(url: str) -> None:
    items = [{"type": "additional_tools", "tools": [{"type": "function"}]}, {"type": "compaction_trigger"}, QUESTION]
    for broken, param in (
        (items, "input[0].tools[0].name"),
        ([*items[1:], {"role": "wizard", "content": "x"}], "input[2].role"),
    ):
        body = {"model": CLAUDE, "input": broken, "store": False}
        error = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).json()["error"]
        assert error["param"] == param
        assert "wizard" in error["message"] or param in error["message"] or "name" in error["message"]
