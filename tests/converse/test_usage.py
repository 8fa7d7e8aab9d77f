from app.converse.usage import Usage


def test_the_prompt_includes_what_was_cached() -> None:
    usage = Usage.of({"inputTokens": 3, "outputTokens": 227, "cacheWriteInputTokens": 1712, "totalTokens": 1942})
    assert (usage.prompt, usage.prompt + usage.output) == (1715, 1942)


def test_missing_members_are_nothing() -> None:
    assert Usage.of({}) == Usage()


def test_thoughts_are_counted_where_claude_tells() -> None:
    more = {"usage": {"output_tokens_details": {"thinking_tokens": 12}}}
    assert Usage.of({"outputTokens": 20}, more) == Usage(output=20, reasoning=12)
    assert Usage.of({}, {"usage": {"output_tokens_details": {}}}).reasoning == 0
