// The four APIs of the playground: how a call is written, and how its stream is read. Everything else treats them alike.
import { readEvents, readEventStream } from "./playground_streams.js";

const dataUrl = (image) => `data:${image.type};base64,${image.base64}`;
const schemaName = "answer";
const tokens = (input, output, read = 0, write = 0, reasoning = 0) => ({ input, output, read, write, reasoning });

function withMore(body, call) {
  const rest = { ...body, ...call.more };
  for (const name of Object.keys(rest)) if (rest[name] === undefined) delete rest[name];
  return rest;
}

const chat = {
  title: "OpenAI chat",
  path: () => "/v1/chat/completions",
  body(call) {
    const messages = call.turns.map(({ role, text, images }) => ({
      role,
      content: images?.length
        ? [{ type: "text", text }, ...images.map((image) => ({ type: "image_url", image_url: { url: dataUrl(image) } }))]
        : text,
    }));
    if (call.system) messages.unshift({ role: "system", content: call.system });
    return withMore(
      {
        model: call.model,
        messages,
        max_completion_tokens: call.maxTokens,
        temperature: call.temperature,
        reasoning_effort: call.reasoning,
        tools: call.tools?.map((each) => ({ type: "function", function: each })),
        response_format: call.schema && { type: "json_schema", json_schema: { name: schemaName, schema: call.schema } },
        stream: call.stream || undefined,
        stream_options: call.stream ? { include_usage: true } : undefined,
      },
      call,
    );
  },
  usage: (usage) =>
    tokens(
      usage.prompt_tokens - (usage.prompt_tokens_details?.cached_tokens ?? 0),
      usage.completion_tokens,
      usage.prompt_tokens_details?.cached_tokens,
      0,
      usage.completion_tokens_details?.reasoning_tokens,
    ),
  complete(reply, sink) {
    const message = reply.choices?.[0]?.message ?? {};
    sink.reasoning(message.reasoning_content ?? message.reasoning ?? "");
    sink.text(message.content ?? "");
    for (const each of message.tool_calls ?? []) sink.tool(each.function.name, each.function.arguments);
    if (reply.usage) sink.usage(this.usage(reply.usage));
  },
  async stream(response, sink) {
    const calls = new Map();
    for await (const { data } of readEvents(response)) {
      if (data === "[DONE]") break;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      const delta = event.choices?.[0]?.delta ?? {};
      sink.reasoning(delta.reasoning_content ?? delta.reasoning ?? "");
      sink.text(delta.content ?? "");
      for (const each of delta.tool_calls ?? []) {
        const known = calls.get(each.index) ?? { name: "", text: "" };
        known.name += each.function?.name ?? "";
        known.text += each.function?.arguments ?? "";
        calls.set(each.index, known);
      }
      if (event.usage) sink.usage(this.usage(event.usage));
    }
    for (const each of calls.values()) sink.tool(each.name, each.text);
  },
};

const responses = {
  title: "Responses",
  path: () => "/v1/responses",
  body(call) {
    const input = call.turns.map(({ role, text, images }) => ({
      role,
      content: [
        { type: role === "user" ? "input_text" : "output_text", text },
        ...(images ?? []).map((image) => ({ type: "input_image", image_url: dataUrl(image) })),
      ],
    }));
    return withMore(
      {
        model: call.model,
        instructions: call.system || undefined,
        input,
        max_output_tokens: call.maxTokens,
        temperature: call.temperature,
        reasoning: call.reasoning && { effort: call.reasoning, summary: "auto" },
        tools: call.tools?.map((each) => ({ type: "function", ...each })),
        text: call.schema && { format: { type: "json_schema", name: schemaName, schema: call.schema } },
        store: false,
        stream: call.stream || undefined,
      },
      call,
    );
  },
  usage: (usage) =>
    tokens(
      usage.input_tokens - (usage.input_tokens_details?.cached_tokens ?? 0),
      usage.output_tokens,
      usage.input_tokens_details?.cached_tokens,
      0,
      usage.output_tokens_details?.reasoning_tokens,
    ),
  complete(reply, sink) {
    for (const item of reply.output ?? []) {
      for (const part of item.content ?? []) sink[item.type === "reasoning" ? "reasoning" : "text"](part.text ?? "");
      for (const part of item.summary ?? []) sink.reasoning(part.text ?? "");
      if (item.type === "function_call") sink.tool(item.name, item.arguments);
    }
    if (reply.usage) sink.usage(this.usage(reply.usage));
  },
  async stream(response, sink) {
    for await (const { data } of readEvents(response)) {
      if (data === "[DONE]") break;
      const event = JSON.parse(data);
      if (event.type === "response.output_text.delta") sink.text(event.delta);
      if (/^response\.reasoning(_summary)?_text\.delta$/.test(event.type)) sink.reasoning(event.delta);
      if (event.type === "response.output_item.done" && event.item.type === "function_call") {
        sink.tool(event.item.name, event.item.arguments);
      }
      if (event.type === "error" || event.type === "response.failed") {
        throw new Error(event.message ?? event.response?.error?.message ?? "the response failed");
      }
      if (event.response?.usage) sink.usage(this.usage(event.response.usage));
    }
  },
};

