// The log viewer (console.md §4): follows until one scrolls up, still while text is selected, search on the server,
// lines that can be linked to, copied and read in either zone. The lines themselves are log-window.js's.

import { announce } from "./announce.js";
import { copyFrom } from "./copy.js";
import { askToSignIn } from "./dialogs.js";
import { hashOf, namedLines, writeAddress } from "./log-address.js";
import { changeZone, copyText, lineElement, plainText } from "./log-line.js";
import { remembered, toggle } from "./log-looks.js";
import { LogSearch } from "./log-search.js";
import { LogWindow } from "./log-window.js";

const POLL_MS = 1_000;
const PAGE = 1_000;
const MOST_COPIED = 20_000;

const box = document.querySelector("[data-log]");
const list = box.querySelector("#log");
const status = box.querySelector("#log-status");
const chooser = box.querySelector("#log-instance");
const followButton = box.querySelector("[data-log-follow]");
const newLines = box.querySelector("[data-log-new]");
const words = box.dataset;
const format = new Intl.NumberFormat(document.documentElement.lang);

let instance = words.instance;
let isGone = false;
let chosen = namedLines(); // [first, last] numbers of the lines the address names, or null
let follows = chosen === null;
let isPaused = false;
let seenEnd = 0;
let problem = "";
let waiting = status.textContent.trim();
const unfolded = new Set();
const look = { isUtc: remembered("slipway-log-utc") === "1" };

const view = new LogWindow(list, { fetchLines, makeLine, onDraw: drawn });
const search = new LogSearch(box.querySelector("[data-log-form]"), {
  ask: (query, here) => get("search", { q: query, at: String(here) }),
  here: lineInView,
  jump: (number) => {
    stopFollowing();
    view.jumpTo(number - 1);
  },
  changed: () => {
    rememberQuery();
    view.redraw();
  },
  left: () => list.focus(),
});

// Asking the server

async function get(what, query) {
  const all = new URLSearchParams({ instance, ...(words.previous && { previous: "1" }), ...query });
  let response;
  try {
    response = await fetch(`${words.url}/${what}?${all}`, { headers: { "X-Slipway-Live": "log" } });
  } catch {
    problem = words.lost;
    return null;
  }
  if (response.status === 401) {
    askToSignIn(await response.text());
  } else if (response.status === 404) {
    isGone = true;
  } else if (response.ok) {
    problem = "";
    return response.json();
  } else {
    problem = response.status === 502 ? (await response.json()).error : words.lost;
  }
  return null;
}

async function fetchLines(first, limit) {
  const answer = await get("lines", { first: String(first), limit: String(limit) });
  say();
  return answer;
}

async function poll() {
  if (!document.hidden && !isGone) {
    await lookForMore();
  }
  setTimeout(poll, POLL_MS);
}

/** The lines that came since; where nobody follows, how many there are is enough. */
async function lookForMore() {
  const isWatching = isFollowing() || !instance || search.query;
  const answer = await get("lines", { first: String(view.end), limit: String(isWatching ? PAGE : 0) });
  if (answer) {
    take(answer);
  }
  say();
}

function take(answer) {
  if (answer.instance !== instance) {
    instance = answer.instance; // the first one has started
    view.clear();
  }
  waiting = answer.waiting;
  listInstances(answer.kept);
  const { end } = view;
  view.put(answer.lines);
  view.setBounds(answer.begin, answer.end);
  if (answer.end > end) {
    const matches = answer.lines.filter(matchesQuery).map(([number]) => number);
    search.grow(matches);
    view.drawSoon();
  }
  newLines.hidden = view.isAtEnd() || answer.end <= seenEnd;
}

function matchesQuery(line) {
  return search.query !== "" && plainText(line[2]).toLowerCase().includes(search.query.toLowerCase());
}

