// Reads streams of answers: server-sent events, and AWS's event stream.
async function* pieces(response) {
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

// Yields {event, data} for each server-sent event; comments are skipped.
export async function* readEvents(response) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of pieces(response)) {
    const events = (rest + decoder.decode(piece, { stream: true })).replaceAll("\r\n", "\n").split("\n\n");
    rest = events.pop();
    for (const text of events) {
      const event = { event: "message", data: [] };
      for (const line of text.split("\n")) {
        if (line.startsWith("event:")) event.event = line.slice(6).trim();
        if (line.startsWith("data:")) event.data.push(line.slice(5).replace(/^ /, ""));
      }
      if (event.data.length) yield { event: event.event, data: event.data.join("\n") };
    }
  }
}

// Yields {type, isError, payload} for each message: lengths, headers, payload, checksum (the vnd.amazon.eventstream format).
export async function* readEventStream(response) {
  let rest = new Uint8Array();
  for await (const piece of pieces(response)) {
    const joined = new Uint8Array(rest.length + piece.length);
    joined.set(rest);
    joined.set(piece, rest.length);
    rest = joined;
    while (rest.length >= 16) {
      const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
      const length = view.getUint32(0);
      if (rest.length < length) break;
      yield readMessage(rest.subarray(0, length));
      rest = rest.slice(length);
    }
  }
}

function readMessage(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 12 + view.getUint32(4);
  const decoder = new TextDecoder();
  const headers = {};
  for (let at = 12; at < end; ) {
    const nameEnd = at + 1 + bytes[at];
    const name = decoder.decode(bytes.subarray(at + 1, nameEnd));
    // all headers of Bedrock's events are strings, type 7
    const valueStart = nameEnd + 3;
    const valueEnd = valueStart + view.getUint16(nameEnd + 1);
    headers[name] = decoder.decode(bytes.subarray(valueStart, valueEnd));
    at = valueEnd;
  }
  const payload = bytes.subarray(end, bytes.length - 4);
  const isError = headers[":message-type"] !== "event";
  const type = headers[":event-type"] ?? headers[":exception-type"] ?? "error";
  return { type, isError, payload: payload.length ? JSON.parse(decoder.decode(payload)) : {} };
}
