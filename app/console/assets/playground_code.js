// The call of the playground as code: curl, and the SDKs of OpenAI, Anthropic and AWS.

// Returns a value of JSON as Python writes it.
function python(value, indent = "") {
  const inner = `${indent}    `;
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (value instanceof Expression) return value.text;
  if (typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((each) => python(each, inner))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length + indent.length < 80 && !line.includes("\n")) return line;
  return `${open}\n${items.map((each) => `${inner}${each},\n`).join("")}${indent}${close}`;
}

// A value that Python computes.
class Expression {
  constructor(text) {
    this.text = text;
  }
}

// Returns the arguments of a function that knows these names. Others go into the body of the request as they are.
function parameters(body, known) {
  const entries = Object.entries(body);
  const isKnown = ([name]) => !known || known.includes(name);
  const further = entries.filter((each) => !isKnown(each));
  const named = entries.filter(isKnown);
  if (further.length) named.push(["extra_body", Object.fromEntries(further)]);
  return named.map(([name, value]) => `    ${name}=${python(value, "    ")},\n`).join("");
}

// what these functions of the SDKs take, of what the playground sends
const taken = {
  chat: ["model", "messages", "max_completion_tokens", "temperature", "reasoning_effort", "tools", "response_format"],
  responses: ["model", "instructions", "input", "max_output_tokens", "temperature", "reasoning", "tools", "text", "store"],
  messages: ["model", "max_tokens", "system", "messages", "thinking", "output_config", "tools"],
};

// Returns a body of Converse as boto3 takes it: with the bytes of images instead of their base64.
function withBytes(value) {
  if (Array.isArray(value)) return value.map(withBytes);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, each]) =>
    name === "bytes" ? [name, new Expression(`base64.b64decode(${JSON.stringify(each)})`)] : [name, withBytes(each)],
  );
  return Object.fromEntries(entries);
}

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function snippets(call, apis, origin, caller) {
  const plain = { ...call, stream: false };
  const headers = { "Content-Type": "application/json", ...call.api.headers };
  const curl = [
    `curl ${call.stream ? "-N " : ""}${shell(origin + call.api.path(call))}`,
    '-H "Authorization: Bearer $OUTCROP_KEY"',
    ...Object.entries(headers).map(([name, value]) => `-H ${shell(`${name}: ${value}`)}`),
    `-d ${shell(JSON.stringify(call.api.body(call)))}`,
  ].join(" \\\n  ");
  const isResponses = call.api === apis.responses;
  const openai = isResponses
    ? `answer = client.responses.create(\n${parameters(apis.responses.body(plain), taken.responses)})\nprint(answer.output_text)\n`
    : `answer = client.chat.completions.create(\n${parameters(apis.chat.body(plain), taken.chat)})\nprint(answer.choices[0].message.content)\n`;
  const { model, ...rest } = { model: call.model, ...withBytes(apis.converse.body(plain)) };
  const needsBase64 = call.turns.some(({ images }) => images?.length);
  return {
    curl: `${curl}\n`,
    openai: `import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=${JSON.stringify(`${origin}/v1`)}, api_key=os.environ["OUTCROP_KEY"])\n${openai}`,
    anthropic: `import os\n\nfrom anthropic import Anthropic\n\nclient = Anthropic(base_url=${JSON.stringify(origin)}, api_key=os.environ["OUTCROP_KEY"])\nanswer = client.messages.create(\n${parameters(apis.messages.body(plain), taken.messages)})\nprint(answer.content)\n`,
    boto3: `${needsBase64 ? "import base64\n" : ""}import os\n\nimport boto3\n\nclient = boto3.client(\n    "bedrock-runtime",\n    endpoint_url=${JSON.stringify(origin)},\n    region_name=${JSON.stringify(document.body.querySelector("#playground").dataset.region)},\n    aws_access_key_id=${JSON.stringify(caller)},\n    aws_secret_access_key=os.environ["OUTCROP_KEY"],\n)\nreply = client.converse(\n    modelId=${JSON.stringify(model)},\n${parameters(rest)})\nprint(reply["output"]["message"]["content"])\n`,
  };
}
