// How the log looks: switches that the browser remembers.

/** What was remembered, or null: also where storage is blocked. */
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** A button that is pressed or not; `change` is told now and with every press. */
export function toggle(button, key, isOn, change) {
  const set = (value) => {
    button.setAttribute("aria-pressed", String(value));
    change(value);
  };
  set(isOn);
  button.addEventListener("click", () => {
    const value = button.getAttribute("aria-pressed") !== "true";
    set(value);
    try {
      localStorage.setItem(key, value ? "1" : "0");
    } catch {
      // storage is blocked: for this page only
    }
  });
}
