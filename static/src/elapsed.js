// What passes while a page is open, without asking the server: seconds since an instant (data-since), and words that
// begin or cease to hold at one (data-show-at, data-hide-at).

import { elapsed } from "./numbers.js";

function tick() {
  const now = Date.now();
  for (const place of document.querySelectorAll("[data-since]")) {
    const text = elapsed(Math.max(0, Math.floor((now - Date.parse(place.dataset.since)) / 1000)));
    if (place.textContent !== text) {
      place.textContent = text;
    }
  }
  for (const place of document.querySelectorAll("[data-show-at]")) {
    place.hidden = now < Date.parse(place.dataset.showAt);
  }
  for (const place of document.querySelectorAll("[data-hide-at]")) {
    place.hidden = now >= Date.parse(place.dataset.hideAt);
  }
}

setInterval(tick, 1000);
tick();
