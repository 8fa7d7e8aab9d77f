"""Items that Codex and other agents send back, rewritten for surfaces that do not accept them."""

from typing import Any

import pytest

from app.dialects.openai.responses.history import PLAIN_ITEMS, declare_tools, original_path, rewrite_items

TEXT = {"type": "input_text", "text": "done"}
FUNCTION = {"type": "function", "name": "f"}


def rewritten(*items: Any, accepted: frozenset[str] = frozenset()) -> tuple[list[Any], list[str]]:
    paths = [(f"input[{index}]", item) for index, item in enumerate(items)]
    conversation = rewrite_items(paths, PLAIN_ITEMS | accepted)
    return [item for _, item in conversation.items], conversation.ignored


def called(name: str, arguments: str, output: Any, call_id: str = "c") -> list[Any]:
    return [
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments},
        {"type": "function_call_output", "call_id": call_id, "output": output},
    ]


# litellm#38227, #36528 (agent_message, local_shell_call, context_compaction), CommandCodeAI#893 (tool_search)
@pytest.mark.parametrize(
    ("items", "made"),
    [
        (
            [
                {"type": "local_shell_call", "id": "i", "call_id": "c", "action": {"command": ["ls"]}},
                {"type": "local_shell_call_output", "id": "i", "output": "a.txt"},
            ],
            called("local_shell", '{"command":["ls"]}', "a.txt"),
        ),
        (
            [
                {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
                {"type": "function_call_output", "call_id": "c", "output": "a.txt"},
            ],
            called("local_shell", '{"command":["ls"]}', "a.txt"),
        ),
        (
            [
                {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
                {
                    "type": "shell_call_output",
                    "call_id": "c",
                    "output": [{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
                },
            ],
            called("shell", '{"commands":["ls"]}', 'a.txt\n{"type":"exit","exit_code":0}'),
        ),
        (
            [
                {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
                {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"},
            ],
            called("apply_patch", '{"type":"delete_file","path":"a"}', "completed"),
        ),
        (
            [
                {"type": "computer_call", "call_id": "c", "action": {"type": "click"}},
                {"type": "computer_call_output", "call_id": "c", "output": {"image_url": "data:,"}},
            ],
            called("computer", '{"type":"click"}', [{"type": "input_image", "image_url": "data:,"}]),
        ),
        (
            [
                {"type": "tool_search_call", "call_id": "c", "arguments": {"query": "x"}},
                {"type": "tool_search_output", "call_id": "c", "tools": [FUNCTION]},
            ],
            called("tool_search", '{"query":"x"}', "tools found: f"),
        ),
        (
            [{"type": "mcp_call", "id": "m", "server_label": "s", "name": "n", "arguments": "{}", "output": "o"}],
            called("s__n", "{}", "o", "m"),
        ),
        (
            [
                {"type": "program", "call_id": "c", "code": "1"},
                {"type": "program_output", "call_id": "c", "result": "2"},
            ],
            called("program", '{"code":"1"}', "2"),
        ),
        (
            [{"type": "agent_message", "author": "worker", "recipient": "parent", "content": [TEXT]}],
            [{"type": "message", "role": "user", "content": "Message from worker to parent:\ndone"}],
        ),
        (
            [{"type": "novel", "role": "assistant", "content": [TEXT, "more", {"type": "image"}]}],
            [{"type": "message", "role": "assistant", "content": "done\nmore"}],
        ),
        (
            [
                {"type": "novel_call", "call_id": "c", "name": "n", "input": {"a": 1}},
                {"type": "novel_call_output", "call_id": "c", "output": {"b": 2}},
            ],
            called("n", '{"a":1}', '{"b":2}'),
        ),
    ],
)
def test_an_item_becomes_messages_or_calls(items: list[Any], made: list[Any]) -> None:
    assert rewritten(*items) == (made, [])


@pytest.mark.parametrize(
    "item",
    [
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "context_compaction", "encrypted_content": "x"},
        {"type": "compaction_trigger"},
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}},
        {"type": "image_generation_call", "id": "i", "result": "aGk="},
        {"type": "mcp_list_tools", "server_label": "s", "tools": []},
        {"type": "mcp_call", "id": "m", "name": "n"},
        {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
        {"type": "shell_call_output", "output": "no id"},
        {"type": "agent_message", "content": [{"type": "encrypted_content", "encrypted_content": "gAAAA" + "B" * 40}]},
        {"type": "novel"},
    ],
)
def test_an_item_that_says_nothing_is_dropped_and_named(item: Any) -> None:
    assert rewritten({"role": "user", "content": "hi"}, item) == ([{"role": "user", "content": "hi"}], ["input[1]"])


def test_items_that_the_surface_accepts_pass_unchanged() -> None:
    items = ["odd", {"role": "user", "content": "hi"}, {"type": "web_search_call", "action": {}}]
    assert rewritten(*items, accepted=frozenset({"web_search_call"})) == (items, [])
    compacted = {"type": "context_compaction", "encrypted_content": "x"}
    renamed = ([{**compacted, "type": "compaction"}], [])
    assert rewritten(compacted, accepted=frozenset({"compaction"})) == renamed


def test_tools_in_items_are_declared_once_and_the_last_wins() -> None:
    """envoyproxy/ai-gateway#2586, token_proxy#307: Codex declares its tools in `additional_tools`."""
    changed = {**FUNCTION, "name": "g", "description": "new"}
    space = {"type": "namespace", "name": "n", "tools": [FUNCTION]}
    larger = {**space, "tools": [FUNCTION, changed]}
    first = {"type": "additional_tools", "tools": [FUNCTION, {**changed, "description": "old"}, space, larger]}
    found = {"type": "tool_search_output", "tools": [changed, {"type": "web_search"}]}
    conversation = rewrite_items([("input[0]", first), ("input[1]", found)])
    assert (conversation.items, conversation.ignored) == ([], [])
    declared = declare_tools([{**FUNCTION, "description": "own"}], conversation.tools)
    assert declared.tools == [{**FUNCTION, "description": "own"}, larger, changed, {"type": "web_search"}]
    assert declared.paths == ["tools[0]", "input[0].tools[3]", "input[1].tools[0]", "input[1].tools[1]"]
    assert original_path("tools[2].name", [], declared.paths) == "input[1].tools[0].name"
    assert original_path("input[0].role", ["input[4]"], []) == "input[4].role"
    assert original_path("tools[9]", [], []) == "tools[9]"
    assert original_path("model", [], []) == "model"
