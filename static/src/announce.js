// Tells screen readers what just happened, politely. What lies outside a modal dialog is read to nobody, so while one
// is open its words stand within it.

export function announce(sentence) {
  const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
  const place = dialog ? announcerOf(dialog) : document.getElementById("announcer");
  if (place) {
    place.textContent = "";
    requestAnimationFrame(() => {
      place.textContent = sentence;
    });
  }
}

function announcerOf(dialog) {
  const there = dialog.querySelector(":scope > [data-announcer]");
  if (there) {
    return there;
  }
  const place = document.createElement("p");
  place.className = "visually-hidden";
  place.dataset.announcer = "";
  place.setAttribute("role", "status");
  dialog.append(place);
  return place;
}