function listInstances(kept) {
  const known = [...chooser.options].map((option) => [option.value, option.dataset.alive === "1"]);
  if (JSON.stringify(kept) === JSON.stringify(known)) {
    return;
  }
  chooser.disabled = kept.length === 0;
  chooser.replaceChildren(
    ...kept.map(([name, isAlive]) => {
      const option = new Option(isAlive ? name : words.ended.replace("%name%", name), name, name === instance, name === instance);
      option.dataset.alive = isAlive ? "1" : "0";
      return option;
    }),
  );
}

function say() {
  const said = problem || (view.end > view.begin ? "" : waiting);
  if (status.textContent !== said) {
    status.textContent = said;
  }
}

// Following

const isFollowing = () => follows && !isPaused && !isSelecting();

function isSelecting() {
  const selection = getSelection();
  return !selection.isCollapsed && list.contains(selection.anchorNode);
}

function showFollow() {
  const isOn = follows && !isPaused;
  followButton.querySelector("span").textContent = isOn ? words.pause : words.follow;
  followButton.querySelector("use").setAttribute("href", isOn ? words.pauseIcon : words.followIcon);
  view.stick(isOn && !isSelecting());
}

function follow() {
  follows = true;
  isPaused = false;
  newLines.hidden = true;
  showFollow();
  lookForMore();
}

function stopFollowing() {
  if (follows) {
    follows = false;
    showFollow();
  }
}

function drawn() {
  if (view.isAtEnd()) {
    seenEnd = view.end;
  }
  for (const [element, index] of view.drawn()) {
    mark(element, index + 1);
  }
  keepOneTabStop();
}

function mark(element, number) {
  element.classList.toggle("is-chosen", chosen !== null && number >= chosen[0] && number <= chosen[1]);
  element.classList.toggle("is-current", number === search.current);
}

followButton.addEventListener("click", () => {
  if (follows && !isPaused) {
    isPaused = true;
    showFollow();
  } else {
    follow();
  }
});
newLines.addEventListener("click", () => {
  follow();
  list.focus();
});
list.addEventListener(
  "scroll",
  () => {
    const top = list.scrollTop;
    const isOurs = Math.abs(top - (view.lastTop ?? 0)) < 2;
    const goesUp = top < (view.lastTop ?? 0);
    view.lastTop = top;
    if (isOurs) {
      return;
    }
    view.target = null; // whoever scrolls has left for somewhere else
    if (!goesUp && view.isAtEnd() && !isPaused) {
      follows = true;
      showFollow();
    } else if (goesUp && follows) {
      stopFollowing();
    }
    newLines.hidden ||= view.isAtEnd();
  },
  { passive: true },
);
document.addEventListener("selectionchange", () => {
  if (follows && view.isStuck === isSelecting()) {
    showFollow();
  }
});

// Lines: links, ranges, copying

function makeLine(line) {
  const item = lineElement(line, {
    isUtc: look.isUtc,
    query: search?.query.toLowerCase() ?? "",
    full: unfolded.has(line[0]) || line[0] === search?.current,
    moreWords: (count) => words.more.replace("%n%", format.format(count)),
  });
  mark(item, line[0]);
  return item;
}

function choose(number, extends_) {
  const anchor = extends_ && chosen ? (choose.anchor ?? chosen[0]) : number;
  const isSame = chosen && !extends_ && chosen[0] === number && chosen[1] === number;
  choose.anchor = anchor;
  chosen = isSame ? null : [Math.min(anchor, number), Math.max(anchor, number)];
  writeAddress({ instance }, hashOf(chosen));
  stopFollowing();
  drawn();
}

function rememberQuery() {
  writeAddress({ q: search.query });
}

/** One line number can be reached with Tab: the chosen one, else the first in view. Arrows lead to the others. */
function keepOneTabStop() {
  const now = list.querySelector("a[tabindex='0']");
  const wanted = (chosen && view.lineAt(chosen[0] - 1)) ?? now?.parentElement ?? view.findAnchor()?.element;
  const link = wanted?.querySelector("a");
  if (link && link !== now && document.activeElement !== now) {
    now?.setAttribute("tabindex", "-1");
    link.tabIndex = 0;
  }
}

