// Online debugging: one request from the form, through the gateway as a program's, and all that came back.

import { copyFrom } from "./copy.js";
import { count, exactly } from "./numbers.js";
import { requestToken } from "./secrets.js";

const MOST_TRIES = 20;
const MOST_SHOWN = 200_000; // letters of an answer on the page
const box = document.getElementById("debug");
const byId = (id) => document.getElementById(id);
const samples = JSON.parse(byId("debug-samples").textContent);
const meanings = JSON.parse(byId("debug-meanings").textContent);
const fields = { method: byId("debug-method"), path: byId("debug-path"), content_type: byId("debug-type"), body: byId("debug-body") };
const key = `slipway-tries-${box.dataset.service}`;
let token = ""; // in memory only
let running = null;

const fetchToken = (purpose) => requestToken(byId("debug-token"), purpose, box.dataset.wrong);
const hasBody = (request) => !["GET", "DELETE"].includes(request.method) || request.body !== "";

function fill(request) {
  for (const [name, field] of Object.entries(fields)) {
    field.value = request[name];
  }
}

function read() {
  const request = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value]));
  const path = request.path.trim();
  return { ...request, path: path && !/^[/?]/.test(path) ? `/${path}` : path };
}

function say(sentence, tone = "warn") {
  const notice = byId("debug-notice");
  notice.hidden = !sentence;
  notice.dataset.tone = tone;
  notice.querySelector("p").textContent = sentence;
}

function showState(isSending) {
  const words = byId("debug-send").querySelector("span");
  words.textContent = isSending ? words.dataset.stop : words.dataset.send;
  byId("debug-answer").setAttribute("aria-busy", String(isSending));
}

function showHead(response) {
  const badge = byId("debug-status");
  badge.hidden = false;
  badge.textContent = `${response.status} ${response.statusText}`.trim();
  badge.dataset.tone = response.ok ? "ok" : "bad";
  const headers = byId("debug-headers");
  headers.hidden = false;
  headers.querySelector("pre").textContent = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
}

/** The answer as it comes; a NUL, which ends a frame of EAS's stream, is shown as \0 and a new line. */
async function readAnswer(response, began, facts) {
  const decoder = new TextDecoder();
  const answer = byId("debug-answer");
  const reader = response.body.getReader();
  for (let shown = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    facts.first ??= performance.now() - began;
    facts.bytes += value.length;
    const text = decoder.decode(value, { stream: true }).replaceAll("\0", "\\0\n").slice(0, MOST_SHOWN - shown);
    shown += text.length;
    answer.append(text);
  }
}

async function send() {
  const request = read();
  const facts = { bytes: 0, status: 0 };
  running = new AbortController();
  showState(true);
  say("");
  byId("debug-answer").replaceChildren();
  byId("debug-status").hidden = byId("debug-headers").hidden = true;
  byId("debug-facts").textContent = "…";
  let began = 0;
  try {
    token ||= await fetchToken("debug");
    began = performance.now();
    const response = await fetch(box.dataset.path + request.path, {
      method: request.method,
      headers: { Authorization: token, ...(hasBody(request) && { "Content-Type": request.content_type }) },
      body: request.method === "GET" || !hasBody(request) ? undefined : request.body,
      credentials: "omit",
      signal: running.signal,
    });
    facts.status = response.status;
    showHead(response);
    if (response.status === 401) {
      token = ""; // it was rotated: the next try asks for it again
    }
    say(meanings[response.status] ?? "", response.status < 500 ? "warn" : "bad");
    await readAnswer(response, began, facts);
  } catch (error) {
    const words = box.dataset;
    say(running.signal.aborted ? words.stopped : !began ? error.message : facts.status ? words.cut : words.unreached, "bad");
  }
  const whole = began ? performance.now() - began : 0;
  running = null;
  showState(false);
  showFacts(facts, whole);
  if (began) {
    keep({ ...request, status: facts.status, ms: whole, at: Date.now() });
  }
}

function showFacts(facts, whole) {
  const words = box.dataset;
  const parts = [];
  if (facts.first !== undefined) {
    parts.push(words.first.replace("%t%", exactly(facts.first)));
  }
  if (whole) {
    parts.push(words.whole.replace("%t%", exactly(whole)), words.size.replace("%n%", count(facts.bytes)));
  }
  byId("debug-facts").textContent = parts.join(" · ");
}

function loadTries() {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}

function storeTries(tries) {
  try {
    sessionStorage.setItem(key, JSON.stringify(tries));
  } catch {
    // Storage is full or forbidden: the list is then of this page's life.
  }
  showTries(tries);
}

function keep(request) {
  storeTries([request, ...loadTries()].slice(0, MOST_TRIES));
}

function showTries(tries) {
  byId("debug-no-tries").hidden = tries.length > 0;
  box.querySelector("[data-debug-clear]").hidden = !tries.length;
  byId("debug-tries").replaceChildren(
    ...tries.map((one, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "debug-try";
      button.dataset.index = index;
      const time = new Date(one.at).toLocaleTimeString(document.documentElement.lang);
      button.textContent = `${time}  ${one.status || "–"}  ${one.method} ${one.path || "/"}  ${exactly(one.ms)}`;
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function renderCurl(request, secret) {
  const parts = [`curl -N -X ${request.method} ${quoted(box.dataset.endpoint + request.path)}`, `-H ${quoted(`Authorization: ${secret}`)}`];
  if (hasBody(request)) {
    parts.push(`-H ${quoted(`Content-Type: ${request.content_type}`)}`, `--data-binary ${quoted(request.body)}`);
  }
  return parts.join(" \\\n  ");
}

byId("debug-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) {
    running.abort();
  } else {
    send();
  }
});
byId("debug-form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    if (!running) {
      send();
    }
  }
});
byId("debug-sample").addEventListener("change", (event) => fill(samples[event.target.value]));
box.querySelector("[data-debug-curl]").addEventListener("click", (event) => {
  const request = read();
  copyFrom(event.currentTarget, fetchToken("copy").then((secret) => renderCurl(request, secret)), (text) => {
    byId("debug-answer").textContent = text;
  });
});
box.querySelector("[data-debug-clear]").addEventListener("click", () => {
  storeTries([]);
  byId("debug-send").focus();
});
byId("debug-tries").addEventListener("click", (event) => {
  const button = event.target.closest("[data-index]");
  if (button) {
    fill(loadTries()[button.dataset.index]);
    fields.body.focus();
  }
});
showTries(loadTries());
