// The charts of an answer. Each point says how sure it is: exact solid, fresh dashed, in progress dotted.

const HEIGHT = 230;
const HATCH_STEP = 7;
const DAY_S = 86400;
const DAY = "{MMM} {D}";
// By the least distance of ticks, in seconds: what each says, and what the first of a year, a month, a day says below.
const TICKS = [
  [365 * DAY_S, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * DAY_S, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [DAY_S, "{MMM} {D}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", `\n${DAY}`, null, `\n${DAY}`, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", `\n${DAY}`, null, `\n${DAY}`, null, null, null, 1],
];
const drawn = new Map(); // of each element, its plot and what it shows

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

function color(name, alpha = 1) {
  probe.style.color = `var(${name})`;
  const resolved = getComputedStyle(probe).color;
  return alpha === 1 ? resolved : resolved.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);
}

export function drawCharts() {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "null");
  const elements = [...document.querySelectorAll(".chart[data-measure]")];
  const charts = elements.map((element) => data?.charts.find(({ measure }) => measure === element.dataset.measure));
  // All of them first: how many there are decides how wide each is.
  elements.forEach((element, i) => (element.hidden = !charts[i]));
  for (const [i, element] of elements.entries()) {
    const chart = charts[i];
    const shape = JSON.stringify([chart?.lines.map(({ name, before }) => [name, Boolean(before)]), data?.zone, document.documentElement.dataset.theme]);
    const before = drawn.get(element);
    if (before?.shape === shape && chart) {
      Object.assign(before.view, { chart, data });
      before.plot.setData(columns(before.view));
      continue;
    }
    before?.plot.destroy();
    drawn.delete(element);
    if (!chart) continue;
    const view = { chart, data };
    drawn.set(element, { shape, view, plot: plotted(element, view) });
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const item of drawn.values()) item.shape = "";
  drawCharts();
});

// --- one chart -----------------------------------------------------------------------------
function plotted(element, view) {
  const holder = element.querySelector(".plot");
  holder.replaceChildren();
  const series = [{}];
  const bands = [];
  for (const { line } of view.chart.lines) {
    const upper = series.length + 3;
    const stroke = color(`--line-${line}`);
    const point = { size: 6, stroke, fill: stroke, filter: lonely };
    const hollow = { ...point, fill: color("--card") };
    const hidden = { stroke: "transparent", points: { show: false } };
    series.push(
      { stroke, width: 2, points: point },
      { stroke, width: 2, points: hollow, dash: [7, 5] },
      { stroke, width: 2, points: { ...hollow, show: true }, dash: [2, 4], alpha: 0.65, ...(view.chart.from_zero && { paths: stems }) },
      hidden,
      { ...hidden },
    );
    bands.push({ series: [upper, upper + 1], fill: color(`--line-${line}`, 0.16) });
  }
  // After all others: what was before, faint and thin, of lines that have it.
  for (const { line, before } of view.chart.lines) {
    if (before) series.push({ stroke: color(`--line-${line}`), width: 1, alpha: 0.5, points: { show: false } });
  }
  const axis = { stroke: color("--soft"), grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const tip = new Tip(element, view);
  return new uPlot(
    {
      width: holder.clientWidth,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), view.data.zone),
      scales: {
        x: { range: () => [view.data.from / 1000, view.data.to / 1000] },
        y: { range: (_, low, high) => reach(low, high, view.chart.from_zero) },
      },
      axes: [{ ...axis, size: 44, values: TICKS }, { ...axis, size: 64, values: (_, ticks) => ticks.map(short) }],
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "time" }, points: { show: false } },
      series,
      bands,
      hooks: {
        drawClear: [(plot) => grounds(plot, view.data)],
        setCursor: [(plot) => tip.show(plot)],
        setSelect: [(plot) => narrow(plot)],
        ready: [(plot) => keys(plot, holder)],
      },
    },
    columns(view),
    holder,
  );
}

function columns({ chart, data }) {
  const lines = chart.lines.flatMap((line) => styled(line, chart.from_zero));
  const before = chart.lines.flatMap((line) => (line.before ? [line.before] : []));
  return [data.times.map((ms) => ms / 1000), ...lines, ...before];
}

// The values of a line in three columns, and its bounds, by the state of each point. A stretch of line is exact when both of its ends are.
// What grows from zero while its bucket is in progress is joined to nothing: it would look like a fall.
function styled(line, isGrowing) {
  const { value, state } = line;
  const isJoined = (i) => state[i] !== "p" || !isGrowing;
  const exact = value.map((v, i) => (state[i] === "e" ? v : null));
  const fresh = value.map((v, i) => {
    const near = state[i] === "e" && (state[i - 1] === "f" || state[i + 1] === "f");
    return state[i] === "f" || near ? v : null;
  });
  const running = value.map((v, i) => (state[i] === "p" || (state[i + 1] === "p" && isJoined(i + 1)) ? v : null));
  const bounds = [line.upper, line.lower].map((bound) => bound.map((v, i) => (isJoined(i) ? v : null)));
  return [exact, fresh, running, ...bounds];
}