list.addEventListener("click", (event) => {
  const more = event.target.closest(".log-more");
  if (more) {
    const item = more.closest("li");
    const number = Number(item.id.slice(1));
    unfolded.add(number);
    item.replaceWith(makeLine(view.lines.get(number - 1)));
    return;
  }
  const link = event.target.closest("li > a");
  if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    choose(Number(link.textContent), event.shiftKey);
  }
});
list.addEventListener("mousedown", (event) => {
  if (event.shiftKey && event.target.closest("li > a")) {
    event.preventDefault(); // a range of lines, not of characters
  }
});
list.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.target.matches("li > a") && step) {
    event.preventDefault();
    const number = Number(event.target.textContent) + step;
    const link = view.lineAt(number - 1)?.querySelector("a");
    if (link) {
      event.target.tabIndex = -1;
      link.tabIndex = 0;
      link.focus();
      if (event.shiftKey) {
        choose(number, true);
      }
    }
  } else if (event.key === "Escape" && chosen) {
    chosen = null;
    writeAddress({}, "");
    drawn();
  }
});
window.addEventListener("hashchange", () => {
  chosen = namedLines();
  if (chosen) {
    stopFollowing();
    view.jumpTo(chosen[0] - 1);
  }
});

/** The number of the last line in view. */
function lineInView() {
  const { bottom } = list.getBoundingClientRect();
  let last = view.end;
  for (const [element, index] of view.drawn()) {
    if (element.getBoundingClientRect().top < bottom) {
      last = index + 1;
    }
  }
  return last;
}

async function textToCopy() {
  const [first, last] = chosen ? [chosen[0] - 1, Math.min(chosen[1], chosen[0] - 1 + MOST_COPIED)] : [Math.max(view.begin, view.end - PAGE), view.end];
  const lines = [];
  let next = first;
  while (next < last) {
    const answer = await get("lines", { first: String(next), limit: String(Math.min(PAGE, last - next)) });
    if (!answer?.lines.length) {
      break;
    }
    lines.push(...answer.lines);
    next = answer.lines.at(-1)[0];
  }
  if (!lines.length) {
    throw new Error(problem || words.lost);
  }
  announce((lines.length === 1 ? words.copiedOne : words.copiedMany).replace("%n%", format.format(lines.length)));
  return `${lines.map((line) => copyText(line, look.isUtc)).join("\n")}\n`;
}

box.querySelector("[data-log-copy]").addEventListener("click", (event) => {
  copyFrom(event.currentTarget, textToCopy());
});

// How it looks

const wraps = remembered("slipway-log-wrap");
toggle(
  box.querySelector("[data-log-wrap]"),
  "slipway-log-wrap",
  wraps === null ? matchMedia("(width < 700px)").matches : wraps === "1",
  (value) => {
    list.classList.toggle("log-wrap", value);
    view.drawSoon();
  },
);
toggle(box.querySelector("[data-log-utc]"), "slipway-log-utc", look.isUtc, (value) => {
  look.isUtc = value;
  for (const [element] of view.drawn()) {
    changeZone(element, value);
  }
});

chooser.addEventListener("change", () => chooser.form.requestSubmit());
box.querySelector("[name=previous]")?.addEventListener("change", (event) => event.target.form.requestSubmit());
box.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "f") {
    event.preventDefault();
    search.input.focus();
    search.input.select();
  }
});
document.addEventListener("visibilitychange", () => !document.hidden && lookForMore());

async function begin() {
  view.clear();
  const answer = instance ? await get("lines", { limit: String(PAGE) }) : null;
  if (answer) {
    take(answer);
  }
  seenEnd = view.end;
  showFollow();
  if (chosen) {
    view.jumpTo(chosen[0] - 1);
  }
  if (search.input.value.trim()) {
    await search.look({ stays: chosen !== null }); // a named line is where the address leads
  }
  say();
  box.dataset.ready = "";
  setTimeout(poll, POLL_MS);
}

begin();
