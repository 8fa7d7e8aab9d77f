// The playground: sends a message to one model or two by the API that is chosen, and shows what came of it.
import { copyText, dollars, duration, written } from "./console.js";
import { apis } from "./playground_apis.js";
import { snippets } from "./playground_code.js";

const form = document.querySelector("#playground");
const { prefix, caller } = form.dataset;
const definitions = JSON.parse(form.dataset.terms);
const field = (name) => form.elements.namedItem(name);
const results = document.querySelector("#results");
const problem = document.querySelector("#problem");
const conversations = new Map();
let images = [];
let running = [];

function make(tag, options = {}, ...children) {
  const { class: className, ...rest } = options;
  const element = Object.assign(document.createElement(tag), rest);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

let tips = 0;

// A term with its definition, which shows on hover and focus.
function term(name) {
  const id = `tip-measure-${(tips += 1)}`;
  const tip = make("span", { role: "tooltip", id, textContent: definitions[name] });
  const element = make("span", { class: "term", tabIndex: 0 }, name, tip);
  element.setAttribute("aria-describedby", id);
  return element;
}

function parsed(name, label, check) {
  const text = field(name).value.trim();
  if (!text) return undefined;
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${label} is not JSON: ${error.message}`);
  }
  if (!check(value)) throw new Error(`${label} must be ${name === "tools" ? "a list of tools" : "an object"}`);
  return value;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const number = (name) => (field(name).value === "" ? undefined : Number(field(name).value));

function read(model, turns) {
  const api = apis[field("api").value];
  return {
    api,
    model,
    turns,
    system: field("system").value.trim(),
    maxTokens: number("max_tokens"),
    temperature: number("temperature"),
    reasoning: api.hasReasoning === false ? undefined : field("reasoning").value || undefined,
    tools: parsed("tools", "Tools", Array.isArray),
    schema: parsed("schema", "JSON schema", isObject),
    more: parsed("more", "More fields", isObject),
    stream: field("stream").checked,
  };
}

const message = () => ({ role: "user", text: field("message").value, images });

// base64 of an image would hide the rest of a request
const shortened = (body) =>
  JSON.stringify(
    body,
    (_, value) => (typeof value === "string" && value.length > 2000 ? `${value.slice(0, 60)}… (${value.length} characters)` : value),
    2,
  );

function shown(call) {
  const headers = { "content-type": "application/json", ...call.api.headers };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`POST ${call.api.path(call)}`, ...head, "", shortened(call.api.body(call))].join("\n");
}

function preview() {
  field("reasoning").disabled = apis[field("api").value].hasReasoning === false;
  try {
    const model = field("model").value.trim();
    // nothing is written yet: the call that was sent last
    const said = field("message").value ? [message()] : [];
    const known = conversations.get(model) ?? [];
    const call = read(model, said.length || !known.length ? [...known, message()] : known.slice(0, -1));
    document.querySelector("#request").textContent = shown(call);
    problem.hidden = true;
    return call;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    return undefined;
  }
}

async function send(call, view, signal) {
  const key = field("key")?.value.trim();
  const own = key ? { authorization: `Bearer ${key}` } : { "x-csrf-token": document.body.dataset.token };
  const response = await fetch((key ? "" : `${prefix}/call`) + call.api.path(call), {
    method: "POST",
    headers: { "content-type": "application/json", ...call.api.headers, ...own },
    body: JSON.stringify(call.api.body(call)),
    credentials: key ? "omit" : "same-origin",
    signal,
  });
  view.head(response);
  if (!response.ok) throw new Error(messageOf(response.status, await response.text()));
  if (call.stream) await call.api.stream(response, view.sink);
  else call.api.complete(await response.json(), view.sink);
}

function messageOf(status, text) {
  try {
    const body = JSON.parse(text);
    return `${status}: ${body.error?.message ?? body.message ?? body.Message ?? text}`;
  } catch {
    return `${status}: ${text.slice(0, 500)}`;
  }
}

// The column of one model.
function column(call) {
  const answer = make("div", { class: "answer", ariaLive: "polite" });
  const reasoning = make("div", { class: "reasoning", hidden: true });
  const tools = make("div");
  const measures = make("dl", { class: "measures" });
  const adjusted = make("p", { class: "buttons" });
  const turns = call.turns.map((each) =>
    make("div", { class: "turn" }, make("p", { class: "role", textContent: each.role === "user" ? "You" : "Answer" }), make("div", { class: "answer", textContent: each.text })),
  );
  const request = make("details", {}, make("summary", { textContent: "Request" }), make("pre", { tabIndex: 0, textContent: shown(call) }));
  const element = make(
    "section",
    { class: "card result" },
    make("h2", { textContent: call.model || "default" }),
    ...turns,
    reasoning,
    answer,
    tools,
    measures,
    adjusted,
    request,
  );
  const began = performance.now();
  const usage = {};
  let text = "";
  let first;
  const begin = () => (first ??= performance.now() - began);
  const measure = (name, value) => measures.append(make("div", {}, make("dt", {}, term(name)), make("dd", { textContent: value })));
  answer.classList.add("pending");
  answer.textContent = "…";
  return {
    element,
    sink: {
      text(piece) {
        if (!piece) return;
        begin();
        text += piece;
        answer.textContent = text;
      },
      reasoning(piece) {
        if (!piece) return;
        begin();
        reasoning.hidden = false;
        reasoning.textContent += piece;
      },
      tool(name, input) {
        begin();
        tools.append(make("pre", { tabIndex: 0, textContent: `${name}(${input})` }));
      },
      usage: (counted) => Object.assign(usage, counted),
    },
    head(response) {
      for (const name of ["adjusted", "ignored"]) {
        for (const each of response.headers.get(`x-outcrop-${name}`)?.split(",") ?? []) {
          adjusted.append(make("span", { class: "tag warn", textContent: `${name}: ${each.trim()}` }));
        }
      }
    },
    async end(error) {
      answer.classList.remove("pending");
      const total = performance.now() - began;
      if (!text) answer.textContent = error ? "" : "No text.";
      if (error) element.insertBefore(make("p", { class: "notice bad", role: "alert", textContent: error }), measures);
      if (first !== undefined) measure("Time to first token", duration(first));
      measure("Total", duration(total));
      if (usage.output !== undefined) {
        const input = usage.input + usage.read + usage.write;
        measure("Tokens", `${written.count(input)} in, ${written.count(usage.output)} out`);
        measure("Cost", await cost(call.model, usage));
      }
      return text;
    },
  };
}

async function cost(model, usage) {
  const query = new URLSearchParams({ model, ...usage });
  try {
    const { usd } = await (await fetch(`${prefix}/playground/cost?${query}`)).json();
    return usd === null ? "price not known" : dollars(usd);
  } catch {
    return "not known";
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!preview()) return;
  const models = [field("model").value.trim()];
  if (field("other").value.trim()) models.push(field("other").value.trim());
  const said = message();
  const controller = new AbortController();
  running.push(controller);
  results.replaceChildren();
  busy(true);
  await Promise.all(
    models.map(async (model) => {
      const call = read(model, [...(conversations.get(model) ?? []), said]);
      const view = column(call);
      results.append(view.element);
      let failure;
      try {
        await send(call, view, controller.signal);
      } catch (error) {
        failure = error.name === "AbortError" ? "Stopped." : error.message;
      }
      const text = await view.end(failure);
      if (!failure) conversations.set(model, [...call.turns, { role: "assistant", text }]);
    }),
  );
  running = running.filter((each) => each !== controller);
  busy(false);
  field("message").value = "";
  images = [];
  field("images").value = "";
  form.querySelector("#clear").hidden = conversations.size === 0;
  preview();
});

function busy(isBusy) {
  form.querySelector("#send").disabled = isBusy;
  form.querySelector("#stop").hidden = !isBusy;
}

form.querySelector("#stop").addEventListener("click", () => running.forEach((each) => each.abort()));
form.querySelector("#clear").addEventListener("click", (event) => {
  conversations.clear();
  results.replaceChildren();
  event.target.hidden = true;
  preview();
});
field("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
field("images").addEventListener("change", async (event) => {
  images = await Promise.all([...event.target.files].map(loaded));
  preview();
});
form.addEventListener("input", preview);

function loaded(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ type: file.type, base64: reader.result.split(",")[1] });
    reader.onerror = reject;
    reader.readAsDataURL(file);
  });
}

// The dialog with the call as code.
const dialog = document.querySelector("#code");
form.querySelector("#show-code").addEventListener("click", () => {
  const call = preview();
  if (!call) return;
  const code = snippets(call, apis, location.origin, caller);
  const show = (name) => {
    for (const tab of dialog.querySelectorAll("[role=tab]")) tab.ariaSelected = String(tab.dataset.name === name);
    dialog.querySelector("code").textContent = code[name];
  };
  for (const tab of dialog.querySelectorAll("[role=tab]")) tab.onclick = () => show(tab.dataset.name);
  show("curl");
  dialog.showModal();
});

async function listModels() {
  const response = await fetch(`${prefix}/call/v1/models`, { headers: { "x-csrf-token": document.body.dataset.token } });
  if (!response.ok) return;
  const { data } = await response.json();
  document.querySelector("#models").replaceChildren(...data.map((each) => make("option", { value: each.id })));
}

preview();
listModels();
