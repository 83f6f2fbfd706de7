// Draws one panel with what Prometheus has answered. Text from it is never HTML.
const COLOURS = ["#3b82d6", "#d97b29", "#2a9d5c", "#b04fc4", "#c2404a", "#1ba3a8", "#8a7a20", "#6d67d8", "#d0558f", "#6b8f2a"];

export function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

// Numbers as people read them.
function scaled(value, base, units) {
  let step = 0;
  for (; Math.abs(value) >= base && step < units.length - 1; step += 1) value /= base;
  return `${short(value)} ${units[step]}`.trim();
}

function short(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.01 || value === 0 ? 2 : 5;
  return String(Number(value.toFixed(digits)));
}

function seconds(value) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"]]) {
    if (Math.abs(value) >= size) return `${short(value / size)} ${unit}`;
  }
  return value === 0 ? "0 s" : `${short(value * 1e6)} µs`;
}

const FORMATS = {
  number: (value) => scaled(value, 1000, ["", "k", "M", "G", "T"]),
  percent: (value) => `${short(value)} %`,
  seconds,
  bytes: (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]),
  "bytes per second": (value) => scaled(value, 1024, ["B/s", "KiB/s", "MiB/s", "GiB/s"]),
  "per second": (value) => `${short(value)}/s`,
  "per minute": (value) => `${short(value)}/min`,
  euros: (value) => `${scaled(value, 1000, ["", "k", "M"])} €`,
  cores: (value) => short(value),
  "yes or no": (value) => (value ? "yes" : "no"),
};

function told(panel, value) {
  return Number.isFinite(value) ? FORMATS[panel.unit](value) : "–";
}

function grade(panel, value) {
  if (panel.warning === null || !Number.isFinite(value)) return "";
  const less = panel.critical < panel.warning;
  const beyond = (limit) => (less ? value < limit : value >= limit);
  return beyond(panel.critical) ? "critical" : beyond(panel.warning) ? "warning" : "good";
}

function named(legend, labels) {
  if (legend) return legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_all, name) => labels[name] ?? "").trim() || "–";
  return Object.entries(labels).filter(([name]) => name !== "__name__").map((pair) => pair.join("=")).join(" ") || "value";
}

function stat(panel, answers, place) {
  const found = answers.flatMap(({ query, series }) => series.map((one) => [named(query.legend, one.metric), Number(one.value[1])]));
  for (const [name, value] of found) {
    const element = make("div", { className: `value ${grade(panel, value)}` }, told(panel, value));
    if (found.length > 1) element.append(make("small", {}, name));
    place.append(element);
    if (panel.kind === "gauge") place.append(meter(panel, value));
  }
}

function meter(panel, value) {
  const limits = [panel.warning, panel.critical].filter((limit) => limit !== null).sort((a, b) => a - b);
  const [low, high] = limits.length ? limits : [0, panel.most];
  return make("meter", { max: panel.most, low, high, optimum: panel.critical < panel.warning ? panel.most : 0, value });
}

function table(panel, [{ series }], place) {
  const columns = panel.columns.filter((name) => series.some((one) => one.metric[name]));
  const rows = series.map((one) => [columns.map((name) => one.metric[name] ?? ""), Number(one.value[1])]).sort((a, b) => b[1] - a[1]);
  const head = make("tr", {}, ...[...columns.map((name) => name.replaceAll("_", " ")), "value"].map((name) => make("th", {}, name)));
  const body = rows.map(([cells, value]) =>
    make("tr", {}, ...cells.map((cell) => make("td", {}, cell)), make("td", { className: grade(panel, value) }, told(panel, value))));
  place.append(make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))));
}

