"""The request fields and features to test in each dialect, for which models and in which modes.

`test_field_matrix.py` sends them to the emulator and compares the results with docs/reference/fields.md, which
`python -m scripts.reference fields` writes.
"""

from dataclasses import dataclass, field
from typing import Any

CLAUDE, NOVA, ECHO = "us.anthropic.claude-sonnet-4-6", "us.amazon.nova-2-lite-v1:0", "scripted.echo-v1:0"
GPT, GEMMA = "openai.gpt-5.5", "google.gemma-4-31b"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED: Any = {**SCHEMA, "additionalProperties": False}


@dataclass(frozen=True)
class Row:
    """A field, or a feature of one.

    change: members of the body. named: how the header names the field if it is ignored. field: the member that is
    tested, if it is not the last one. remark: text in the page.
    """

    name: str
    change: dict[str, Any]
    named: str = ""
    field: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Dialect:
    """A dialect's path. modes: the model for each. base: the body that the rows change."""

    title: str
    path: str
    modes: dict[str, str]
    base: dict[str, Any]
    rows: tuple[Row, ...]
    headers: dict[str, str] = field(default_factory=dict)


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def messages(*more: Any) -> dict[str, Any]:
    return {"messages": [user("hi"), *more]}


def parts(*given: Any) -> dict[str, Any]:
    return {"messages": [user([{"type": "text", "text": "hi"}, *given])]}


