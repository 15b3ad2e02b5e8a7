// Strips of links that scroll sideways on a narrow screen: what has the focus, and what is current, is whole in view.
// Browsers leave a link that is half in view where it is.

const STRIPS = ".tabs, .filters";

function bringIntoView(link) {
  const strip = link.closest(STRIPS);
  const own = strip.getBoundingClientRect();
  const box = link.getBoundingClientRect();
  if (box.right > own.right) {
    strip.scrollLeft += box.right - own.right;
  } else if (box.left < own.left) {
    strip.scrollLeft -= own.left - box.left;
  }
}

document.addEventListener("focusin", (event) => {
  if (event.target.closest(STRIPS)) {
    bringIntoView(event.target);
  }
});

for (const strip of document.querySelectorAll(STRIPS)) {
  const current = strip.querySelector("[aria-current]");
  if (current) {
    bringIntoView(current);
  }
}
