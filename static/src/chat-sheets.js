// The two panels beside the transcript. Where there is room they stand in the page, and their buttons fold them;
// on a narrow page they are modal sheets. Both are <dialog>: the browser keeps focus and Esc right.

const ROOMY = { conversations: "(width >= 900px)", parameters: "(width >= 1440px)" };
const KEY = "slipway:chat-panel:";

export function wireSheets(root) {
  const panels = Object.keys(ROOMY).map((name) => {
    const panel = root.querySelector(`#${name}`);
    const button = root.querySelector(`[data-toggles="${name}"]`);
    const roomy = matchMedia(ROOMY[name]);
    const isWanted = () => (localStorage.getItem(KEY + name) ?? (name === "conversations" ? "open" : "")) === "open";
    const show = () => {
      button.setAttribute("aria-expanded", String(panel.open));
    };
    const settle = () => {
      if (panel.open) {
        panel.close();
      }
      if (roomy.matches && isWanted()) {
        panel.show();
      }
      show();
    };
    const open = () => {
      if (roomy.matches) {
        localStorage.setItem(KEY + name, "open");
        panel.show();
      } else if (!panel.open) {
        panel.showModal();
      }
      show();
    };
    const close = () => {
      if (roomy.matches) {
        localStorage.setItem(KEY + name, "closed");
      }
      panel.close();
      show();
      button.focus();
    };
    button.addEventListener("click", () => (panel.open ? close() : open()));
    panel.querySelector("[data-folds]").addEventListener("click", close);
    panel.addEventListener("close", show);
    panel.addEventListener("click", (event) => {
      if (event.target === panel && panel.matches(":modal")) {
        close(); // the backdrop
      }
    });
    roomy.addEventListener("change", settle);
    const focused = document.activeElement;
    settle();
    focused?.focus?.(); // show() takes the focus
    return [name, { open }];
  });
  const byName = Object.fromEntries(panels);
  return { open: (name) => byName[name].open() };
}
