// The deployment forms: worked out anew 300 ms after typing, drafts, leave warning, Ctrl+Enter.
//
// The server decides everything. What one is typing in is never overwritten: an answer to what is no longer
// on the page is thrown away, and of a newer one the focused field takes nothing.

import { renewTokens } from "./csrf.js";
import { askToSignIn } from "./dialogs.js";
import { morph } from "./htmx.js";

const WAIT_MS = 300;
const form = () => document.getElementById("deploy-form");
let typed = 0; // counts what was changed
let timer = 0;
let running = null;
let leaving = false;
let pendingAct = "";

const draftKey = () => `slipway-draft ${form().dataset.draft}`;
const isField = (element) => Boolean(element?.name) && element.form === form();

function markDirty() {
  typed += 1;
  if (form().dataset.dirty === undefined) {
    form().dataset.dirty = "";
  }
}

/** After a morph, fields show what the server wrote; the one that has the focus keeps what is in it. */
function settleFields() {
  for (const field of form().elements) {
    if (field === document.activeElement || !field.name || field.hasAttribute("hx-morph-skip")) {
      continue;
    }
    if (field.type === "radio" || field.type === "checkbox") {
      field.checked = field.defaultChecked;
    } else if (field instanceof HTMLSelectElement) {
      const chosen = [...field.options].findIndex((option) => option.defaultSelected);
      field.selectedIndex = Math.max(chosen, 0);
    } else if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) {
      if (field.value !== field.defaultValue) {
        field.value = field.defaultValue;
      }
    }
  }
}

async function ask(act) {
  clearTimeout(timer);
  running?.abort();
  running = new AbortController();
  const sent = typed;
  renewTokens();
  const body = new FormData(form());
  body.delete("act");
  body.set("act", act);
  form().setAttribute("aria-busy", "true");
  let response;
  try {
    response = await fetch(form().getAttribute("action"), {
      method: "POST",
      body: new URLSearchParams([...body]),
      headers: { "X-Slipway-Live": "all" },
      signal: running.signal,
    });
  } catch (error) {
    if (error.name !== "AbortError") {
      form().removeAttribute("aria-busy");
      unreachable();
    }
    return;
  }
  await take(response, act, sent);
}

async function take(response, act, sent) {
  const text = await response.text();
  form().removeAttribute("aria-busy");
  if (response.status === 401) {
    pendingAct = act;
    askToSignIn(text);
    return;
  }
  if (response.status === 201) {
    leaving = true;
    forgetDraft();
    location.assign(response.headers.get("Location"));
    return;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const now = fresh.getElementById("deploy");
  if (!now) {
    unreachable(fresh.querySelector(".notice p, .error-page > p[dir]")?.textContent);
    return;
  }
  if (sent !== typed && act === "preview") {
    return; // typed on since: another question is on its way
  }
  const title = fresh.getElementById("form-title")?.content.textContent;
  morph(document.getElementById("deploy"), document.adoptNode(now));
  settleFields();
  search();
  document.title = title || document.title;
  document.getElementById("error-summary")?.focus();
  const added = act.startsWith("add-") ? document.querySelector(`[data-newest="${act}"]`) : null;
  added?.focus();
  if (act.startsWith("remove-")) {
    document.querySelector(`[data-after-remove="${act.split(":")[0]}"]`)?.focus();
  }
  saveDraft();
}

function unreachable(sentence = document.body.dataset.unreachable ?? "") {
  const place = document.getElementById("deploy-actions");
  place.querySelector("[data-network-error]")?.remove();
  const line = document.createElement("p");
  line.className = "field-error";
  line.dataset.networkError = "";
  line.setAttribute("role", "alert");
  line.textContent = sentence;
  place.prepend(line);
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => ask("preview"), WAIT_MS);
}

// Drafts: the named fields, for this person and this address, until the form is sent or started over.
// Fields that may hold secrets stay out of what outlives the tab.

function storeOf(kind) {
  return kind === "tab" ? sessionStorage : localStorage;
}

function saveDraft() {
  if (form().dataset.dirty === undefined || leaving) {
    return;
  }
  const pairs = [...new FormData(form())].filter(([name]) => name !== "csrfmiddlewaretoken" && name !== "act");
  try {
    storeOf(form().dataset.draftStore).setItem(draftKey(), JSON.stringify(pairs));
  } catch {
    // Storage is full or switched off: the leave warning is left.
  }
}

function readDraft() {
  try {
    return JSON.parse(storeOf(form().dataset.draftStore).getItem(draftKey()) ?? "null");
  } catch {
    return null;
  }
}

function forgetDraft() {
  try {
    storeOf(form().dataset.draftStore).removeItem(draftKey());
  } catch {
    // Nothing was kept either.
  }
}

