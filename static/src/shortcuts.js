// Single keys (console.md §2). They are dead while typing and in dialogs, and can be switched off (WCAG 2.1.4).

const KEY = "slipway-shortcuts";
let previous = "";

function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable]") !== null;
}

function isOn() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true; // storage is blocked: the default
  }
}

function moveRow(step) {
  const names = [...document.querySelectorAll("[data-live-list] .row-name")];
  if (!names.length) {
    return;
  }
  const at = names.findIndex((name) => name.closest("tr").contains(document.activeElement));
  names[Math.min(Math.max(at + step, 0), names.length - 1)].focus();
}

const actions = {
  "/": () => (document.getElementById("list-q") ?? document.getElementById("top-search"))?.focus(),
  "?": () => document.getElementById("shortcuts")?.showModal(),
  d: () => location.assign("/deploy/llm"),
  c: () => document.getElementById("compare")?.click(),
  "g s": () => location.assign("/"),
  j: () => moveRow(1),
  k: () => moveRow(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.keyCode === 229) {
    return;
  }
  if (isTyping(event.target) || document.querySelector("dialog[open], [popover]:popover-open") || !isOn()) {
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
  box.checked = isOn();
  box.addEventListener("change", () => localStorage.setItem(KEY, box.checked ? "on" : "off"));
}
