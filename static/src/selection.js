// Rows that are selected in a list. What is selected is known by name, outside the rows: it outlives their morphing,
// another page, another order and another filter; the browser's tab forgets it when it closes.

import { announce } from "./announce.js";

const KEY = "slipway-selection";
const bar = document.getElementById("bulk");
const names = new Map(); // name → the actions that would change something of it
let all = null; // the address whose every match is selected, or null
let lastClicked = null;
let refused = null; // the button that was pressed in vain; its reason stands until it could act, or another is selected

const format = new Intl.NumberFormat(document.documentElement.lang);
const rows = () => document.getElementById("rows");
const boxes = () => [...document.querySelectorAll("#rows .cell-select input:not(:disabled)")];

/** What the address filters by, without order and page. */
function filterOf() {
  const query = new URLSearchParams(location.search);
  for (const name of ["sort", "page", "rows", "column"]) {
    query.delete(name);
  }
  return query.toString();
}

function remember() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ names: [...names], all }));
  } catch {
    // storage is blocked: for this page only
  }
}

function recall() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
    for (const [name, can] of kept.names ?? []) {
      names.set(name, can);
    }
    all = kept.all ?? null;
  } catch {
    // nothing was kept
  }
}

function clear() {
  names.clear();
  all = null;
  show();
}

/** Make the page agree with what is selected. */
function show() {
  if (all !== null && all !== filterOf()) {
    all = null;
    names.clear();
  }
  const total = Number(rows()?.dataset.total ?? 0);
  for (const box of boxes()) {
    box.checked = all !== null || names.has(box.value);
    if (box.checked) {
      names.set(box.value, box.dataset.can);
    }
    box.closest("tr").classList.toggle("is-selected", box.checked);
  }
  const checked = boxes().filter((box) => box.checked).length;
  const head = document.querySelector("[data-select-page]");
  if (head) {
    head.checked = checked > 0 && checked === boxes().length;
    head.indeterminate = checked > 0 && !head.checked;
  }
  const count = all === null ? names.size : total;
  bar.classList.toggle("is-on", count > 0);
  document.documentElement.toggleAttribute("data-bulk", count > 0);
  const words = count === 1 ? bar.dataset.one : bar.dataset.many.replace("%n%", format.format(count));
  const place = bar.querySelector("[data-bulk-count]");
  if (place.textContent !== words) {
    place.textContent = count ? words : "";
  }
  const more = bar.querySelector("[data-bulk-all]");
  more.hidden = all !== null || !head?.checked || total <= boxes().length;
  more.textContent = bar.dataset.allWords.replace("%n%", format.format(total));
  bar.elements.all.checked = all !== null;
  bar.elements.names.value = all === null ? [...names.keys()].join(" ") : "";
  for (const button of bar.querySelectorAll("[name=action]")) {
    const can = all !== null || [...names.values()].some((some) => some.split(" ").includes(button.value));
    button.toggleAttribute("data-cannot", !can);
    button.setAttribute("aria-disabled", String(!can));
    button.title = can ? "" : bar.getAttribute(`data-cannot-${button.value}`);
  }
  refused = refused?.matches("[data-cannot]") && count > 0 ? refused : null;
  bar.querySelector("[data-bulk-reason]").hidden = refused === null;
  remember();
}

function select(box, isOn) {
  refused = null;
  if (isOn) {
    names.set(box.value, box.dataset.can);
  } else {
    names.delete(box.value);
    all = null;
  }
}

function clicked(box, extends_) {
  const list = boxes();
  const from = extends_ ? list.findIndex((one) => one.value === lastClicked) : -1;
  const to = list.indexOf(box);
  const some = from < 0 ? [box] : list.slice(Math.min(from, to), Math.max(from, to) + 1);
  for (const one of some) {
    select(one, box.checked);
  }
  lastClicked = box.value;
  show();
}

if (bar) {
  recall();
  show();
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.(".cell-select input");
    if (box?.matches("[data-select-page]")) {
      for (const one of boxes()) {
        select(one, box.checked);
      }
      show();
    } else if (box && box.form === bar) {
      clicked(box, event.shiftKey);
    }
  });
  bar.querySelector("[data-bulk-all]").addEventListener("click", () => {
    all = filterOf();
    show();
    bar.querySelector("[data-bulk-clear]").focus();
  });
  bar.querySelector("[data-bulk-clear]").addEventListener("click", () => {
    clear();
    document.querySelector("[data-select-page]")?.focus();
  });
  bar.addEventListener(
    "click",
    (event) => {
      const button = event.target.closest("[data-cannot]");
      if (button) {
        event.preventDefault();
        event.stopPropagation();
        const place = bar.querySelector("[data-bulk-reason]");
        place.textContent = button.title;
        place.hidden = false;
        refused = button;
      }
    },
    true,
  );
  document.addEventListener("slipway:updated", show);
  document.addEventListener("slipway:bulk-done", (event) => {
    announce(event.detail.said);
    clear();
  });
}
