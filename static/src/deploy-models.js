// The model list of the LLM form: the search hides what does not match.

/** Show the models that the search box asks for; nothing where the page has no list. */
export function searchModels() {
  const box = document.getElementById("model-search");
  if (!box) {
    return;
  }
  const wanted = box.value.trim().toLowerCase().split(/\s+/);
  let shown = 0;
  for (const row of document.querySelectorAll(".model-row")) {
    row.hidden = !wanted.every((word) => row.dataset.words.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("model-none").hidden = shown > 0;
  const count = document.getElementById("model-count");
  const words = !box.value.trim() ? "" : shown === 1 ? count.dataset.one : count.dataset.many.replace("%n%", shown);
  if (count.textContent !== words) {
    count.textContent = words;
  }
}

/** The first model that is shown, as its radio button. */
export function firstModel() {
  return document.querySelector(".model-row:not([hidden]) input");
}

export function scrollToChosenModel() {
  const chosen = document.querySelector(".model-row input:checked")?.closest(".model-row");
  if (chosen) {
    document.getElementById("model-list").scrollTop = chosen.offsetTop - chosen.offsetHeight;
  }
}
