// Small things of forms: show a password, select a field that is to be copied, filter a list while typing.

import { morph } from "./htmx.js";
import { listFailed, listLoaded } from "./list-error.js";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reveals]");
  if (button) {
    const field = document.getElementById(button.dataset.reveals);
    const shows = field.type === "password";
    field.type = shows ? "text" : "password";
    button.setAttribute("aria-pressed", String(shows));
  }
});

document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-selects]")) {
    event.target.select();
  }
});

// A form with data-filter-form="id" filters the part with that id while one types; the address follows.

const WAIT_MS = 250;
let timer = 0;
let running = null;

function addressOf(form) {
  const said = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(said).toString();
  return form.getAttribute("action") + (query ? `?${query}` : "");
}

async function filter(form) {
  const address = addressOf(form);
  running?.abort();
  running = new AbortController();
  try {
    const response = await fetch(address, { headers: { "X-Slipway-Live": "all" }, signal: running.signal });
    if (response.status === 401) {
      form.submit(); // to the sign-in, and back to what was typed
      return;
    }
    if (!response.ok) {
      listFailed(() => filter(form), true);
      return;
    }
    listLoaded(true);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    history.replaceState(history.state, "", address);
    for (const id of [form.dataset.filterForm, "state-filters"]) {
      const now = fresh.getElementById(id);
      if (now) {
        morph(document.getElementById(id), document.adoptNode(now));
      }
    }
    document.dispatchEvent(new CustomEvent("slipway:updated"));
  } catch (error) {
    if (error.name !== "AbortError") {
      listFailed(() => filter(form), true);
    }
  }
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-filter-form]");
  if (form && !event.isComposing) {
    clearTimeout(timer);
    timer = setTimeout(() => filter(form), WAIT_MS);
  }
});

// An address that ends in a field's id (a cure's button leads there) puts the cursor into it.
const target = location.hash ? document.getElementById(location.hash.slice(1)) : null;
if (target?.matches("input, textarea, select")) {
  target.focus();
  target.select?.();
}
