// Single keys (console.md §2). They are dead while typing and in dialogs, and can be switched off (WCAG 2.1.4): a
// preference of the person, which the server writes into the page.

let previous = "";

/** Whether the key is typed into something; the document's editor lives in a shadow root. */
function isTyping(event) {
  const [target] = event.composedPath();
  return target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]") !== null;
}

const isOn = () => !("noSingleKeys" in document.body.dataset);

function moveRow(step) {
  const names = [...document.querySelectorAll("[data-live-list] .row-name")];
  if (!names.length) {
    return;
  }
  const at = names.findIndex((name) => name.closest("tr").contains(document.activeElement));
  names[Math.min(Math.max(at + step, 0), names.length - 1)].focus();
}

/** The next or the one before of what a page unfolds one at a time. */
function unfold(step) {
  const heads = [...document.querySelectorAll("[data-walk]")];
  if (!heads.length) {
    return;
  }
  const at = heads.findIndex((head) => head.parentElement.open);
  const head = heads[Math.min(Math.max(at + step, 0), heads.length - 1)];
  head.parentElement.open = true;
  head.focus();
}

/** Select or unselect the service of the row that has the focus. */
function toggleRow() {
  document.activeElement.closest("tr[data-name]")?.querySelector(".cell-select input:not(:disabled)")?.click();
}

const actions = {
  n: () => unfold(1),
  p: () => unfold(-1),
  "/": () => (document.getElementById("list-q") ?? document.getElementById("top-search"))?.focus(),
  "?": () => document.getElementById("shortcuts")?.showModal(),
  d: () => location.assign("/deploy/llm"),
  f: () => document.querySelector("[data-log-follow]")?.click(),
  c: () => document.getElementById("compare")?.click(),
  "g s": () => location.assign("/"),
  "g c": () => location.assign("/clusters"),
  j: () => moveRow(1),
  k: () => moveRow(-1),
  x: toggleRow,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.keyCode === 229) {
    return;
  }
  if (isTyping(event) || document.querySelector("dialog[open], [popover]:popover-open") || !isOn()) {
    previous = "";
    return;
  }
  const action = actions[`${previous} ${event.key}`] ?? actions[event.key];
  previous = event.key;
  if (action && document.getElementById("content")) {
    event.preventDefault();
    action();
  }
});

for (const box of document.querySelectorAll("[data-shortcuts-switch]")) {
  box.addEventListener("change", async () => {
    document.body.toggleAttribute("data-no-single-keys", !box.checked);
    const { action } = box.form;
    const response = await fetch(action, { method: "POST", body: new FormData(box.form), headers: { "HX-Request": "true" } }).catch(() => null);
    if (!response?.ok) {
      box.form.querySelector("[data-not-kept]").hidden = false; // it holds for this page
    }
  });
}
