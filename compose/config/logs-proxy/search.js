// The newest lines that a LogsQL query finds. The query is in the address, so that a search can be passed on.
"use strict";
const form = document.getElementById("search");
const rows = document.getElementById("rows");
const said = document.getElementById("said");
let current = null;

function row(line) {
  const cells = [line._time, line.host, line.component, line._msg];
  const element = document.createElement("tr");
  for (const text of cells) {
    // Never as HTML: a line is what anybody may have sent.
    element.appendChild(document.createElement("td")).textContent = text ?? "";
  }
  const trace = /"trace_id": ?"([0-9a-f]{32})"/.exec(line._msg ?? "");
  if (trace) {
    const link = element.lastChild.appendChild(document.createElement("a"));
    link.textContent = " trace";
    link.href = `traces?trace=${trace[1]}`;
  }
  return element;
}

async function search() {
  current?.abort();
  const mine = (current = new AbortController());
  const { query, since, limit } = Object.fromEntries(new FormData(form));
  said.textContent = "Searching …";
  const begun = performance.now();
  const found = `_time:${since} (${query.trim() || "*"}) | sort by (_time desc) limit ${Number(limit) || 200}`;
  try {
    const answer = await fetch("select/logsql/query", {
      method: "POST",
      body: new URLSearchParams({ query: `${found} | fields _time, host, component, _msg` }),
      signal: mine.signal,
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.trim() || `the store answers ${answer.status}`);
    const lines = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    lines.sort((a, b) => (a._time < b._time ? 1 : -1));
    rows.replaceChildren(...lines.map(row));
    said.textContent = `${lines.length} lines in ${Math.round(performance.now() - begun)} ms`;
  } catch (error) {
    if (mine === current) said.textContent = String(error.message);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  history.replaceState(null, "", `?${fields}`);
  search();
});

for (const [name, value] of new URLSearchParams(location.search)) {
  if (form.elements[name]) form.elements[name].value = value;
}
if (location.search) search();
