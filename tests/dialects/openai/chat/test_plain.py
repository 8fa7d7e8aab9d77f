"""A plain request gives the same call as the schema does, and everything that is not plain is left to the schema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.http.documents import validate
from app.dialects.openai.chat.plain import read_plain
from app.dialects.openai.chat.request import to_call
from app.dialects.openai.chat.schema_in import ChatRequest
from app.wire import json

USER = {"role": "user", "content": "x"}
NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(-1, 3), st.floats(-1, 3), st.just(2**70), st.just("1"))
TEXTS = st.one_of(st.text(max_size=3), st.none(), st.just([{"type": "text", "text": "a"}]), st.integers(0, 1))
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool", "else"]), "content": TEXTS},
        optional={"name": TEXTS, "refusal": TEXTS, "tool_call_id": TEXTS},
    ),
    max_size=5,
)
DOCUMENTS = st.fixed_dictionaries(
    {"messages": MESSAGES},
    optional={
        "model": TEXTS,
        "max_tokens": NUMBERS,
        "max_completion_tokens": NUMBERS,
        "temperature": NUMBERS,
        "top_p": NUMBERS,
        "stop": st.one_of(TEXTS, st.lists(TEXTS, max_size=2)),
        "stream": st.one_of(st.none(), st.booleans(), st.just("true")),
        "stream_options": st.one_of(st.none(), st.just({}), st.fixed_dictionaries({"include_usage": NUMBERS})),
        "tools": st.one_of(st.none(), st.just([])),
        "user": TEXTS,
        "n": NUMBERS,
        "other": NUMBERS,
    },
)


@given(DOCUMENTS)
def test_a_plain_request_gives_the_call_of_the_schema(document: Any) -> None:
    plain = read_plain(document)
    if plain is None:
        return
    request = validate(document, ChatRequest)
    assert json.dumps(plain.to_call()) == json.dumps(to_call(request))
    assert plain.include_usage == bool(request.stream_options and request.stream_options.include_usage)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"model": None},
        {"model": "m", "max_tokens": 5, "temperature": 0, "top_p": 1.0, "stop": ["a"]},
        {"messages": [{"role": "developer", "content": "a"}, USER, {"role": "system", "content": "b"}]},
        {"messages": [USER, {"role": "assistant", "content": ""}]},
        {"stream": True, "stream_options": {"include_usage": True}, "stop": "a"},
    ],
)
def test_usual_requests_are_plain(more: Any) -> None:
    document = {"messages": [USER], **more}
    plain = read_plain(document)
    assert plain is not None
    assert json.dumps(plain.to_call()) == json.dumps(to_call(validate(document, ChatRequest)))


@pytest.mark.parametrize(
    "more",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [{**USER, "name": "a"}]},
        {"messages": [{"role": "user"}]},
        {"max_tokens": 0},
        {"temperature": 3},
        {"temperature": "1"},
        {"tools": []},
        {"user": "a"},
        {"unknown": None},
        {"stream_options": {"include_usage": "yes"}},
    ],
)
def test_others_are_left_to_the_schema(more: Any) -> None:
    assert read_plain({"messages": [USER], **more}) is None
