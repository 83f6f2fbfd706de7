// Which dashboard is shown, of what and since when stands in the address, so that it can be passed on.
import { draw, make } from "./panels.js";

const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000 };
const POINTS = 240;
const EVERY = 30_000;
const at = (id) => document.getElementById(id);
let told = null;
let charts = [];
let current = null;

async function ask(path, fields, signal) {
  const options = fields ? { method: "POST", body: new URLSearchParams(fields), signal } : { signal };
  // Once more where the network itself has failed: whoever walks from one to another looks at the page all the same.
  const answer = await fetch(path, options).catch((error) => (signal?.aborted ? Promise.reject(error) : fetch(path, options)));
  if (!answer.ok) {
    const text = (await answer.text()).slice(0, 300);
    throw new Error(text.startsWith("{") ? JSON.parse(text).error ?? text : `${path} answers ${answer.status}`);
  }
  return answer.json();
}

async function asked(query, instant, { start, end, step, signal }) {
  const path = `prometheus/api/v1/${instant ? "query" : "query_range"}`;
  const answer = await ask(path, instant ? { query, time: end } : { query, start, end, step }, signal);
  return answer.data.result;
}

function chosen() {
  const [name, rest] = location.hash.replace(/^#\/?/, "").split("?");
  const fields = new URLSearchParams(rest);
  const range = RANGES[fields.get("range")] ? fields.get("range") : "1h";
  return { name: name || "overview", fields, range };
}

function choose(name, value) {
  const { name: where, fields } = chosen();
  if (value) fields.set(name, value);
  else fields.delete(name);
  location.hash = `/${where}${String(fields) ? `?${fields}` : ""}`;
}

// A name is text, not a pattern: brackets keep its dots what they are.
function completed(query, { fields, step }) {
  const value = (name) => fields.get(name)?.replaceAll(".", "[.]") || ".+";
  return query
    .replaceAll("$__rate_interval", `${Math.max(60, step + 15)}s`)
    .replace(/\$(host|service)\b/g, (_all, name) => value(name));
}

async function markers(context) {
  const query = 'max by (run, what, release) (slipway_run_begun_timestamp_seconds{what!=""})';
  const found = new Map();
  for (const { metric, values } of await asked(query, false, context)) {
    found.set(metric.run, { time: Number(values[0][1]), name: `${metric.what} ${metric.release.slice(0, 6)}` });
  }
  return [...found.values()].filter(({ time }) => time >= context.start);
}

async function show(panel, place, context) {
  const instant = panel.kind !== "time series";
  try {
    const answers = await Promise.all(panel.queries.map(async (query) => (
      { query, series: await asked(completed(query.query, context), instant, context) })));
    if (!instant) context.markers = await context.releases;
    if (context.signal.aborted) return;
    place.querySelector(".content").replaceChildren();
    const chart = draw(panel, answers, place.querySelector(".content"), context);
    if (chart) charts.push(chart);
    place.dataset.state = answers.some(({ series }) => series.length) ? "drawn" : "empty";
  } catch (error) {
    if (context.signal.aborted) return;
    place.querySelector(".content").replaceChildren(make("div", { className: "none fault" }, String(error.message)));
    place.dataset.state = "failed";
  }
}

function card(panel) {
  const kind = panel.kind.replace(" ", "-");
  return make("section", { className: `panel ${kind}` }, make("h3", {}, panel.title), make("div", { className: "content" }));
}

async function dashboard(one, context) {
  // What was drawn stays until its successor is there: nothing jumps when it is asked again.
  const places = one.rows.map(({ panels }) => panels.map(card));
  const old = charts;
  charts = [];
  const rows = one.rows.map(({ title }, index) =>
    make("div", {}, make("h2", {}, title), make("div", { className: "panels" }, ...places[index])));
  const height = at("rows").clientHeight;
  at("rows").style.minHeight = `${height}px`;
  at("rows").replaceChildren(...rows);
  old.forEach((chart) => chart.destroy());
  await Promise.all(one.rows.flatMap(({ panels }, row) => panels.map((panel, index) => show(panel, places[row][index], context))));
  at("rows").style.minHeight = "";
}

function linked(address, text) {
  // A runbook without a URL before it is a path of the checkout, of which the console has a copy.
  return /^(https?:\/\/|docs\/runbooks\/)/.test(address ?? "") ? make("a", { href: address }, text) : make("span", {}, address ?? "");
}

async function alerts(context) {
  const [found, silences] = await Promise.all([
    ask("prometheus/api/v1/alerts", null, context.signal), ask("alertmanager/api/v2/silences", null, context.signal)]);
  const rank = { critical: 0, warning: 1 };
  const shown = found.data.alerts.filter(({ labels }) => labels.severity in rank && !labels.escalation)
    .sort((a, b) => rank[a.labels.severity] - rank[b.labels.severity] || (a.activeAt < b.activeAt ? 1 : -1));
  const rows = shown.map(({ labels, annotations, state, activeAt }) => make("tr", {},
    make("td", { className: labels.severity }, labels.severity),
    make("td", {}, labels.alertname), make("td", {}, annotations.summary ?? ""),
    make("td", {}, state === "firing" ? new Date(activeAt).toLocaleString() : "about to"),
    make("td", {}, linked(annotations.dashboard, "Dashboard")), make("td", {}, linked(annotations.runbook_url, "Runbook"))));
  const heads = ["Severity", "Alert", "What", "Since", "Dashboard", "Runbook"];
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((name) => make("th", {}, name)))), make("tbody", {}, ...rows));
  const active = silences.filter(({ status }) => status.state === "active");
  const silent = active.map(({ matchers, endsAt, comment, createdBy }) => make("li", {},
    `${matchers.map(({ name, value }) => `${name}=${value}`).join(", ")} until ${new Date(endsAt).toLocaleString()}: ${comment} (${createdBy})`));
  const place = (title, content) => make("section", { className: "panel alerts", style: "grid-column: 1 / -1" }, make("h3", {}, title), content);
  at("rows").replaceChildren(make("div", { className: "panels" },
    place("Firing, or about to", shown.length ? table : make("div", { className: "none good" }, "No alert fires")),
    place("Silenced", silent.length ? make("ul", {}, ...silent) : make("div", { className: "none" }, "Nothing is silenced"))));
}

