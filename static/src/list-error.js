// A list that cannot be loaded says so above its old rows, with the time they are from, and can be asked for again.

let loadedAt = new Date();
let retry = null;

function note() {
  return document.getElementById("list-error");
}

export function listLoaded() {
  loadedAt = new Date();
  const place = note();
  if (place) {
    place.hidden = true;
  }
}

/** @param again what **Retry** does */
export function listFailed(again) {
  const place = note();
  if (!place) {
    return;
  }
  retry = again;
  const time = loadedAt.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
  const words = place.dataset.words.replace("%time%", time);
  if (place.hidden || place.firstElementChild.textContent !== words) {
    place.firstElementChild.textContent = words;
    place.hidden = false;
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("#list-error button")) {
    retry?.();
  }
});
