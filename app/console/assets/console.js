// What all pages share: figures and times by locale, charts, copy buttons, the theme, and live refresh.
const locale = navigator.languages?.length ? navigator.languages : undefined;
const counts = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
const axisDollars = new Intl.NumberFormat(locale, { style: "currency", currency: "USD", notation: "compact", minimumFractionDigits: 0, maximumSignificantDigits: 3 });
const percents = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

export function dollars(value) {
  const size = Math.abs(value);
  const digits = size >= 1 || !size ? 2 : size >= 0.01 ? 4 : 6;
  const options = { style: "currency", currency: "USD", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(locale, options).format(value);
}

export function duration(milliseconds) {
  const seconds = milliseconds >= 1000;
  const options = { style: "unit", unit: seconds ? "second" : "millisecond", maximumFractionDigits: seconds ? 2 : 0 };
  return new Intl.NumberFormat(locale, options).format(seconds ? milliseconds / 1000 : milliseconds);
}

export const written = {
  count: (value) => counts.format(value),
  compact: (value) => (value < 100_000 ? counts.format(value) : compact.format(value)),
  usd: dollars,
  percent: (value) => percents.format(value),
  ms: duration,
};

function localize(root) {
  for (const each of root.querySelectorAll("data[data-as]")) {
    const write = written[each.dataset.as];
    if (write) each.textContent = write(Number(each.value));
  }
  for (const each of root.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      each.textContent = moments.format(at);
      each.title = at.toISOString();
    }
  }
}

// A chart's element holds its data: {"x": seconds, "series": [{"label", "values", "as", "bars"}]}.
function draw(element) {
  const { x, series } = JSON.parse(element.dataset.chart);
  const style = getComputedStyle(document.documentElement);
  const colours = series.map((each, index) => style.getPropertyValue(`--${toneOf(each, index)}`).trim());
  const line = style.getPropertyValue("--line").trim();
  const soft = style.getPropertyValue("--soft").trim();
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const isShort = x.at(-1) - x[0] <= 86_400;
  const ofTime = new Intl.DateTimeFormat(locale, isShort ? { hour: "numeric", minute: "2-digit" } : { day: "numeric", month: "short" });
  const times = (_, splits) => splits.map((each) => ofTime.format(new Date(each * 1000)));
  const step = x.length > 1 ? x[1] - x[0] : 3600;
  const short = series[0]?.as === "usd" ? (value) => axisDollars.format(value) : (value) => compact.format(value);
  const options = {
    width: element.clientWidth,
    height: 200,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { range: (_, low, high) => [low, series[0]?.bars ? high + step : high] }, y: { range: (_, low, high) => [Math.min(low ?? 0, 0), high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, size: 32, values: times, space: 72 }, { ...axis, size: 56, values: (_, splits) => splits.map(short) }],
    series: [
      {},
      ...series.map((each, index) => ({
        label: each.label,
        stroke: colours[index],
        width: 1.5,
        fill: each.bars ? colours[index] : undefined,
        paths: each.bars ? uPlot.paths.bars({ size: [0.7, 40], align: 1 }) : undefined,
        points: { show: x.length < 2 },
      })),
    ],
    plugins: [reading(series)],
  };
  element.replaceChildren(...(series.length > 1 ? [legendOf(series)] : []));
  element.chart = new uPlot(options, [x, ...series.map((each) => each.values)], element);
}

const toneOf = (series, index) => series.tone || ["accent", "second", "third"][index % 3];

function legendOf(series) {
  const list = document.createElement("ul");
  list.className = "legend";
  series.forEach(({ label }, index) => {
    const entry = document.createElement("li");
    entry.className = toneOf(series[index], index);
    entry.textContent = label;
    list.append(entry);
  });
  return list;
}

// Shows the figures under the cursor.
function reading(series) {
  const box = document.createElement("div");
  box.className = "reading";
  box.hidden = true;
  return {
    hooks: {
      init: (chart) => chart.over.append(box),
      setCursor: (chart) => {
        const { idx: index, left } = chart.cursor;
        box.hidden = index === null || index === undefined || left < 0;
        if (box.hidden) return;
        const lines = series.map((each, at) => `${each.label}: ${written[each.as](chart.data[at + 1][index] ?? 0)}`);
        box.textContent = [moments.format(new Date(chart.data[0][index] * 1000)), ...lines].join("\n");
        const right = left > chart.over.clientWidth / 2;
        box.style.left = right ? "auto" : `${left + 12}px`;
        box.style.right = right ? `${chart.over.clientWidth - left + 12}px` : "auto";
      },
    },
  };
}

function drawAll(root) {
  for (const element of root.querySelectorAll("[data-chart]")) draw(element);
}

let resized;
new ResizeObserver(() => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    for (const element of document.querySelectorAll("[data-chart]")) {
      element.chart?.setSize({ width: element.clientWidth, height: 200 });
    }
  }, 100);
}).observe(document.documentElement);

export function copyText(text, button) {
  const before = [...button.childNodes];
  const done = () => {
    button.replaceChildren("Copied");
    setTimeout(() => button.replaceChildren(...before), 1500);
  };
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(done);
  // plain http beyond this machine has no clipboard
  const area = document.createElement("textarea");
  area.value = text;
  button.after(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  done();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches(".copy")) copyText(button.parentElement.querySelector("code").textContent, button);
  if (button.matches(".theme")) switchTheme();
  if (button.dataset.confirm && !confirm(button.dataset.confirm)) event.preventDefault();
  if (button.dataset.close !== undefined) button.closest("dialog").close();
});

function switchTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const theme = (document.documentElement.dataset.theme ?? system) === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("outcrop-theme", theme);
  } catch {
    // storage is disabled: the theme holds for this page
  }
  drawAll(document);
}

function prepare(root) {
  localize(root);
  drawAll(root);
}

// htmx asks for the parts with this trigger; hidden pages ask for nothing
setInterval(() => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-live]")) {
    if (!part.contains(document.activeElement) || document.activeElement === document.body) htmx.trigger(part, "refresh");
  }
}, 10_000);

document.addEventListener("htmx:afterSettle", (event) => prepare(event.detail.elt));
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => prepare(document));
else prepare(document);
