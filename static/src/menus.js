// Menus are native popovers. Here: their place where CSS anchors are missing, and arrow keys.

const ITEMS = "a, button, input:not([type=hidden])";
const hasAnchors = CSS.supports("position-area", "block-end");

document.addEventListener(
  "toggle",
  (event) => {
    const menu = event.target;
    if (!(menu instanceof Element) || !menu.matches(".menu-list[popover]") || event.newState !== "open") {
      return;
    }
    const button = document.querySelector(`[popovertarget="${menu.id}"]`);
    if (!button) {
      return;
    }
    if (menu.dataset.menuAddress) {
      fill(menu, button);
      return;
    }
    show(menu, button);
  },
  true,
);

function show(menu, button) {
  if (!hasAnchors) {
    place(menu, button);
  }
  if (button.matches(":focus-visible")) {
    menu.querySelector(ITEMS)?.focus();
  }
}

/** A menu that is fetched when it opens; where that fails, its button's page does. */
async function fill(menu, button) {
  try {
    const response = await fetch(menu.dataset.menuAddress, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
    if (!response.ok) {
      throw new TypeError(response.statusText);
    }
    menu.innerHTML = await response.text();
    show(menu, button);
  } catch {
    location.assign(menu.dataset.menuPage);
  }
}

function place(menu, button) {
  const at = button.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const below = at.bottom + size.height + 8 < innerHeight;
  const isRtl = getComputedStyle(button).direction === "rtl";
  const left = isRtl ? at.left : at.right - size.width;
  menu.style.top = `${below ? at.bottom : Math.max(8, at.top - size.height - 8)}px`;
  menu.style.left = `${Math.min(Math.max(8, left), innerWidth - size.width - 8)}px`;
}

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.(".menu-list[popover]");
  if (!menu || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
    return;
  }
  event.preventDefault();
  const items = [...menu.querySelectorAll(ITEMS)];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  items.at(next % items.length)?.focus();
});

if (!hasAnchors) {
  addEventListener("scroll", () => document.querySelector(".menu-list:popover-open")?.hidePopover(), { passive: true });
}
