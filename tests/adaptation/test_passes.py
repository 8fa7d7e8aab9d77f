"""The selection of passes: those that do not run would change nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adaptation import PASSES, adapt
from app.adaptation.contents import Contents, contents_of
from app.converse.call import Intent, ModelCall
from app.models.capabilities import Capabilities, capabilities_of
from app.models.families import FAMILIES
from app.models.ids import parse_model_id
from tests.adaptation.selection import assert_selection_equals_all_passes

CAPABILITIES = [
    Capabilities().with_values({"max_output": 9}),
    *(Capabilities(family=row.family).with_values(row.values) for row in FAMILIES),
]
POINT: Any = {"cachePoint": {"type": "default"}}
DOCUMENT: Any = {"document": {"format": "pdf", "name": "a!", "source": {"bytes": "QQ=="}}}
VIDEO: Any = {"video": {"format": "mp4", "source": {"bytes": "QQ=="}}}
PIECES = st.sampled_from([{"text": "a"}, {"text": " "}, {"json": {}}, DOCUMENT, {"image": {"format": "png"}}, VIDEO])
IDS = st.sampled_from(["1", "2", "?"])
TEXTS: Any = st.sampled_from([{"text": "a"}, {"text": ""}, {"text": "b \n"}, POINT])
BLOCKS: Any = (
    TEXTS
    | st.sampled_from([DOCUMENT, VIDEO, {"cachePoint": {"type": "default", "ttl": "1h"}}])
    | st.sampled_from(["", "s"]).map(lambda it: {"reasoningContent": {"reasoningText": {"text": "r", "signature": it}}})
    | st.tuples(IDS, st.sampled_from(["t", "t.u"])).map(
        lambda it: {"toolUse": {"toolUseId": it[0], "name": it[1], "input": {}}}
    )
    | st.tuples(IDS, st.lists(PIECES, max_size=2)).map(
        lambda it: {"toolResult": {"toolUseId": it[0], "content": it[1]}}
    )
)
ROLES = st.sampled_from(["user", "assistant", "user", "assistant", "system"])
# every dialect puts the role first
MESSAGES: Any = st.lists(
    st.tuples(ROLES, st.lists(BLOCKS, max_size=3)).map(lambda it: {"role": it[0], "content": it[1]}), max_size=5
)
TOOL: Any = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}
FORMAT: Any = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type": "object"}'}}}}
BODIES: Any = st.fixed_dictionaries(
    {"messages": MESSAGES},
    optional={
        "system": st.lists(TEXTS, max_size=3),
        "inferenceConfig": st.fixed_dictionaries(
            {}, optional={"maxTokens": st.sampled_from([5, 5000]), "temperature": st.just(1.5), "topP": st.just(0.5)}
        ),
        "toolConfig": st.sampled_from([{"tools": [TOOL]}, {"tools": [TOOL, POINT], "toolChoice": {"any": {}}}]),
        "outputConfig": st.just(FORMAT),
        "additionalModelRequestFields": st.just({"x": 1}),
    },
)
INTENTS = st.builds(
    Intent,
    effort=st.sampled_from([None, None, "none", "high"]),
    top_k=st.sampled_from([None, 5]),
    forbid_tools=st.booleans(),
    single_tool_call=st.booleans(),
    json_object=st.booleans(),
)


@given(body=BODIES, intent=INTENTS, capabilities=st.sampled_from(CAPABILITIES))
def test_passes_that_a_call_does_not_need_would_change_nothing(
    body: Any, intent: Intent, capabilities: Capabilities
) -> None:
    assert_selection_equals_all_passes(ModelCall("m", body, intent), capabilities)


@pytest.mark.parametrize("model", ["scripted.echo-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"])
def test_no_pass_runs_for_a_conversation_of_text(model: str) -> None:
    texts = [{"role": role, "content": [{"text": "a"}]} for role in ("user", "assistant", "user")]
    body: Any = {"messages": texts, "system": [{"text": "s"}], "inferenceConfig": {"maxTokens": 5}}
    assert contents_of(body, Intent()) == Contents.MAX_TOKENS
    adapted = adapt(ModelCall("m", body), capabilities_of(parse_model_id(model)))
    assert adapted.body["messages"] is texts
    assert (adapted.body, adapted.adjusted) == (body, [])


def test_every_content_has_a_pass() -> None:
    of_passes = set(Contents) - {Contents.OTHER_BLOCKS}
    assert all(any(content in each.contents for each in PASSES) for content in of_passes)


@pytest.mark.parametrize(
    ("block", "contents"),
    [
        ({"image": {}}, Contents.OTHER_BLOCKS),
        ({"audio": {}}, Contents.OTHER_BLOCKS),
        ({"guardContent": {}}, Contents.OTHER_BLOCKS),
        ({"toolResult": {"content": [{"image": {}}]}}, Contents.TOOL_RESULTS | Contents.OTHER_BLOCKS),
        ({"toolResult": {"content": [{"json": {}}, {"text": "a"}]}}, Contents.TOOL_RESULTS),
    ],
)
def test_blocks_that_no_pass_works_on_are_named_too(block: Any, contents: Contents) -> None:
    assert contents_of({"messages": [{"role": "user", "content": [block]}]}, Intent()) == contents
