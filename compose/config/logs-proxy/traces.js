// Traces that a search finds, or the spans of one of them in the order of time. What is asked is in the address.
"use strict";
const form = document.getElementById("search");
const rows = document.getElementById("rows");
const list = document.getElementById("list");
const waterfall = document.getElementById("waterfall");
const said = document.getElementById("said");
const MOST_SPANS = 5000;
let current = null;

const quoted = (text) => JSON.stringify(text);

// Never as HTML: a span is what anybody may have sent.
function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text ?? "";
  made.className = className;
  return made;
}

function link(address, text) {
  const made = element("a", text);
  made.href = address;
  return made;
}

async function ask(query) {
  current?.abort();
  const mine = (current = new AbortController());
  const begun = performance.now();
  said.textContent = "Searching …";
  try {
    const answer = await fetch("traces/select/logsql/query", {
      method: "POST",
      body: new URLSearchParams({ query }),
      signal: mine.signal,
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.trim() || `the store answers ${answer.status}`);
    const found = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    return { found, took: Math.round(performance.now() - begun) };
  } catch (error) {
    if (mine === current) said.textContent = String(error.message);
    return null;
  }
}

// One line stands for a trace; any of its spans may be what is looked for.
function listQuery({ id, service, slower, status, since, limit }) {
  const time = `_time:${since}`;
  const parts = [time, "root:=true"];
  if (status) parts.push(`trace_status:=${quoted(status)}`);
  if (Number(slower) > 0) parts.push(`trace_ms:>=${Number(slower)}`);
  if (service.trim()) parts.push(`trace_services:${quoted(service.trim())}`);
  if (id.trim()) {
    const own = quoted(id.trim());
    parts.push(`trace_id:in(${time} (request_id:=${own} or trace_id:=${own}) | fields trace_id)`);
  }
  return `${parts.join(" ")} | sort by (_time desc) limit ${Number(limit) || 100}`;
}

function listRow(trace) {
  const row = element("tr", "", trace.trace_status);
  row.append(element("td", trace._time), element("td", trace.trace_status), element("td", trace.trace_ms));
  row.append(element("td", trace.trace_spans), element("td", trace.trace_services), element("td", trace.request_id));
  row.append(element("td"));
  row.lastChild.append(link(`traces?trace=${encodeURIComponent(trace.trace_id)}`, trace._msg));
  return row;
}

async function search() {
  const answer = await ask(listQuery(Object.fromEntries(new FormData(form))));
  if (!answer) return;
  answer.found.sort((a, b) => (a._time < b._time ? 1 : -1));
  rows.replaceChildren(...answer.found.map(listRow));
  waterfall.replaceChildren();
  list.hidden = false;
  said.textContent = `${answer.found.length} traces in ${answer.took} ms`;
}

// Each span below the one it was called by; one whose caller is not there stands by itself.
function inOrder(spans) {
  const known = new Map(spans.map((span) => [span.span_id, span]));
  const below = new Map();
  for (const span of known.values()) {
    span.start = BigInt(span.start_ns);
    const above = known.has(span.parent_id) && span.parent_id !== span.span_id ? span.parent_id : "";
    below.set(above, [...(below.get(above) ?? []), span]);
  }
  const told = new Set();
  const ordered = [];
  const visit = (id, depth) => {
    for (const span of (below.get(id) ?? []).sort((a, b) => (a.start < b.start ? -1 : 1))) {
      if (told.has(span.span_id)) continue;
      told.add(span.span_id);
      ordered.push({ span, depth });
      visit(span.span_id, depth + 1);
    }
  };
  visit("", 0);
  return ordered;
}

function details(span) {
  const whole = document.createElement("dl");
  const facts = { service: span.service, host: span.host, pool: span.pool, replica: span.replica, release: span.release,
    kind: span.kind, status: [span.status, span.status_message].filter(Boolean).join(": "), "span id": span.span_id,
    ...JSON.parse(span.attributes || "{}") };
  for (const event of JSON.parse(span.events || "[]")) {
    facts[`${event.name} at ${event.ms ?? "?"} ms`] = JSON.stringify(event.attributes ?? {});
  }
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined || value === "") continue;
    whole.append(element("dt", name), element("dd", typeof value === "string" ? value : JSON.stringify(value)));
  }
  return whole;
}

function spanRow({ span, depth }, began, whole) {
  const row = element("details", "", span.status);
  const line = document.createElement("summary");
  const name = element("span", "", "name");
  name.style.paddingLeft = `${Math.min(depth, 20) * 0.9}rem`;
  name.append(element("b", span.service), ` ${span._msg}`);
  const place = element("span", "", "place");
  const bar = element("i");
  const milliseconds = Number(span.start - began) / 1e6;
  bar.style.left = `${(100 * milliseconds) / whole}%`;
  bar.style.width = `${Math.max((100 * Number(span.duration_ms)) / whole, 0.2)}%`;
  place.append(bar);
  line.append(name, place, element("span", `${Number(span.duration_ms).toFixed(1)} ms`, "took"));
  row.append(line, details(span));
  return row;
}

async function show(trace) {
  const answer = await ask(`trace_id:=${quoted(trace)} | sort by (_time) limit ${MOST_SPANS}`);
  if (!answer) return;
  list.hidden = true;
  const ordered = inOrder(answer.found);
  if (!ordered.length) {
    said.textContent = "No span of this trace is kept: none was taken, its time is over, or it was left out of the share.";
    return;
  }
  const spans = ordered.map(({ span }) => span);
  const began = spans.reduce((least, { start }) => (start < least ? start : least), spans[0].start);
  const whole = Math.max(...spans.map((span) => Number(span.start - began) / 1e6 + Number(span.duration_ms)), 0.001);
  waterfall.replaceChildren(...ordered.map((one) => spanRow(one, began, whole)));
  said.textContent = `${spans.length} spans, ${whole.toFixed(1)} ms; found in ${answer.took} ms. Its lines: `;
  const ids = [trace, ...new Set(spans.map((span) => span.request_id).filter(Boolean))];
  const lines = ids.map(quoted).join(" or ");
  said.append(link(`./?${new URLSearchParams({ query: lines, since: "7d" })}`, "logs"));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  history.replaceState(null, "", `?${new URLSearchParams(new FormData(form))}`);
  search();
});

const asked = new URLSearchParams(location.search);
for (const [name, value] of asked) {
  if (form.elements[name]) form.elements[name].value = value;
}
if (asked.get("trace")) show(asked.get("trace"));
else search();
