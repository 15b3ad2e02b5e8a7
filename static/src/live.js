// Live pages. One WebSocket a tab brings hints; the page fetches itself again and morphs what changed.
// Hints are not replayed and may be lost, so it also looks again when the socket is back, when the tab wakes, often
// while something shown is in motion, and now and then (ages and "Unknown" change without a hint).

import { askToSignIn } from "./dialogs.js";
import { morph } from "./htmx.js";
import { listFailed, listLoaded } from "./list-error.js";

const GATHER_MS = 250;
const LOOK_AT_MOTION_MS = 1_500;
const SETTLED = ["Running", "Stopped", "Failed", "DeleteFailed", "Unknown", "Deleted"];
const SAY_PAUSED_MS = 3_000;
const ASK_MS = 1_500;
const SILENT_MS = 4_000;
const RETRY_MS = [250, 500, 1_000, 2_000, 3_000];
const SIGNED_OUT = 4401;

const main = document.getElementById("content");
const page = main?.dataset.livePage ?? "";
const LOOK_AGAIN_MS = Number(main?.dataset.liveSeconds ?? 15) * 1_000;
const indicator = document.getElementById("live-indicator");
const wanted = new Set();
let wantsAll = false;
let timer = 0;
let isFetching = false;
let isGone = false;

/** Fetch what the page shows of a service again; without a name, all of it. */
export function refresh(name) {
  if (!page || isGone) {
    return;
  }
  if (name && page === "services") {
    wanted.add(name);
  } else {
    wantsAll = true;
  }
  fetchSoon();
}

function fetchSoon() {
  if (!timer && !document.hidden && !isGone) {
    timer = setTimeout(fetchNow, GATHER_MS);
  }
}

function lookAtMotion() {
  for (const badge of document.querySelectorAll("[data-live] [data-status]")) {
    if (!SETTLED.includes(badge.dataset.status)) {
      refresh(badge.dataset.service);
    }
  }
}

async function fetchNow() {
  timer = 0;
  if (document.hidden) {
    return; // hidden since: its waking asks for all of it
  }
  if (isFetching) {
    timer = setTimeout(fetchNow, GATHER_MS);
    return;
  }
  isFetching = true;
  const asked = wantsAll ? "all" : [...wanted].filter(rowOf).join(",") || "-";
  const names = wantsAll ? null : [...wanted];
  wanted.clear();
  wantsAll = false;
  try {
    await update(asked, names);
  } catch (error) {
    if (!(error instanceof TypeError)) {
      throw error; // TypeError: no network. The socket notices too, and looks again when it is back.
    }
  } finally {
    isFetching = false;
  }
}

async function update(asked, names) {
  const here = location.pathname + location.search;
  const response = await fetch(here, { headers: { "X-Slipway-Live": asked }, credentials: "same-origin" });
  const text = await response.text();
  if (here !== location.pathname + location.search) {
    return; // the address changed meanwhile, and with it what belongs here
  }
  if (response.status === 401) {
    askToSignIn(text);
  } else if (response.status === 404 && page !== "services") {
    markGone(document.getElementById("service-header"));
    isGone = true;
  } else if (response.ok) {
    apply(new DOMParser().parseFromString(text, "text/html"), asked, names);
    listLoaded();
  } else if (response.status >= 500) {
    listFailed(refresh);
  }
}

function apply(fresh, asked, names) {
  const missing = [];
  for (const part of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(part.id);
    if (now) {
      morph(part, document.adoptNode(now));
    } else if (part.dataset.name && (asked === "all" || names?.includes(part.dataset.name))) {
      missing.push(part);
    }
  }
  document.dispatchEvent(new CustomEvent("slipway:updated"));
  const title = fresh.querySelector("title");
  if (title && !document.title.includes(": ")) {
    document.title = title.textContent;
  }
  const tone = document.querySelector("#service-header [data-status]")?.dataset.tone;
  const mark = document.querySelector("link[rel=icon]");
  if (mark?.dataset[tone] && mark.getAttribute("href") !== mark.dataset[tone]) {
    mark.href = mark.dataset[tone];
  }
  const list = fresh.querySelector("[data-live-list]");
  if (list) {
    countChanges(list.dataset.order.split(" ").filter(Boolean), missing, asked);
  }
}

/** Order and membership change only when the person asks: here is how much of it waits. */
function countChanges(order, missing, asked) {
  const shown = [...document.querySelectorAll("[data-live-list] [data-name]")].map((row) => row.dataset.name);
  if (asked !== "all") {
    for (const row of missing) {
      markGone(row);
    }
  }
  const added = order.filter((name) => !shown.includes(name)).length;
  const kept = shown.filter((name) => order.includes(name));
  const places = kept.map((name) => order.indexOf(name));
  const changes = added + (shown.length - kept.length) + (kept.length - longestRise(places));
  const note = document.getElementById("list-changes");
  if (note) {
    note.hidden = changes === 0;
    const words = changes === 1 ? note.dataset.one : note.dataset.many.replace("%n%", String(changes));
    if (note.firstElementChild.textContent !== words) {
      note.firstElementChild.textContent = words;
    }
  }
}