/** Put a draft back: the server writes the form for it, as for anything that was typed. */
async function restoreDraft() {
  const pairs = readDraft();
  if (!pairs || form().dataset.dirty !== undefined) {
    return;
  }
  const base = form().elements.base?.value;
  const kept = pairs.filter(([name]) => name !== "base");
  const token = form().elements.csrfmiddlewaretoken.value;
  const body = new URLSearchParams([...kept, ["csrfmiddlewaretoken", token], ["act", "preview"]]);
  if (base) {
    body.set("base", base);
  }
  const sent = typed;
  const response = await fetch(form().getAttribute("action"), {
    method: "POST",
    body,
    headers: { "X-Slipway-Live": "all" },
  });
  if (response.ok && sent === typed) {
    await take(response, "preview", sent);
    showDraftNotice();
  }
}

function showDraftNotice() {
  const words = form().dataset;
  const notice = document.createElement("div");
  notice.className = "notice draft-notice";
  notice.setAttribute("role", "status");
  const text = document.createElement("p");
  text.textContent = `${words.draftWords} `;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-link";
  button.textContent = words.freshWords;
  button.addEventListener("click", () => {
    forgetDraft();
    leaving = true;
    location.assign(location.pathname + location.search);
  });
  text.append(button);
  notice.append(text);
  document.getElementById("notices").replaceChildren(notice);
}

// The model list: the search hides what does not match; Enter takes the first that does.

function search() {
  const box = document.getElementById("model-search");
  if (!box) {
    return;
  }
  const wanted = box.value.trim().toLowerCase().split(/\s+/);
  let shown = 0;
  for (const row of document.querySelectorAll(".model-row")) {
    row.hidden = !wanted.every((word) => row.dataset.words.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("model-none").hidden = shown > 0;
  const count = document.getElementById("model-count");
  const words = !box.value.trim() ? "" : shown === 1 ? count.dataset.one : count.dataset.many.replace("%n%", shown);
  if (count.textContent !== words) {
    count.textContent = words;
  }
}

function takeFirst() {
  const first = document.querySelector(".model-row:not([hidden]) input");
  if (first) {
    first.checked = true;
    first.focus();
    markDirty();
    ask("preview");
  }
}

function visit(name) {
  const field = document.getElementById("visited");
  const names = new Set(field.value.split(" ").filter(Boolean));
  if (!names.has(name)) {
    names.add(name);
    field.value = [...names].join(" ");
    return true;
  }
  return false;
}

/** A person who edits the document means the document, one who fills in a field means the fields. */
function noteMode(field) {
  const mode = field.name === "document" ? "json" : field.dataset.mode === "own" ? "" : "form";
  const radio = mode && document.getElementById(`mode-${mode}`);
  if (radio) {
    radio.checked = true;
  }
}

const touched = new WeakSet();

document.addEventListener("input", (event) => {
  if (event.target.id === "model-search") {
    search();
  } else if (isField(event.target)) {
    touched.add(event.target);
    noteMode(event.target);
    markDirty();
    if (!event.isComposing) {
      later();
    }
  }
});
document.addEventListener("compositionend", (event) => isField(event.target) && later());

document.addEventListener("focusout", (event) => {
  if (isField(event.target) && touched.has(event.target)) {
    visit(event.target.name);
    typed += 1;
    later();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229 || !form()) {
    return;
  }
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    ask("deploy");
  } else if (event.target.id === "model-search") {
    event.preventDefault();
    takeFirst();
  }
});

document.addEventListener("submit", (event) => {
  if (event.target !== form()) {
    return;
  }
  const button = event.submitter;
  if (button?.hasAttribute("data-leaves")) {
    leaving = true;
    forgetDraft(); // the next form holds it
    return;
  }
  event.preventDefault();
  const act = button?.value || "preview";
  if (act.startsWith("add-") || act.startsWith("remove-")) {
    markDirty();
    const mode = document.getElementById("mode-form");
    if (mode) {
      mode.checked = true;
    }
  }
  ask(act);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("#error-summary a");
  const field = link && document.getElementById(link.hash.slice(1));
  if (field) {
    event.preventDefault();
    field.focus();
  }
});

document.addEventListener("slipway:signed-in", () => {
  if (pendingAct) {
    ask(pendingAct);
    pendingAct = "";
  }
});

window.addEventListener("beforeunload", (event) => {
  if (form()?.dataset.dirty !== undefined && !leaving) {
    saveDraft();
    event.preventDefault();
  }
});

if (form()) {
  document.getElementById("error-summary")?.focus();
  search();
  const chosen = document.querySelector(".model-row input:checked")?.closest(".model-row");
  if (chosen) {
    document.getElementById("model-list").scrollTop = chosen.offsetTop - chosen.offsetHeight;
  }
  if (form().dataset.dirty !== undefined) {
    saveDraft();
  } else {
    restoreDraft().catch(() => {});
  }
}