// Every series at every step of the range; null where it has nothing.
function aligned(answers, { start, end, step }) {
  const times = Array.from({ length: Math.floor((end - start) / step) + 1 }, (_none, index) => start + index * step);
  const lines = answers.flatMap(({ query, series }) => series.map((one) => {
    const values = new Array(times.length).fill(null);
    for (const [time, text] of one.values) {
      const value = Number(text);
      if (Number.isFinite(value)) values[Math.round((time - start) / step)] = value;
    }
    return { name: named(query.legend, one.metric), values };
  }));
  return { times, lines: lines.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

// The highest first: what is drawn after it stands before it.
function piled(lines) {
  const sums = new Array(lines[0].values.length).fill(null);
  return lines.map((one) => {
    one.values.forEach((value, index) => { if (value !== null) sums[index] += value; });
    return { ...one, drawn: [...sums] };
  }).reverse();
}

function upright(chart, markers) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = "#7a8699";
  ctx.fillStyle = "#7a8699";
  ctx.setLineDash([4, 4]);
  ctx.textAlign = "left";
  ctx.font = `${10 * devicePixelRatio}px system-ui`;
  for (const { time, name } of markers) {
    if (time < chart.scales.x.min || time > chart.scales.x.max) continue;
    const x = chart.valToPos(time, "x", true);
    line(ctx, x, bbox.top, x, bbox.top + bbox.height);
    ctx.fillText(name, x + 3, bbox.top + 10 * devicePixelRatio);
  }
  ctx.restore();
}

function level(chart, panel) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.setLineDash([2, 4]);
  for (const name of ["warning", "critical"]) {
    const value = panel[name];
    if (value === null || value > chart.scales.y.max || value < chart.scales.y.min) continue;
    const y = chart.valToPos(value, "y", true);
    ctx.strokeStyle = name === "critical" ? "#d64545" : "#d98e29";
    line(ctx, bbox.left, y, bbox.left + bbox.width, y);
  }
  ctx.restore();
}

function line(ctx, ...points) {
  ctx.beginPath();
  ctx.moveTo(points[0], points[1]);
  ctx.lineTo(points[2], points[3]);
  ctx.stroke();
}

function timeSeries(panel, answers, place, context) {
  const { times, lines: found } = aligned(answers, context);
  const lines = panel.stacked ? piled(found) : found;
  const dim = { stroke: getComputedStyle(document.body).color, grid: { stroke: "#8883", width: 1 }, ticks: { stroke: "#8883" } };
  const options = {
    width: place.clientWidth,
    height: 200,
    series: [
      { value: (_chart, time) => (time ? new Date(time * 1000).toLocaleTimeString() : "–") },
      ...lines.map(({ name, values }, index) => ({
        label: name,
        stroke: COLOURS[index % COLOURS.length],
        fill: panel.stacked || lines.length === 1 ? `${COLOURS[index % COLOURS.length]}${panel.stacked ? "b0" : "30"}` : undefined,
        width: 1.5,
        points: { show: values.filter((value) => value !== null).length === 1 },
        value: (_chart, _sum, _series, at) => (at === null || values[at] === null ? "–" : told(panel, values[at])),
      })),
    ],
    axes: [dim, { ...dim, size: 84, values: (_chart, ticks) => ticks.map((tick) => FORMATS[panel.unit](tick)) }],
    scales: { y: { range: (_chart, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.1 : 1] } },
    cursor: { sync: { key: "console" } },
    hooks: { draw: [(chart) => upright(chart, context.markers), (chart) => level(chart, panel)] },
  };
  place.append(make("div", { className: "chart" }));
  return new window.uPlot(options, [times, ...lines.map((one) => one.drawn ?? one.values)], place.lastChild);
}

const KINDS = { stat, gauge: stat, table, "time series": timeSeries };

// A chart is returned, for whoever resizes or removes it.
export function draw(panel, answers, place, context) {
  if (!answers.some(({ series }) => series.length)) {
    place.append(make("div", { className: panel.empty ? "none" : "none fault" }, panel.empty ?? "No data"));
    return null;
  }
  return KINDS[panel.kind](panel, answers, place, context) ?? null;
}