const messages = {
  title: "Messages",
  headers: { "anthropic-version": "2023-06-01" },
  path: () => "/v1/messages",
  body(call) {
    const turns = call.turns.map(({ role, text, images }) => ({
      role,
      content: images?.length
        ? [
            ...images.map(({ type, base64 }) => ({
              type: "image",
              source: { type: "base64", media_type: type, data: base64 },
            })),
            { type: "text", text },
          ]
        : text,
    }));
    const output = {
      ...(call.reasoning && { effort: call.reasoning }),
      ...(call.schema && { format: { type: "json_schema", schema: call.schema } }),
    };
    return withMore(
      {
        model: call.model,
        max_tokens: call.maxTokens ?? 4096,
        system: call.system || undefined,
        messages: turns,
        temperature: call.temperature,
        thinking: call.reasoning && { type: "adaptive", display: "summarized" },
        output_config: Object.keys(output).length ? output : undefined,
        tools: call.tools?.map(({ name, description, parameters }) => ({ name, description, input_schema: parameters })),
        stream: call.stream || undefined,
      },
      call,
    );
  },
  usage: (usage) =>
    tokens(
      usage.input_tokens,
      usage.output_tokens,
      usage.cache_read_input_tokens ?? 0,
      usage.cache_creation_input_tokens ?? 0,
    ),
  complete(reply, sink) {
    for (const block of reply.content ?? []) {
      if (block.type === "thinking") sink.reasoning(block.thinking);
      if (block.type === "text") sink.text(block.text);
      if (block.type === "tool_use") sink.tool(block.name, JSON.stringify(block.input));
    }
    if (reply.usage) sink.usage(this.usage(reply.usage));
  },
  async stream(response, sink) {
    let tool;
    let usage = {};
    for await (const { data } of readEvents(response)) {
      const event = JSON.parse(data);
      if (event.type === "error") throw new Error(event.error.message);
      if (event.type === "message_start") usage = event.message.usage ?? {};
      if (event.type === "content_block_start" && event.content_block.type === "tool_use") {
        tool = { name: event.content_block.name, text: "" };
      }
      if (event.type === "content_block_delta") {
        sink.text(event.delta.text ?? "");
        sink.reasoning(event.delta.thinking ?? "");
        if (tool) tool.text += event.delta.partial_json ?? "";
      }
      if (event.type === "content_block_stop" && tool) {
        sink.tool(tool.name, tool.text);
        tool = undefined;
      }
      if (event.type === "message_delta") usage = { ...usage, ...event.usage };
    }
    sink.usage(this.usage(usage));
  },
};

// Converse has no field for reasoning: each model has its own in additionalModelRequestFields
const converse = {
  title: "Converse",
  hasReasoning: false,
  path: (call) => `/model/${encodeURIComponent(call.model)}/${call.stream ? "converse-stream" : "converse"}`,
  body(call) {
    const inference = { maxTokens: call.maxTokens, temperature: call.temperature };
    const isSet = call.maxTokens !== undefined || call.temperature !== undefined;
    return withMore(
      {
        system: call.system ? [{ text: call.system }] : undefined,
        messages: call.turns.map(({ role, text, images }) => ({
          role,
          content: [
            ...(images ?? []).map(({ type, base64 }) => ({
              image: { format: type.replace("image/", ""), source: { bytes: base64 } },
            })),
            { text },
          ],
        })),
        inferenceConfig: isSet ? JSON.parse(JSON.stringify(inference)) : undefined,
        toolConfig: call.tools && {
          tools: call.tools.map(({ name, description, parameters }) => ({
            toolSpec: { name, description, inputSchema: { json: parameters } },
          })),
        },
        outputConfig: call.schema && {
          textFormat: {
            type: "json_schema",
            structure: { jsonSchema: { name: schemaName, schema: JSON.stringify(call.schema) } },
          },
        },
      },
      call,
    );
  },
  usage: (usage) =>
    tokens(usage.inputTokens, usage.outputTokens, usage.cacheReadInputTokens ?? 0, usage.cacheWriteInputTokens ?? 0),
  complete(reply, sink) {
    for (const block of reply.output?.message?.content ?? []) {
      sink.reasoning(block.reasoningContent?.reasoningText?.text ?? "");
      sink.text(block.text ?? "");
      if (block.toolUse) sink.tool(block.toolUse.name, JSON.stringify(block.toolUse.input));
    }
    if (reply.usage) sink.usage(this.usage(reply.usage));
  },
  async stream(response, sink) {
    let tool;
    for await (const { type, isError, payload } of readEventStream(response)) {
      if (isError) throw new Error(payload.message ?? type);
      if (type === "contentBlockStart" && payload.start?.toolUse) tool = { name: payload.start.toolUse.name, text: "" };
      if (type === "contentBlockDelta") {
        sink.text(payload.delta.text ?? "");
        sink.reasoning(payload.delta.reasoningContent?.text ?? "");
        if (tool) tool.text += payload.delta.toolUse?.input ?? "";
      }
      if (type === "contentBlockStop" && tool) {
        sink.tool(tool.name, tool.text);
        tool = undefined;
      }
      if (type === "metadata") sink.usage(this.usage(payload.usage));
    }
  },
};

export const apis = { chat, responses, messages, converse };
