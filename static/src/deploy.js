// The deployment forms: worked out anew 300 ms after typing, drafts, leave warning, Ctrl+Enter.
//
// The server decides everything. What one is typing in is never overwritten: an answer to what is no longer
// on the page is thrown away, and of a newer one the focused field takes nothing.

import { renewTokens } from "./csrf.js";
import { forgetDraft, keepDraft, readDraft, showDraftNotice } from "./deploy-draft.js";
import { firstModel, scrollToChosenModel, searchModels } from "./deploy-models.js";
import { askToSignIn } from "./dialogs.js";
import { morph } from "./htmx.js";

const WAIT_MS = 300;
const form = () => document.getElementById("deploy-form");
let typed = 0; // counts what was changed
let timer = 0;
let running = null;
let leaving = false;
let pendingAct = "";
let editor = null; // a promise of the document's editor, once there is one on the page

const MAX_FILE_BYTES = 1_048_576;

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

/** The form's fields; a file only when it is asked for, and no more of it than the server would read. */
function fieldsToSend(act) {
  const body = new FormData(form());
  body.delete("act");
  body.set("act", act);
  const file = body.get("file");
  body.delete("file");
  if (act === "import" && file?.name) {
    body.set("file", file.slice(0, MAX_FILE_BYTES + 1), file.name);
  }
  return form().enctype === "multipart/form-data" ? body : new URLSearchParams([...body]);
}

async function ask(act) {
  clearTimeout(timer);
  running?.abort();
  running = new AbortController();
  const sent = typed;
  renewTokens();
  const body = fieldsToSend(act);
  form().setAttribute("aria-busy", "true");
  let response, text;
  try {
    response = await fetch(form().getAttribute("action"), {
      method: "POST",
      body,
      headers: { "X-Slipway-Live": "all" },
      signal: running.signal,
    });
    text = await response.text(); // a newer question, or a lost connection, may end this too
  } catch (error) {
    if (error.name !== "AbortError") {
      form().removeAttribute("aria-busy");
      unreachable();
    }
    return;
  }
  await take(response, text, act, sent);
}

