// A list that cannot be loaded says so above its old rows, with the time they are from, and can be asked for again.

let loadedAt = new Date();
let retry = null;
let isAskedFor = false; // what failed is what a person asked for: what comes or fails by itself meanwhile is not that

function note() {
  return document.getElementById("list-error");
}

/** @param byPerson whether a person asked for it; else it came by itself */
export function listLoaded(byPerson = false) {
  loadedAt = new Date();
  if (isAskedFor && !byPerson) {
    return;
  }
  isAskedFor = false;
  const place = note();
  if (place) {
    place.hidden = true;
  }
}

/** @param again what **Retry** does; @param byPerson as for `listLoaded` */
export function listFailed(again, byPerson = false) {
  const place = note();
  if (!place) {
    return;
  }
  if (byPerson || !isAskedFor) {
    retry = again;
  }
  isAskedFor ||= byPerson;
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
