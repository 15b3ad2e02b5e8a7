// A service's token: fetched only when it is asked for, hidden again after a minute, put into snippets on copy.

import { copyFrom, select } from "./copy.js";
import { askToSignIn } from "./dialogs.js";

const HIDE_AFTER_MS = 60_000;
const DOTS = "••••••••••••••••";

/** The token, fetched by a form of the page and audited. `purpose` is "reveal", "copy" or "debug". */
export async function requestToken(form, purpose, wrong) {
  const data = new URLSearchParams(new FormData(form));
  data.set("purpose", purpose);
  let response;
  try {
    response = await fetch(form.action, { method: "POST", body: data, headers: { "HX-Request": "true" }, credentials: "same-origin" });
  } catch {
    throw new Error(wrong);
  }
  if (response.status === 401) {
    askToSignIn(await response.text());
  }
  if (!response.ok) {
    throw new Error(wrong);
  }
  return (await response.json()).token;
}

const fetchToken = (box, purpose) =>
  requestToken(box.querySelector("[data-reveal-token]"), purpose, box.dataset.wrong);

function hide(box) {
  const field = box.querySelector("[data-secret-field]");
  const button = box.querySelector("[data-reveal-token] button");
  clearTimeout(Number(field.dataset.timer));
  field.textContent = DOTS;
  delete field.dataset.shown;
  button.querySelector("span").textContent = button.dataset.words;
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-reveal-token]");
  if (!form) {
    return;
  }
  event.preventDefault();
  const box = form.closest("[data-invocation]");
  const field = box.querySelector("[data-secret-field]");
  const button = form.querySelector("button");
  button.dataset.words ??= button.querySelector("span").textContent;
  if ("shown" in field.dataset) {
    hide(box);
    return;
  }
  field.removeAttribute("role");
  try {
    field.textContent = await fetchToken(box, "reveal");
    field.dataset.shown = "";
    button.querySelector("span").textContent = button.dataset.hideWords;
    field.dataset.timer = setTimeout(() => hide(box), HIDE_AFTER_MS);
  } catch (error) {
    field.setAttribute("role", "alert"); // said from within the dialog: what lies outside one is not
    field.textContent = error.message;
  }
});

document.addEventListener("click", (event) => {
  const box = event.target.closest("[data-invocation]");
  if (!box) {
    return;
  }
  const copier = event.target.closest("[data-copy-token]");
  if (copier) {
    const field = box.querySelector("[data-secret-field]");
    copyFrom(copier, fetchToken(box, "copy"), (token) => {
      field.textContent = token;
      select(field);
    });
  }
  const snippet = event.target.closest("[data-copy-snippet]");
  if (snippet) {
    const source = document.getElementById(snippet.dataset.copySnippet);
    const hasToken = box.querySelector("[data-reveal-token]") && source.querySelector("[data-secret]");
    const whole = (token) => {
      const copy = source.cloneNode(true);
      for (const mark of copy.querySelectorAll("[data-secret]")) {
        mark.textContent = token;
      }
      return copy.textContent;
    };
    const text = hasToken ? fetchToken(box, "copy").then(whole) : source.textContent;
    copyFrom(snippet, text, (plain) => {
      source.textContent = plain;
      select(source);
    });
  }
});

// Snippet tabs (ARIA tabs pattern): arrows move, one tab is in the tab order.

function openTab(tab) {
  for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
    const isOpen = other === tab;
    other.setAttribute("aria-selected", String(isOpen));
    other.tabIndex = isOpen ? 0 : -1;
    const panel = document.getElementById(other.getAttribute("aria-controls"));
    panel.hidden = !isOpen;
    panel.setAttribute("role", "tabpanel");
  }
}

function enableTabs(root) {
  for (const list of root.querySelectorAll("[data-snippets] [role=tablist]")) {
    list.closest("[data-snippets]").classList.add("snippets-tabbed");
    openTab(list.querySelector("[aria-selected=true]"));
  }
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[data-snippets] [role=tab]");
  if (tab) {
    openTab(tab);
  }
});
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.("[data-snippets] [role=tab]");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (tab && step) {
    const tabs = [...tab.parentElement.querySelectorAll("[role=tab]")];
    const sign = document.documentElement.dir === "rtl" ? -1 : 1;
    const next = tabs.at((tabs.indexOf(tab) + step * sign) % tabs.length);
    openTab(next);
    next.focus();
  }
});

enableTabs(document);
document.addEventListener("htmx:after:swap", (event) => enableTabs(event.detail.ctx.target));