async function take(response, text, act, sent) {
  form().removeAttribute("aria-busy");
  if (response.status === 401) {
    pendingAct = act;
    askToSignIn(text);
    return;
  }
  if (response.status === 201) {
    leaving = true;
    forgetDraft(form());
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
  searchModels();
  await openEditor();
  document.title = title || document.title;
  nameView();
  document.getElementById("error-summary")?.focus();
  if (act !== "preview" && act !== "undo") {
    document.getElementById("starters")?.removeAttribute("open");
  }
  if (act === "undo" || act.startsWith("starter:") || act === "import") {
    (document.getElementById("undo") ?? document.querySelector('.segment[aria-pressed="true"]'))?.focus();
  }
  const added = act.startsWith("add-") ? document.querySelector(`[data-newest="${act}"]`) : null;
  added?.focus();
  if (act.startsWith("remove-")) {
    document.querySelector(`[data-after-remove="${act.split(":")[0]}"]`)?.focus();
  }
  saveDraft();
}

/** The address names the view, so that a reload and a link open it again. */
function nameView() {
  const view = document.getElementById("view")?.value;
  const address = new URL(location.href);
  if (view && view !== (address.searchParams.get("view") ?? "form")) {
    address.searchParams.set("view", view);
    history.replaceState(history.state, "", address);
  }
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

function saveDraft() {
  if (form().dataset.dirty !== undefined && !leaving) {
    keepDraft(form());
  }
}

function startOver() {
  forgetDraft(form());
  leaving = true;
  location.assign(location.pathname + location.search);
}

/** Put a draft back: the server writes the form for it, as for anything that was typed. */
async function restoreDraft() {
  const pairs = readDraft(form());
  if (!pairs || form().dataset.dirty !== undefined) {
    return;
  }
  // The version that the edit began with comes back too: whoever saved another since is not overwritten unseen.
  const token = form().elements.csrfmiddlewaretoken.value;
  const body = new URLSearchParams([...pairs, ["csrfmiddlewaretoken", token], ["act", "preview"]]);
  const sent = typed;
  const response = await fetch(form().getAttribute("action"), {
    method: "POST",
    body,
    headers: { "X-Slipway-Live": "all" },
  }).catch(() => null);
  if (response?.ok && sent === typed) {
    await take(response, await response.text(), "preview", sent);
    showDraftNotice(form(), startOver);
  }
}

/** Enter in the search takes the first model that matches. */
function takeFirst() {
  const first = firstModel();
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

// The editor of the document: loaded once there is one; where that fails, the textarea stays.

async function openEditor() {
  const host = document.getElementById("editor");
  if (!host) {
    editor = null;
    return;
  }
  const words = JSON.parse(document.getElementById("editor-words").textContent);
  editor ??= import("./editor.js").then((loaded) => loaded.mountEditor(host, words));
  try {
    await (await editor).sync();
  } catch (error) {
    console.error(error);
    editor = null; // the next look tries again
    host.shadowRoot?.replaceChildren();
    delete host.dataset.ready;
  }
}

/** To a field, or to a line of the document. */
async function goTo(link) {
  const field = document.getElementById(link.hash.slice(1));
  const open = field?.id === "f-document" && document.getElementById("editor")?.dataset.ready !== undefined;
  if (open) {
    (await editor).focusAt({ line: link.dataset.line ?? 1, column: link.dataset.column ?? 1 });
  } else if (field?.id === "f-document" && link.dataset.line) {
    const lines = field.value.split("\n").slice(0, Number(link.dataset.line) - 1);
    const at = lines.reduce((sum, one) => sum + one.length + 1, 0) + Number(link.dataset.column) - 1;
    field.focus();
    field.setSelectionRange(at, at);
  } else {
    field?.focus();
  }
}

/** F8 and Shift F8 among the fields that are wrong; in the document the editor does it. */
function toNextError(step) {
  const wrong = [...form().querySelectorAll("[aria-invalid='true']")].filter((one) => one.checkVisibility());
  if (wrong.length === 0) {
    return false;
  }
  const now = wrong.indexOf(document.activeElement);
  wrong[(now + step + wrong.length + (now < 0 && step < 0 ? 1 : 0)) % wrong.length].focus();
  return true;
}

const touched = new WeakSet();

document.addEventListener("input", (event) => {
  if (event.target.id === "model-search") {
    searchModels();
  } else if (isField(event.target)) {
    if (event.target.type === "file") {
      markDirty();
      ask("import");
      return;
    }
    touched.add(event.target);
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
  if (event.key === "F8" && form() && !event.defaultPrevented && event.target.id !== "editor") {
    if (toNextError(event.shiftKey ? -1 : 1)) {
      event.preventDefault();
    }
    return;
  }
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
    forgetDraft(form()); // the next form holds it
    return;
  }
  event.preventDefault();
  const act = button?.value || "preview";
  if (act !== "preview" && act !== "deploy" && act !== "check-access") {
    markDirty();
  }
  ask(act);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("#error-summary a, #document-errors a, #notes a, #effect a");
  if (link && document.getElementById(link.hash.slice(1))) {
    event.preventDefault();
    goTo(link);
  }
});

// A file that is dropped anywhere on the form is imported.
document.addEventListener("dragover", (event) => {
  if (document.getElementById("f-file") && event.dataTransfer?.types.includes("Files")) {
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  }
});
document.addEventListener("drop", (event) => {
  const field = document.getElementById("f-file");
  if (field && event.dataTransfer?.files.length > 0) {
    event.preventDefault();
    field.files = event.dataTransfer.files;
    markDirty();
    ask("import");
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
  searchModels();
  openEditor().then(() => location.hash === "#f-document" && goTo({ hash: location.hash, dataset: {} }));
  scrollToChosenModel();
  if (form().dataset.dirty !== undefined) {
    saveDraft();
  } else {
    restoreDraft().catch(() => {});
  }
}