// What is in progress, as far as it has grown.
function stems(plot, series, first, last) {
  const stroke = new Path2D();
  for (let i = first; i <= last; i++) {
    if (plot.data[series][i] === null) continue;
    const x = plot.valToPos(plot.data[0][i], "x", true);
    stroke.moveTo(x, plot.valToPos(0, "y", true));
    stroke.lineTo(x, plot.valToPos(plot.data[series][i], "y", true));
  }
  return { stroke };
}

// Where there is no room for points, those without a neighbor are drawn: no line shows them.
function lonely(plot, series, isShown) {
  const values = plot.data[series];
  const isNothing = (i) => (values[i] ?? null) === null;
  return isShown ? null : [...values.keys()].filter((i) => !isNothing(i) && isNothing(i - 1) && isNothing(i + 1));
}

function reach(low, high, fromZero) {
  if (low === null || high === null) return [0, 1];
  if (fromZero && low >= 0) return [0, high > 0 ? high * 1.08 : 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

function short(tick) {
  const size = Math.abs(tick);
  if (tick && (size < 1e-5 || size >= 1e15)) return tick.toExponential(2).replace(/\.?0*e\+?/, "e");
  if (size < 10000) return tick.toLocaleString("en-US", { maximumFractionDigits: 6 });
  return tick.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 2 });
}

// --- grounds: not covered yet, and gaps ----------------------------------------------------
function grounds(plot, data) {
  const { ctx, bbox } = plot;
  const left = (ms) => Math.min(Math.max(plot.valToPos(ms / 1000, "x", true), bbox.left), bbox.left + bbox.width);
  ctx.save();
  ctx.fillStyle = color("--uncovered");
  for (const [start, end] of data.uncovered) ctx.fillRect(left(start), bbox.top, left(end) - left(start), bbox.height);
  ctx.strokeStyle = color("--hatch");
  ctx.lineWidth = 1;
  for (const [start, end] of data.gaps) {
    ctx.beginPath();
    ctx.rect(left(start), bbox.top, Math.max(left(end) - left(start), 2), bbox.height);
    ctx.save();
    ctx.clip();
    ctx.beginPath();
    for (let x = left(start) - bbox.height; x < left(end); x += HATCH_STEP * devicePixelRatio) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
  ctx.restore();
}

// --- the pointer and the keys --------------------------------------------------------------
class Tip {
  constructor(element, view) {
    this.view = view;
    this.box = element.querySelector(".tip");
    this.box.hidden = true;
  }

  show(plot) {
    const { idx, left } = plot.cursor;
    const isOver = idx !== null && idx !== undefined && left >= 0;
    this.box.hidden = !isOver;
    if (!isOver) return;
    const head = document.createElement("div");
    head.className = "soft";
    head.textContent = this.view.data.labels[idx];
    const list = document.createElement("dl");
    for (const line of this.view.chart.lines) {
      if (line.text[idx] === null) continue;
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.dataset.line = line.line;
      const name = document.createElement("dt");
      name.textContent = line.name;
      const text = document.createElement("dd");
      text.textContent = line.text[idx];
      list.append(swatch, name, text);
    }
    this.box.replaceChildren(head, list);
    // Beside the pointer on the side that has more room, and never beyond the card: there it would be narrow.
    const x = plot.root.offsetLeft + plot.over.offsetLeft + left;
    const room = this.box.parentElement.clientWidth - this.box.offsetWidth;
    const wish = left > plot.over.clientWidth / 2 ? x - 12 - this.box.offsetWidth : x + 12;
    this.box.style.left = `${Math.max(Math.min(wish, room), 0)}px`;
    this.box.style.top = "2.6rem";
  }
}

let isNarrowing = false;
function narrow(plot) {
  const { left, width } = plot.select;
  if (width < 4 || isNarrowing) return;
  // The other charts select the same, and would ask for it, too.
  isNarrowing = true;
  setTimeout(() => (isNarrowing = false));
  const minute = (x, round) => round(plot.posToVal(x, "x") / 60);
  const first = minute(left, Math.floor);
  const last = Math.max(minute(left + width, Math.ceil), first + 1);
  const text = (minutes) => new Date(minutes * 60000).toISOString().replace(":00.000Z", "Z");
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  document.dispatchEvent(new CustomEvent("narrow", { detail: { from: text(first), to: text(last) } }));
}

function keys(plot, holder) {
  holder.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const index = Math.min(Math.max((plot.cursor.idx ?? last + 1) + step, 0), last);
    plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 0 });
  };
  holder.onblur = () => plot.setCursor({ left: -10, top: -10 });
}

let resizing = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(() => {
    for (const [element, { plot }] of drawn) plot.setSize({ width: element.querySelector(".plot").clientWidth, height: HEIGHT });
  });
});
