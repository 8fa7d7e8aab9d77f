"""Cache points that each model accepts."""

from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from tests.adaptation.calls import CLAUDE_45, MISTRAL, PLAIN, adapt_call, assistant, spec, user


def test_cache_points_are_sent_only_to_models_that_accept_them() -> None:
    point = {"cachePoint": {"type": "default"}}
    config = {"tools": [spec("t"), point]}
    body = {"system": [{"text": "s"}, point], "toolConfig": config}
    adapted = adapt_call(MISTRAL, [user("a", point)], **body)
    assert adapted.body == {
        "messages": [user("a")],
        "system": [{"text": "s"}],
        "toolConfig": {"tools": [spec("t")]},
    }
    assert adapted.adjusted == ["cache_points"]
    assert adapt_call(CLAUDE_45, [user("a", point)], **body).body["system"] == [{"text": "s"}, point]


def test_cache_points_among_tools_are_dropped_for_nova() -> None:
    point = {"cachePoint": {"type": "default"}}
    nova = capabilities_of(parse_model_id("us.amazon.nova-lite-v1:0"))
    for tools in ([spec("t"), point], [spec("t")]):
        adapted = adapt_call(nova, [user("a", point)], toolConfig={"tools": tools})
        assert adapted.body == {"messages": [user("a", point)], "toolConfig": {"tools": [spec("t")]}}
        assert adapted.adjusted == ["cache_points"] * (len(tools) - 1)


def test_the_last_four_cache_points_are_kept() -> None:
    point = {"cachePoint": {"type": "default"}}
    config = {"tools": [spec("t"), point]}
    messages = [user("a", point, "b", point), assistant("c"), user("d", point)]
    adapted = adapt_call(CLAUDE_45, messages, system=[{"text": "s"}, point], toolConfig=config)
    assert adapted.body["toolConfig"] == {"tools": [spec("t")]}
    assert adapted.body["system"] == [{"text": "s"}, point]
    assert adapted.body["messages"] == messages
    assert adapted.adjusted == ["cache_points"]


def test_a_longer_ttl_after_a_shorter_one_is_dropped() -> None:
    point, long = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}
    adapted = adapt_call(CLAUDE_45, [user("a", long, "b", point, "c", long)])
    assert adapted.body["messages"] == [user("a", long, "b", point, "c", point)]
    assert adapted.adjusted == ["cache_points"]


def test_a_ttl_is_sent_only_to_models_that_accept_it() -> None:
    long = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert adapt_call(CLAUDE_45, [user("a", long)]).body["messages"] == [user("a", long)]
    adapted = adapt_call(PLAIN, [user("a", long)])
    assert adapted.body["messages"] == [user("a", {"cachePoint": {"type": "default"}})]
    assert adapted.adjusted == ["cache_points"]
