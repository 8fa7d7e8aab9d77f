// The call of the playground as code: curl, and the SDKs of OpenAI, Anthropic and AWS.

// Returns a value of JSON as Python writes it.
function python(value, indent = "") {
  const inner = `${indent}    `;
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
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

function parameters(body) {
  return Object.entries(body)
    .map(([name, value]) => `    ${name}=${python(value, "    ")},\n`)
    .join("");
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
    ? `answer = client.responses.create(\n${parameters(apis.responses.body(plain))})\nprint(answer.output_text)\n`
    : `answer = client.chat.completions.create(\n${parameters(apis.chat.body(plain))})\nprint(answer.choices[0].message.content)\n`;
  const { model, ...rest } = { model: call.model, ...apis.converse.body(plain) };
  return {
    curl: `${curl}\n`,
    openai: `import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=${JSON.stringify(`${origin}/v1`)}, api_key=os.environ["OUTCROP_KEY"])\n${openai}`,
    anthropic: `import os\n\nfrom anthropic import Anthropic\n\nclient = Anthropic(base_url=${JSON.stringify(origin)}, api_key=os.environ["OUTCROP_KEY"])\nanswer = client.messages.create(\n${parameters(apis.messages.body(plain))})\nprint(answer.content)\n`,
    boto3: `import os\n\nimport boto3\n\nclient = boto3.client(\n    "bedrock-runtime",\n    endpoint_url=${JSON.stringify(origin)},\n    region_name=${JSON.stringify(document.body.querySelector("#playground").dataset.region)},\n    aws_access_key_id=${JSON.stringify(caller)},\n    aws_secret_access_key=os.environ["OUTCROP_KEY"],\n)\nreply = client.converse(\n    modelId=${JSON.stringify(model)},\n${parameters(rest)})\nprint(reply["output"]["message"]["content"])\n`,
  };
}
