// The bell: how many notices are unread, and the newest of them. It looks when a hint says that there is one, when the
// socket is back, and when it is unfolded. What happens to the service whose page is open is read at once.

import { announce } from "./announce.js";
import { csrfToken } from "./csrf.js";

const button = document.getElementById("bell");
const menu = document.getElementById("bell-menu");
const count = document.getElementById("bell-count");
const page = document.getElementById("content")?.dataset.livePage ?? "";
const service = page.startsWith("service:") ? page.slice("service:".length) : "";
let newest = null;

async function fetchBell(what) {
  const isRead = what !== undefined;
  try {
    const response = await fetch(isRead ? "/notices/read" : "/notices/bell", {
      method: isRead ? "POST" : "GET",
      headers: { "X-Slipway-Bell": "1", "X-CSRFToken": csrfToken() },
      body: isRead ? new URLSearchParams(what) : undefined,
      credentials: "same-origin",
    });
    if (response.ok && !response.redirected) {
      show(new DOMParser().parseFromString(await response.text(), "text/html").getElementById("bell-list"));
    }
  } catch {
    // The server cannot be reached: looked again when it is back.
  }
}

function show(fresh) {
  if (!fresh) {
    return;
  }
  const focused = menu.contains(document.activeElement);
  document.getElementById("bell-list").replaceWith(document.adoptNode(fresh));
  count.hidden = fresh.dataset.unread === "0";
  count.textContent = fresh.dataset.shown;
  button.setAttribute("aria-label", fresh.dataset.label);
  if (focused) {
    menu.querySelector("a, button")?.focus();
  }
}

/** Say the newest aloud, once, where it came while the page was open. */
function sayNewest() {
  const { newest: words, newestId } = document.getElementById("bell-list").dataset;
  if (words && newestId !== newest) {
    newest = newestId;
    announce(words);
  }
}

async function look() {
  if (service && !document.hidden) {
    await fetchBell({ service });
  } else {
    await fetchBell();
  }
  sayNewest();
}

if (button && menu) {
  menu.addEventListener("toggle", (event) => {
    if (event.newState === "open") {
      fetchBell();
    }
  });
  menu.addEventListener("submit", (event) => {
    event.preventDefault();
    fetchBell({});
  });
  document.addEventListener("slipway:hint", (event) => {
    if (event.detail.topic === "notices") {
      look();
    }
  });
  document.addEventListener("slipway:live", (event) => {
    if (event.detail.back) {
      fetchBell();
    }
  });
  if (service && document.getElementById("bell-list").dataset.unread !== "0") {
    fetchBell({ service });
  }
}