function select(name, values, value) {
  const options = values.map((one) => new Option(one || `all ${name}s`, one, false, one === value));
  const element = make("select", { onchange: () => choose(name, element.value) }, ...options);
  return element;
}

async function count(signal) {
  const query = 'count(ALERTS{alertstate="firing", severity=~"critical|warning", escalation=""}) or vector(0)';
  const found = await asked(query, true, { end: Date.now() / 1000, signal });
  const number = Number(found[0].value[1]);
  const entry = at("menu").querySelector('[href="#/alerts"]');
  entry.textContent = number ? `Alerts (${number})` : "Alerts";
  entry.classList.toggle("fires", number > 0);
}

async function refresh() {
  current?.abort();
  const mine = (current = new AbortController());
  const { name, fields, range } = chosen();
  const one = told.dashboards.find((it) => it.name === name);
  const step = Math.max(15, Math.ceil(RANGES[range] / POINTS));
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const context = { fields, step, end, start: end - RANGES[range], signal: mine.signal, markers: [] };
  for (const entry of at("menu").children) entry.toggleAttribute("aria-current", entry.hash === `#/${name}`);
  document.title = `${one?.title ?? "Alerts"} · ${told.stack}`;
  at("title").textContent = one?.title ?? (name === "alerts" ? "Alerts" : "There is no such dashboard");
  at("about").textContent = one?.about ?? "";
  at("variables").replaceChildren(...(one?.variables ?? []).map((it) => select(it, ["", ...told.choices[it]], fields.get(it) ?? "")));
  at("range").replaceChildren(...Object.keys(RANGES).map((it) => new Option(it, it, false, it === range)));
  const begun = performance.now();
  try {
    context.releases = markers(context).catch(() => []);
    const counted = count(mine.signal).catch(() => {});
    if (one) await dashboard(one, context);
    else if (name === "alerts") await alerts(context);
    await counted;
    if (!mine.signal.aborted) {
      at("said").textContent = `${new Date().toLocaleTimeString()}, in ${Math.round(performance.now() - begun)} ms`;
      document.body.dataset.shown = name;
    }
  } catch (error) {
    if (!mine.signal.aborted) at("said").textContent = String(error.message);
  }
}

async function begin() {
  told = await ask("dashboards.json");
  at("stack").textContent = told.stack;
  at("menu").append(...told.dashboards.map(({ name, title }) => make("a", { href: `#/${name}` }, title)));
  for (const [name, address] of Object.entries(told.menu)) at("menu").append(make("a", { href: address, className: "elsewhere" }, name));
  at("range").addEventListener("change", () => choose("range", at("range").value));
  at("tools").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
  window.addEventListener("hashchange", refresh);
  window.addEventListener("resize", () => charts.forEach((chart) => chart.setSize({ width: chart.root.parentElement.clientWidth, height: 200 })));
  setInterval(() => { if (!document.hidden && !charts.some(({ cursor }) => cursor.left >= 0)) refresh(); }, EVERY);
  refresh();
}

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
at("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  refresh();
});
begin().catch((error) => { at("said").textContent = String(error.message); });