def _chat() -> Dialect:
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    custom = {"type": "custom", "custom": {"name": "c", "description": "free"}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"city":"x"}'}}
    result = {"role": "tool", "tool_call_id": "a", "content": "rain"}
    tools = {"tools": [tool]}
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": CLOSED, "strict": True}}
    called = {"role": "assistant", "tool_calls": [call]}
    rows = (
        Row("`messages`: system, developer", {"messages": [{"role": "developer", "content": "Be brief."}, user("hi")]}),
        Row(
            "… a later system message",
            messages({"role": "system", "content": "In French."}, user("x")),
            remark="Keeps its position where the model accepts it, else joins the user's text.",
        ),
        Row("… assistant: text, `refusal`", messages({"role": "assistant", "content": "a", "refusal": "b"}, user("x"))),
        Row(
            "… assistant: `tool_calls`, role tool",
            {**messages(called, result), **tools},
            remark="Parallel calls too. Results may hold images and files.",
        ),
        Row(
            "… `image_url` with a `data:` URL",
            parts({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
            remark="png, jpeg, gif, webp; recognized by the first bytes, else by media type.",
        ),
        Row(
            "… `image_url` with an address",
            parts({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
            remark="Fetched where the deployment sets `FETCH_MEDIA`.",
        ),
        Row(
            "… `input_audio`",
            parts({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}),
            remark="On models that accept audio.",
        ),
        Row(
            "… `video_url` with a `data:` URL",
            parts({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}}),
            remark="On models that accept videos, such as Nova; mp4, mov, mkv, webm, flv, mpeg, wmv, 3gp.",
        ),
        Row(
            "… `file` with `file_data`",
            parts({"type": "file", "file": {"filename": "a.pdf", "file_data": "AA=="}}),
            remark="A data URL or base64; pdf, csv, doc, docx, xls, xlsx, html, txt, md; recognized by media type or file name.",
        ),
        Row("… `file` with `file_id`", parts({"type": "file", "file": {"file_id": "file-1"}})),
        Row(
            "… `prompt_cache_breakpoint`",
            {"messages": [user([{"type": "text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}}])]},
            remark="Where the model caches. Any `ttl` asks for Bedrock's longer lifetime, 1 hour.",
        ),
        Row(
            "… `cache_control`",
            {"messages": [user([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}])]},
            remark="Anthropic's form, on parts, messages and tools; `ttl` is `5m` or `1h`.",
        ),
        Row(
            "… `thinking_blocks`",
            messages(
                {
                    "role": "assistant",
                    "content": "a",
                    "thinking_blocks": [{"type": "redacted_thinking", "data": "AAAA"}],
                },
                user("x"),
            ),
            remark="Blocks with a signature go back unchanged. Reasoning without one is dropped (`reasoning`), also in `reasoning_content` and `reasoning`.",
        ),
        Row("… role function, `function_call`", messages({"role": "function", "name": "f", "content": "x"})),
        Row("`max_completion_tokens`", {"max_completion_tokens": 7}, remark="Takes precedence over `max_tokens`."),
        Row("`max_tokens`", {"max_tokens": 7}),
        Row(
            "`temperature`",
            {"temperature": 0.4},
            remark="Limited to what the model accepts, as are `top_p` and `stop`.",
        ),
        Row("`top_p`", {"top_p": 0.4}),
        Row("`stop`", {"stop": ["END"]}),
        Row("`stream`", {"stream": True}),
        Row("`stream_options`", {"stream": True, "stream_options": {"include_usage": True}}),
        Row("`tools`: functions", tools),
        Row(
            "… `strict`",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": CLOSED, "strict": True}}]},
        ),
        Row("… custom", {"tools": [custom]}, remark="`format` is ignored."),
        Row("`tool_choice`: none", {**tools, "tool_choice": "none"}),
        Row("… required", {**tools, "tool_choice": "required"}),
        Row("… a named tool", {**tools, "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        Row(
            "… `allowed_tools`",
            {
                "tools": [tool, custom],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
                },
            },
        ),
        Row(
            "`parallel_tool_calls`: false",
            {**tools, "parallel_tool_calls": False},
            remark="Requested from the model, or enforced by keeping its first call.",
        ),
        Row("`response_format`: json_schema", {"response_format": schema}),
        Row("… json_object", {"response_format": {"type": "json_object"}}),
        Row(
            "`reasoning_effort`",
            {"reasoning_effort": "high"},
            remark="In the model's own form. Ignored where the model has none.",
        ),
        Row("`service_tier`: flex, priority", {"service_tier": "flex"}),
        Row("… scale, fast", {"service_tier": "scale"}),
        Row(
            "`metadata`",
            {"metadata": {"team": "blue"}},
            remark="Sent to AWS's invocation log as `requestMetadata`; pairs that do not match [its pattern](contracts/converse-rules.md#request-metadata) are ignored.",
        ),
        Row("`user`", {"user": "ada"}, remark="`requestMetadata` gets the first 32 digits of its SHA-256."),
        Row(
            "`safety_identifier`",
            {"safety_identifier": "ada"},
            remark="`requestMetadata` gets the first 32 digits of its SHA-256.",
        ),
        Row("`n` above 1", {"n": 2}),
        Row("`logprobs`", {"logprobs": True}),
        Row("`top_logprobs`", {"top_logprobs": 3}),
        Row("`audio`", {"audio": {"voice": "a", "format": "wav"}}),
        Row("`modalities` beyond text", {"modalities": ["text", "audio"]}),
        Row("`functions`", {"functions": [{"name": "f"}]}),
        Row("`function_call`", {"function_call": "auto"}),
        Row("`seed`", {"seed": 7}),
        Row("`logit_bias`", {"logit_bias": {"50256": -100}}),
        Row("`frequency_penalty`", {"frequency_penalty": 0.5}),
        Row("`presence_penalty`", {"presence_penalty": 0.5}),
        Row("`store`", {"store": True}),
        Row("`verbosity`", {"verbosity": "low"}),
        Row("`prediction`", {"prediction": {"type": "content", "content": "x"}}),
        Row(
            "`web_search_options`",
            {"web_search_options": {}},
            remark="Nova 2 and Nova Premier search the web, where the gateway has [the permission](../deploy/iam.md).",
        ),
        Row("`moderation`", {"moderation": {"model": "x"}}),
        Row("`prompt_cache_key`", {"prompt_cache_key": "k"}),
        Row("`prompt_cache_options`", {"prompt_cache_options": {"mode": "explicit"}}),
        Row("`prompt_cache_retention`", {"prompt_cache_retention": "24h"}),
        Row("any other field", {"novel": 1}),
    )
    return Dialect(
        "`POST /v1/chat/completions`",
        "/v1/chat/completions",
        {"translated (Claude Sonnet 4.6)": CLAUDE, "native (Gemma 4 on mantle)": GEMMA},
        messages(),
        rows,
    )


def _responses() -> Dialect:
    tool = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}
    space = {"type": "namespace", "name": "n", "tools": [tool]}
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"city":"x"}'}
    output = {"type": "function_call_output", "call_id": "a", "output": "rain"}
    custom = {"type": "custom_tool_call", "call_id": "b", "name": "c", "input": "x"}
    given = {"type": "custom_tool_call_output", "call_id": "b", "output": "done"}
    tools = {"tools": [tool]}

    def sent(*items: Any) -> dict[str, Any]:
        return {"input": [user("hi"), *items]}

    def part(*more: Any) -> dict[str, Any]:
        return {"input": [user([{"type": "input_text", "text": "hi"}, *more])]}

    rows = (
        Row("`input`: a text", {"input": "ho"}),
        Row("… messages: system, developer", {"input": [{"role": "developer", "content": "Be brief."}, user("hi")]}),
        Row("… `function_call` and its output", {**sent(call, output), **tools}),
        Row("… `custom_tool_call` and its output", sent(custom, given)),
        Row(
            "… `input_image` with a `data:` URL",
            part({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}),
            remark="An address is fetched where the deployment sets `FETCH_MEDIA`. `file_id` is refused.",
        ),
        Row("… `input_file` with `file_data`", part({"type": "input_file", "filename": "a.pdf", "file_data": "AA=="})),
        Row(
            "… `prompt_cache_breakpoint`",
            {"input": [user([{"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}}])]},
        ),
        Row(
            "… `reasoning` with foreign `encrypted_content`",
            sent({"type": "reasoning", "summary": [], "encrypted_content": "x"}, user("x")),
            "input[1].encrypted_content",
            remark="What Outcrop signed for this caller and model goes back unchanged.",
        ),
        Row(
            "… `item_reference` to an item that is not stored",
            sent({"type": "item_reference", "id": "msg_0"}),
            remark="That to an item of a stored response is resolved.",
        ),
        Row(
            "… items of OpenAI's server tools",
            sent({"type": "file_search_call", "id": "fs_1", "queries": [], "status": "completed"}),
        ),
        Row("`instructions`", {"instructions": "Be brief."}, remark="Placed before system and developer messages."),
        Row("`max_output_tokens`", {"max_output_tokens": 7}),
        Row("`temperature`", {"temperature": 0.4}),
        Row("`top_p`", {"top_p": 0.4}),
        Row("`stream`", {"stream": True}),
        Row("`stream_options`", {"stream": True, "stream_options": {"include_obfuscation": False}}),
        Row("`tools`: functions", tools),
        Row("… custom", {"tools": [{"type": "custom", "name": "c"}]}),
        Row(
            "… `namespace`",
            {"tools": [space]},
            remark="The model sees `namespace__name`. Duplicate names, nested namespaces and names above 256 characters are refused. A description is ignored.",
        ),
        Row(
            "… OpenAI's server tools (`web_search`, …)",
            {"tools": [{"type": "web_search"}]},
            remark="Ignored in native mode too where the model is on the runtime endpoint.",
        ),
        Row("`tool_choice`: none", {**tools, "tool_choice": "none"}),
        Row("… required", {**tools, "tool_choice": "required"}),
        Row(
            "… a named tool",
            {**tools, "tool_choice": {"type": "function", "name": "f"}},
            remark="`namespace` is needed where the name is ambiguous.",
        ),
        Row(
            "… `allowed_tools`",
            {
                **tools,
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            },
        ),
        Row("`parallel_tool_calls`: false", {**tools, "parallel_tool_calls": False}),
        Row(
            "`reasoning`",
            {"reasoning": {"effort": "high"}},
            remark="`effort` in the model's own form. The summary is always what the model shows of its reasoning.",
        ),
        Row(
            "`text.format`: json_schema",
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": CLOSED, "strict": True}}},
            field="text",
        ),
        Row("… json_object", {"text": {"format": {"type": "json_object"}}}, field="text"),
        Row("`text.verbosity`", {"text": {"verbosity": "low"}}, "text.verbosity", field="text"),
        Row(
            "`include`: `reasoning.encrypted_content`",
            {"include": ["reasoning.encrypted_content"], "store": False, "reasoning": {"effort": "high"}},
        ),
        Row("… others", {"include": ["message.output_text.logprobs"]}),
        Row("`store`", {"store": False}, remark="A response is stored unless `store` is false."),
        Row(
            "`previous_response_id` of a response that is not stored",
            {"previous_response_id": "resp_0"},
            remark="That of a stored response brings back its items, without `instructions` and tools.",
        ),
        Row(
            "`metadata`",
            {"metadata": {"team": "blue"}},
            remark="Sent to AWS's invocation log as `requestMetadata`; pairs that do not match [its pattern](contracts/converse-rules.md#request-metadata) are ignored. Also part of the response.",
        ),
        Row("`user`", {"user": "ada"}, remark="`requestMetadata` gets the first 32 digits of its SHA-256."),
        Row(
            "`safety_identifier`",
            {"safety_identifier": "ada"},
            remark="`requestMetadata` gets the first 32 digits of its SHA-256.",
        ),
        Row("`service_tier`: flex, priority", {"service_tier": "flex"}),
        Row("… scale, fast", {"service_tier": "scale"}),
        Row(
            "`background`",
            {"background": True},
            remark="Run by the gateway, and stored. Not with `stream` or `store: false`, nor on a WebSocket.",
        ),
        Row("`conversation`", {"conversation": "conv_1"}),
        Row("`prompt`", {"prompt": {"id": "pmpt_1"}}),
        Row(
            "`response_format`",
            {"response_format": {"type": "json_object"}},
            remark="A field of Chat Completions, which OpenAI refuses here too. Use `text.format`.",
        ),
        Row("`truncation`: auto", {"truncation": "auto"}),
        Row("`max_tool_calls`", {"max_tool_calls": 3}),
        Row("`top_logprobs`", {"top_logprobs": 3}),
        Row("`prompt_cache_key`", {"prompt_cache_key": "k"}),
        Row("`prompt_cache_options`", {"prompt_cache_options": {"mode": "explicit"}}),
        Row("`prompt_cache_retention`", {"prompt_cache_retention": "24h"}),
        Row("`context_management`", {"context_management": [{"type": "compaction"}]}),
        Row("`moderation`", {"moderation": {"model": "x"}}),
        Row("`image`", {"image": {"size": "auto"}}),
        Row("`access_programs`", {"access_programs": ["x"]}),
        Row("`background_options`", {"background_options": {"x": 1}}),
        Row("any other field", {"novel": 1}),
    )
    return Dialect(
        "`POST /v1/responses`",
        "/v1/responses",
        {"translated (Claude Sonnet 4.6)": CLAUDE, "native (GPT-5.5 on mantle)": GPT},
        {"input": "hi"},
        rows,
    )


def _messages() -> Dialect:
    tool = {"name": "f", "input_schema": SCHEMA}
    tools = {"tools": [tool]}
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"city": "x"}}]}
    result = user([{"type": "tool_result", "tool_use_id": "a", "content": "rain"}])
    cached = {"cache_control": {"type": "ephemeral"}}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "AA=="}

    def block(*more: Any) -> dict[str, Any]:
        return {"messages": [user([{"type": "text", "text": "hi"}, *more])]}

    rows = (
        Row("`messages`: `tool_use`, `tool_result`", {**messages(use, result), **tools}),
        Row(
            "… `is_error`",
            {
                **messages(use, user([{"type": "tool_result", "tool_use_id": "a", "content": "no", "is_error": True}])),
                **tools,
            },
        ),
        Row(
            "… `image`, base64",
            block({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}),
        ),
        Row(
            "… `image`, `url`",
            block({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
            remark="Fetched where the deployment sets `FETCH_MEDIA`. Sources of type `file` are refused.",
        ),
        Row(
            "… `document`",
            block({"type": "document", "source": pdf, "title": "a"}),
            remark="Sources base64, text and content; `url` as for images.",
        ),
        Row(
            "… `search_result`",
            block({"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]}),
        ),
        Row(
            "… `thinking`, `redacted_thinking`",
            messages(
                {
                    "role": "assistant",
                    "content": [{"type": "redacted_thinking", "data": "AAAA"}, {"type": "text", "text": "a"}],
                },
                user("x"),
            ),
            remark="Blocks with a signature go back unchanged. A model that does not accept them does not receive them (`reasoning`).",
        ),
        Row(
            "… role `system`",
            messages({"role": "system", "content": "In French."}, user("x")),
            remark="Joins the user's turn where the model has no such role.",
        ),
        Row(
            "… `cache_control`",
            {"messages": [user([{"type": "text", "text": "hi", **cached}])]},
            remark="Only `type` and `ttl`. Where the model caches.",
        ),
        Row(
            "… blocks of Anthropic's server tools",
            messages(
                {
                    "role": "assistant",
                    "content": [{"type": "mcp_tool_use", "id": "a", "name": "f", "server_name": "s", "input": {}}],
                },
                user("x"),
            ),
        ),
        Row("`system`", {"system": "Be brief."}),
        Row(
            "`max_tokens`",
            {"max_tokens": 7},
            remark="Lowered to a maximum that the model has reported. 0 is refused in translated mode.",
        ),
        Row("`stream`", {"stream": True}),
        Row("`stop_sequences`", {"stop_sequences": ["END"]}),
        Row(
            "`temperature`",
            {"temperature": 0.4},
            remark="Dropped where the model refuses it, as are `top_p` and `top_k`.",
        ),
        Row("`top_p`", {"top_p": 0.4}),
        Row("`top_k`", {"top_k": 40}),
        Row(
            "`thinking`",
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000},
            remark="Converted to the form of the model's generation (`reasoning_effort`).",
        ),
        Row("`output_config.effort`", {"output_config": {"effort": "high"}}, field="output_config"),
        Row(
            "`output_config.format`",
            {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
            field="output_config",
            remark="A Claude that does not accept it is called in translated mode.",
        ),
        Row(
            "`tools`",
            tools,
            remark="Native: `eager_input_streaming` is replaced by its beta; `strict` is dropped for most models. Tool search is ignored in translated mode: all tools are sent.",
        ),
        Row("… Anthropic's client tools (`bash`, …)", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        Row(
            "… Anthropic's server tools (`web_search`, …)",
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ),
        Row(
            "`tool_choice`: any, a named tool",
            {**tools, "tool_choice": {"type": "any"}},
            remark="Where the model accepts no forced tool, the named one alone is offered.",
        ),
        Row("… none", {**tools, "tool_choice": {"type": "none"}}),
        Row(
            "… `disable_parallel_tool_use`",
            {**tools, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        Row("`cache_control` on the top level", cached, remark="Applied to the last block."),
        Row(
            "`metadata`",
            {"metadata": {"user_id": "ada"}},
            remark="Translated: `requestMetadata` gets the first 32 digits of the SHA-256 of `user_id`.",
        ),
        Row("`service_tier`: standard_only", {"service_tier": "standard_only"}),
        Row("`mcp_servers`", {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "s"}]}),
        Row("`container`", {"container": "c"}),
        Row(
            "`context_management`",
            {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
            remark="Only the edits `clear_tool_uses_20250919` and `compact_20260112`.",
        ),
        Row(
            "`thread`",
            {"thread": {"type": "create"}},
            remark="The error has the form after which the tool runners of Anthropic's SDKs continue without a thread.",
        ),
        Row(
            "`output_format`, older name of `output_config.format`",
            {"output_format": {"type": "json_schema", "schema": CLOSED}},
        ),
        Row("`inference_geo`", {"inference_geo": "eu"}),
        Row("`speed`", {"speed": "fast"}),
        Row("`diagnostics`", {"diagnostics": {"x": 1}}),
        Row("`user_profile_id`", {"user_profile_id": "p"}),
        Row("`workspace_id`", {"workspace_id": "w"}),
        Row("any other field", {"novel": 1}),
    )
    return Dialect(
        "`POST /v1/messages`",
        "/v1/messages",
        {"native (Claude Sonnet 4.6)": CLAUDE, "translated (Nova 2 Lite)": NOVA},
        {"max_tokens": 64, **messages()},
        rows,
        {"anthropic-version": "2023-06-01"},
    )


def _embeddings() -> Dialect:
    rows = (
        Row(
            "`input`: several texts",
            {"input": ["a", "b"]},
            remark="Up to 2,048. Split into the model's batches: 96 for Cohere, 1 for others.",
        ),
        Row(
            "… token ids",
            {"input": [1, 2]},
            remark="They belong to another tokenizer. For LangChain set `check_embedding_ctx_length=False`.",
        ),
        Row("`encoding_format`", {"encoding_format": "base64"}),
        Row("`dimensions`", {"dimensions": 512}, remark="The sizes that the model offers; others are refused."),
        Row(
            "`input_type`",
            {"input_type": "search_query"},
            remark="`search_document` (default), `search_query`, `classification`, `clustering`.",
        ),
        Row("`user`", {"user": "ada"}),
        Row("any other field", {"novel": 1}),
    )
    return Dialect(
        "`POST /v1/embeddings`",
        "/v1/embeddings",
        {"Titan v2": "amazon.titan-embed-text-v2:0", "Cohere v4": "cohere.embed-v4:0"},
        {"input": "a"},
        rows,
    )


def _rerank() -> Dialect:
    rows = (
        Row("`query`", {"query": "b"}),
        Row(
            "`documents`: objects with `text`",
            {"documents": [{"text": "b"}, {"text": "c"}]},
            remark="1 to 1,000, texts or objects. Only `text` of an object is used.",
        ),
        Row("`top_n`", {"top_n": 1}, remark="All documents if absent."),
        Row("`return_documents`", {"return_documents": True}),
        Row("`max_tokens_per_doc`", {"max_tokens_per_doc": 9}),
        Row("`rank_fields`", {"rank_fields": ["x"]}),
        Row("any other field", {"novel": 1}),
    )
    return Dialect(
        "`POST /v1/rerank`",
        "/v1/rerank",
        {"Cohere": "cohere.rerank-v3-5:0", "Amazon": "amazon.rerank-v1:0"},
        {"query": "a", "documents": ["a", "b"]},
        rows,
    )


DIALECTS = (_chat(), _responses(), _messages(), _embeddings(), _rerank())
