// A plain form that is on its way is not sent again: the answer to the first click may hold what is shown only once,
// and the second click would throw it away and make another. Forms that scripts send are their scripts' business.

const AGAIN_AFTER_MS = 10_000; // the answer was a download, or the person stopped the loading

// On the window, so that whoever sends the form in another way has said so before.
window.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") {
    return;
  }
  if ("sent" in form.dataset) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  setTimeout(() => delete form.dataset.sent, AGAIN_AFTER_MS);
});

window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) {
    delete form.dataset.sent;
  }
});
