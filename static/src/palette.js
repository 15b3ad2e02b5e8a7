// The palette (console.md §2): Ctrl K or ⌘ K, the ARIA combobox pattern. The server finds; here is only the choosing.

import { renewTokens } from "./csrf.js";

const WAIT_MS = 80;
const palette = document.getElementById("palette");
const input = document.getElementById("palette-q");
const list = document.getElementById("palette-options");
const note = document.getElementById("palette-note");
let timer = 0;
let asked = 0; // answers may overtake each other: only the newest question's is shown
let current = -1;

const options = () => [...list.querySelectorAll("[role=option]")];

function mark(index) {
  const all = options();
  current = all.length ? (index + all.length) % all.length : -1;
  all.forEach((option, at) => option.setAttribute("aria-selected", String(at === current)));
  if (current < 0) {
    input.removeAttribute("aria-activedescendant");
    return;
  }
  input.setAttribute("aria-activedescendant", all[current].id);
  all[current].scrollIntoView({ block: "nearest" });
}

async function ask() {
  const mine = ++asked;
  try {
    const answer = await fetch(`/palette?${new URLSearchParams({ q: input.value })}`);
    if (mine !== asked) {
      return;
    }
    if (answer.redirected) {
      location.reload(); // the session has ended: the sign-in page, and back here
      return;
    }
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    list.innerHTML = await answer.text();
    note.textContent = "";
  } catch {
    list.replaceChildren();
    note.textContent = palette.dataset.failed;
  }
  mark(0);
}

function choose(option, inNewTab) {
  const { href } = option.dataset;
  if ("post" in option.dataset) {
    const form = document.getElementById("palette-form");
    form.action = href;
    renewTokens();
    form.submit();
  } else if (inNewTab) {
    window.open(href, "_blank", "noopener");
  } else {
    palette.close();
    location.assign(href);
  }
}

function open() {
  input.value = "";
  list.replaceChildren();
  palette.showModal();
  input.focus();
  ask();
}

if (palette) {
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) {
      return;
    }
    if (palette.open) {
      event.preventDefault();
      palette.close();
    } else if (!document.querySelector("dialog[open]")) {
      event.preventDefault();
      open();
    }
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) {
      return; // an input method's own Enter and arrows
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      mark(current + step);
    } else if (event.key === "Enter" && options()[current]) {
      event.preventDefault();
      choose(options()[current], event.ctrlKey || event.metaKey);
    }
  });
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) {
      choose(option, event.ctrlKey || event.metaKey);
    }
  });
}
