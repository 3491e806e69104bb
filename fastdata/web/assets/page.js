// Keeps a page up to date: what is marked as live comes anew from the server, whole, as HTML.
import { drawCharts } from "./chart.js";

const FASTEST_MS = 1000;
const SLOW_MS = 5000;
const SLOWEST_RETRY_MS = 30000;
const names = document.body.dataset.follows.split(" ").filter(Boolean);
const everyMs = Number(document.body.dataset.everyMs || 0);
let asking = null;
let updatedAt = new Date();
let isStale = false;
let timer = null;

function clock(moment) {
  const isToday = moment.toDateString() === new Date().toDateString();
  return isToday ? moment.toLocaleTimeString([], { hour12: false }) : moment.toLocaleString([], { hour12: false });
}

function lose(reason) {
  const line = document.getElementById("lost");
  line.hidden = !reason;
  line.textContent = reason ? `${reason} Last update ${clock(updatedAt)} (your clock); trying again.` : "";
}

// --- what is shown -------------------------------------------------------------------------
// One at a time: what changes meanwhile is asked for afterwards, what is asked anew goes before.
async function refresh(isAsked = false) {
  if (asking && !isAsked) {
    isStale = true;
    return;
  }
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  isStale = false;
  // Who has asked sees that it is on its way; what only moves on stays as it is until it does.
  if (isAsked) for (const part of document.querySelectorAll("[data-live]")) part.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-cache", signal: mine.signal });
    const html = await response.text();
    if (response.redirected && new URL(response.url).pathname === "/login") {
      location.reload();
      return;
    }
    const next = new DOMParser().parseFromString(html, "text/html");
    const isDown = response.status >= 500;
    // What was there stays while the server cannot answer; it says of when it is.
    if (!isDown || isAsked) swap(next);
    if (!isDown) updatedAt = new Date();
    lose(isDown ? `The server cannot answer now: ${next.querySelector(".notice")?.textContent}.` : "");
    if (isDown) later(SLOW_MS);
  } catch {
    if (asking !== mine) return; // it was given up for a newer one
    lose("The server is not reached.");
    later(SLOW_MS);
  } finally {
    if (asking === mine) {
      asking = null;
      for (const part of document.querySelectorAll("[data-live]")) part.removeAttribute("aria-busy");
      if (isStale) later(FASTEST_MS);
    }
  }
}

function swap(next) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = next.getElementById(part.id);
    if (fresh && part.innerHTML !== fresh.innerHTML) part.innerHTML = fresh.innerHTML;
  }
  drawCharts();
}

function later(ms) {
  isStale = true;
  timer ??= setTimeout(() => {
    timer = null;
    if (isStale && !document.hidden) refresh();
  }, ms);
}

// --- when ----------------------------------------------------------------------------------
function follow(retryMs = FASTEST_MS) {
  const stream = new EventSource(`/api/v1/stream?${new URLSearchParams(names.map((name) => ["metric", name]))}`);
  stream.addEventListener("open", () => {
    retryMs = FASTEST_MS;
    later(0);
  });
  stream.addEventListener("change", () => {
    later(FASTEST_MS);
  });
  stream.addEventListener("problem", () => {
    later(0);
  });
  stream.addEventListener("error", () => {
    stream.close();
    lose("No news from the server.");
    setTimeout(follow, retryMs, Math.min(2 * retryMs, SLOWEST_RETRY_MS));
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && isStale) refresh();
});
if (names.length) follow();
if (everyMs) setInterval(() => later(0), everyMs);

// --- what is asked -------------------------------------------------------------------------
function go(query, isBack = false) {
  if (!isBack) history.pushState(null, "", `?${query}`);
  for (const field of document.querySelectorAll("form.controls [name]:not([name=metric])")) field.value = query.get(field.name) ?? "";
  refresh(true);
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.controls")) return;
  const filled = new Map([...new FormData(event.target)].filter(([, value]) => value));
  if (filled.get("metric") !== event.target.dataset.metric) return; // that is another page
  event.preventDefault();
  filled.delete("metric");
  go(new URLSearchParams([...filled]));
});
document.addEventListener("change", (event) => {
  const form = event.target.closest("form.controls");
  if (event.target.name === "last" && form) form.elements.from.value = form.elements.to.value = "";
  form?.requestSubmit();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-narrows]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    go(new URL(link.href).searchParams);
  }
});
document.addEventListener("narrow", (event) => {
  const query = new URLSearchParams(location.search);
  query.delete("last");
  for (const end of ["from", "to"]) query.set(end, event.detail[end]);
  go(query);
});
addEventListener("popstate", () => go(new URLSearchParams(location.search), true));

document.querySelector(".theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  drawCharts();
});
drawCharts();