/** Length of the longest increasing run of places: the rows that need not move. */
function longestRise(places) {
  const ends = [];
  for (const place of places) {
    let at = ends.findIndex((end) => end >= place);
    at = at === -1 ? ends.length : at;
    ends[at] = place;
  }
  return ends.length;
}

function markGone(element) {
  if (!element || element.classList.contains("is-gone")) {
    return;
  }
  element.classList.add("is-gone");
  const badge = element.querySelector("[data-status]");
  if (badge) {
    badge.dataset.status = "Deleted";
    badge.dataset.tone = "idle";
    badge.textContent = element.dataset.gone ?? element.closest("[data-gone]")?.dataset.gone ?? "";
  }
  for (const control of element.querySelectorAll(".cell-actions, .page-actions")) {
    control.inert = true;
  }
}

function rowOf(name) {
  return document.getElementById(`row-${name}`);
}

// The socket.

let socket = null;
let failures = 0;
let lostAt = null;
let sayTimer = 0;
let retryTimer = 0;
let heardAt = 0;
let isSilent = false;

function connect() {
  clearTimeout(retryTimer);
  if (socket && socket.readyState <= WebSocket.OPEN) {
    return;
  }
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws/live`);
  socket.addEventListener("open", opened);
  socket.addEventListener("message", heard);
  socket.addEventListener("close", closed);
}

function opened() {
  const wasLost = lostAt !== null;
  failures = 0;
  heardAt = Date.now();
  sayLive();
  document.dispatchEvent(new CustomEvent("slipway:live", { detail: { back: wasLost } }));
  refresh(); // also the first time: something may have changed between the page and its socket
}

function sayLive() {
  lostAt = null;
  isSilent = false;
  clearTimeout(sayTimer);
  say("live", indicator?.dataset.liveWords ?? "");
}

/** A server that hangs keeps its connections open, so the page asks whether anybody is there. */
function ask() {
  if (document.hidden || socket?.readyState !== WebSocket.OPEN) {
    heardAt = Date.now(); // a hidden tab's clock is slow: silence counts from its waking
    return;
  }
  socket.send("{}");
  if (!isSilent && Date.now() - heardAt > SILENT_MS) {
    isSilent = true;
    lostAt = new Date(heardAt);
    sayPaused();
  }
}

function heard(event) {
  const { topic } = JSON.parse(event.data);
  heardAt = Date.now();
  if (isSilent) {
    sayLive();
    refresh();
  }
  if (topic === "pong") {
    return;
  }
  if (topic === "access") {
    lookAtAccess();
    return;
  }
  document.dispatchEvent(new CustomEvent("slipway:hint", { detail: { topic } }));
  if (topic === "notices") {
    if (page === "notices") {
      refresh();
    }
    return; // the bell looks
  }
  if (page === "services") {
    if (topic.startsWith("service:")) {
      wanted.add(topic.slice("service:".length));
    }
    fetchSoon(); // without a name: membership may have changed, so the order alone is asked for
  } else if (topic === page || topic === "services") {
    refresh();
  }
}

/** The person's rights changed: what they may not see any more goes. A form that is being filled in stays. */
async function lookAtAccess() {
  const response = await fetch(location.href, { method: "HEAD", credentials: "same-origin" }).catch(() => null);
  if (response?.status === 404 || (response?.status === 403 && page)) {
    location.reload();
  } else {
    refresh();
  }
}

/** The session has ended: a page that follows changes is answered with the sign-in form, the others ask for it. */
async function lookAtSession() {
  if (page) {
    refresh();
    return;
  }
  const asked = fetch("/sign-in", { headers: { "X-Slipway-Live": "all" }, credentials: "same-origin" });
  const response = await asked.catch(() => null);
  if (response?.status === 200) {
    askToSignIn(await response.text());
  }
}

function closed(event) {
  if (event.code === SIGNED_OUT) {
    lookAtSession();
    return;
  }
  if (lostAt === null) {
    lostAt = new Date();
    sayTimer = setTimeout(sayPaused, SAY_PAUSED_MS);
  }
  const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
  failures += 1;
  retryTimer = setTimeout(connect, wait + Math.random() * 250);
}

function sayPaused() {
  const time = lostAt.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
  say("paused", indicator?.dataset.pausedWords.replace("%time%", time) ?? "");
}

function say(state, words) {
  if (indicator && indicator.dataset.state !== state) {
    indicator.dataset.state = state;
    indicator.title = words;
    indicator.firstElementChild.textContent = words;
  }
}

function wake() {
  if (!document.hidden) {
    connect();
    refresh();
  }
}

// A page with a socket of its own keeps to that one.
if (main && indicator && !("ownSocket" in main.dataset)) {
  connect();
  document.addEventListener("visibilitychange", wake);
  document.addEventListener("slipway:reconnect", wake);
  window.addEventListener("online", wake);
  window.addEventListener("pageshow", (event) => event.persisted && wake());
  setInterval(() => !document.hidden && refresh(), LOOK_AGAIN_MS);
  setInterval(() => !document.hidden && lookAtMotion(), LOOK_AT_MOTION_MS);
  setInterval(ask, ASK_MS);
}
