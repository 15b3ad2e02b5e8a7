// Links with data-dialog show their page as a native dialog; what is done there is told by slipway:done.
// The same addresses are whole pages without scripts.

import { announce } from "./announce.js";
import { csrfToken } from "./csrf.js";
import htmx from "./htmx.js";
import { refresh } from "./live.js";

const dialog = document.getElementById("dialog");
const body = document.getElementById("dialog-body");
const sessionDialog = document.getElementById("session-dialog");
const sessionBody = document.getElementById("session-body");
let openerId = "";
let opener = null;
let unfinished = null; // the request that met an ended session

function isPlainClick(event) {
  return event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
}

/** What gets the focus back: the control itself, or the button of the menu it lies in. */
function openerOf(element) {
  const menu = element.closest("[popover]");
  return menu ? document.querySelector(`[popovertarget="${menu.id}"]`) : element;
}

document.addEventListener("click", (event) => {
  const closer = event.target.closest("[data-closes]");
  if (closer && closer.closest("dialog")) {
    event.preventDefault();
    closer.closest("dialog").close();
    return;
  }
  const switcher = event.target.closest("[data-open-dialog]");
  if (switcher) {
    document.getElementById(switcher.dataset.openDialog)?.showModal();
    return;
  }
  const link = event.target.closest("a[data-dialog]");
  if (!link || !dialog || !isPlainClick(event)) {
    return;
  }
  event.preventDefault();
  remember(link);
  dialog.classList.toggle("dialog-wide", link.dataset.dialog === "wide");
  const address = new URL(link.href);
  htmx.ajax("GET", address.pathname + address.search, { target: body, swap: "innerHTML", source: link });
});

function remember(element) {
  if (!dialog.open) {
    opener = openerOf(element);
    openerId = opener?.id ?? "";
  }
  element.closest("[popover]")?.hidePopover();
}

document.addEventListener("htmx:before:request", (event) => {
  const source = event.detail.ctx.sourceElement;
  if (dialog && event.detail.ctx.target === body && source instanceof Element && !dialog.contains(source)) {
    remember(source);
  }
});

// An ended session answers 401 with the sign-in form: it goes over the page, whatever the request was for.
document.addEventListener("htmx:after:request", (event) => {
  const { ctx } = event.detail;
  if (ctx.response.status === 401 && sessionBody) {
    unfinished = ctx.sourceElement;
    ctx.target = sessionBody;
    ctx.swap = "innerHTML";
  }
});

/** Show the sign-in form that a live refetch was answered with. */
export function askToSignIn(html) {
  if (!sessionBody || sessionDialog.open) {
    return;
  }
  unfinished = null;
  sessionBody.innerHTML = html;
  htmx.process(sessionBody);
  show(sessionDialog);
}

document.addEventListener("htmx:after:swap", (event) => {
  const { target } = event.detail.ctx;
  if (target === body) {
    show(dialog);
  } else if (target === sessionBody) {
    show(sessionDialog);
  }
});

function show(which) {
  if (!which.open) {
    which.showModal();
  }
  const name = which === sessionDialog ? which.querySelector("[name=username]") : null;
  if (name && !name.value) {
    name.value = which.dataset.userName; // who was signed in when the page was made
    which.querySelector("[name=password]").focus();
    return;
  }
  (which.querySelector("[autofocus]") ?? which.querySelector("input, select, button, a"))?.focus();
}

dialog?.addEventListener("close", () => {
  body.replaceChildren();
  const back = opener?.isConnected ? opener : document.getElementById(openerId);
  back?.focus();
});

// A session is of all tabs: once the person has signed in in another one, there is nothing left to ask here. Not asked
// while hidden, so that what goes on then goes on before the person's eyes. Somebody else's session changes nothing.
const LOOK_FOR_SESSION_MS = 2_000;

async function lookForSession() {
  if (!sessionDialog?.open || document.hidden) {
    return;
  }
  try {
    const response = await fetch("/sign-in", { headers: { "X-Slipway-Live": "all" } });
    if (response.headers.get("X-Slipway-Person") === sessionDialog.dataset.person && sessionDialog.open) {
      document.dispatchEvent(new CustomEvent("slipway:signed-in", { detail: { csrf: csrfToken() } }));
    }
  } catch {
    // The server cannot be reached: asked again soon.
  }
}

if (sessionDialog) {
  document.addEventListener("visibilitychange", lookForSession);
  window.addEventListener("focus", lookForSession);
  setInterval(lookForSession, LOOK_FOR_SESSION_MS);
}

document.addEventListener("slipway:signed-in", (event) => {
  if ("person" in event.detail && event.detail.person !== sessionDialog.dataset.person) {
    location.reload(); // somebody else now: neither what is shown nor what was begun is theirs
    return;
  }
  for (const input of document.querySelectorAll("input[name=csrfmiddlewaretoken]")) {
    input.value = event.detail.csrf;
  }
  sessionDialog.close();
  sessionBody.replaceChildren();
  const again = unfinished;
  unfinished = null;
  if (again instanceof HTMLFormElement && again.isConnected) {
    again.requestSubmit();
  } else if (again instanceof HTMLAnchorElement && again.isConnected) {
    again.click();
  } else {
    document.dispatchEvent(new CustomEvent("slipway:reconnect"));
  }
});

document.addEventListener("slipway:done", (event) => {
  const { service, said, next } = event.detail;
  dialog?.close();
  announce(said);
  const page = document.getElementById("content")?.dataset.livePage;
  if (next && page !== "services" && next !== location.pathname) {
    location.assign(next);
  } else if (!page || page === "members") {
    location.reload(); // nothing here refreshes by itself, or what the person did may move rows
  } else {
    refresh(service);
  }
});

// The server cannot be reached: say so at the form, keep what was typed.
document.addEventListener("htmx:error", (event) => {
  const source = event.detail.ctx?.sourceElement;
  const form = source instanceof Element ? source.closest("form") : null;
  const sentence = document.body.dataset.unreachable ?? "";
  if (form && sentence) {
    form.querySelector("[data-network-error]")?.remove();
    const line = document.createElement("p");
    line.className = "field-error";
    line.dataset.networkError = "";
    line.setAttribute("role", "alert");
    line.textContent = sentence;
    form.append(line);
  }
});
document.addEventListener("htmx:before:request", (event) => {
  event.detail.ctx.sourceElement?.querySelector?.("[data-network-error]")?.remove();
});
