// Instants on the reader's clock and calendar: the server's words stand there first, in UTC. Under a day they are relative
// and count on while the page is open. The exact instant with its zone shows on hover, and on focus (console.md §7).

import { count } from "./numbers.js";

const language = document.documentElement.lang;
const words = document.body.dataset;
const date = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "long" });
const DAY = 86_400;
const OTHERS = "a, button, summary, label";
const tip = document.createElement("div");
tip.className = "instant-tip";
tip.popover = "manual";
tip.setAttribute("aria-hidden", "true"); // the element's own title says the same

function relative(instant) {
  const seconds = Math.max(0, Math.floor((Date.now() - instant) / 1000));
  if (seconds >= DAY) {
    return date.format(instant);
  }
  if (seconds < 5) {
    return words.agoNow;
  }
  const [unit, passed] = seconds < 60 ? ["agoSeconds", seconds] : seconds < 3600 ? ["agoMinutes", seconds / 60] : ["agoHours", seconds / 3600];
  return words[unit].replace("%n%", count(Math.floor(passed)));
}

/** Within `root`; what comes from the server passes through here before it takes the place of what is shown. */
export function writeInstants(root) {
  for (const place of root.querySelectorAll("time[data-at]")) {
    const instant = Date.parse(place.dateTime);
    const told = exact.format(instant);
    const text = place.dataset.at === "ago" ? relative(instant) : place.dataset.at === "day" ? date.format(instant) : told;
    if (place.textContent !== text) {
      place.textContent = text;
    }
    if (place.title !== told) {
      place.title = told;
    }
    if (!place.hasAttribute("tabindex") && place.dataset.at !== "exact" && !place.closest(OTHERS)) {
      place.tabIndex = 0;
    }
  }
}

function show(place) {
  tip.textContent = place.title;
  (place.closest("dialog[open]") ?? document.body).append(tip);
  tip.showPopover();
  const at = place.getBoundingClientRect();
  const width = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(at.left, width))}px`;
  tip.style.top = `${at.bottom + 6 + tip.offsetHeight > innerHeight ? at.top - tip.offsetHeight - 6 : at.bottom + 6}px`;
}

document.addEventListener("focusin", (event) => {
  if (event.target.matches("time[data-at]:focus-visible")) {
    show(event.target);
  }
});
for (const kind of ["focusout", "scroll", "keydown"]) {
  document.addEventListener(kind, () => tip.matches(":popover-open") && tip.hidePopover(), true);
}
document.addEventListener("htmx:after:swap", () => writeInstants(document));
setInterval(() => writeInstants(document), 1000);
writeInstants(document);
