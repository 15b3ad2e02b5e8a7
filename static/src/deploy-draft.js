// Drafts: the named fields, for this person and this address, until the form is sent or started over.
// Fields that may hold secrets stay out of what outlives the tab.

const UNKEPT = new Set(["csrfmiddlewaretoken", "act", "file"]);

const keyOf = (form) => `slipway-draft ${form.dataset.draft}`;
const storeOf = (form) => (form.dataset.draftStore === "tab" ? sessionStorage : localStorage);

export function keepDraft(form) {
  const pairs = [...new FormData(form)].filter(([name]) => !UNKEPT.has(name));
  try {
    storeOf(form).setItem(keyOf(form), JSON.stringify(pairs));
  } catch {
    // Storage is full or switched off: the leave warning is left.
  }
}

/** The kept fields as pairs; null where there are none. */
export function readDraft(form) {
  try {
    return JSON.parse(storeOf(form).getItem(keyOf(form)) ?? "null");
  } catch {
    return null;
  }
}

export function forgetDraft(form) {
  try {
    storeOf(form).removeItem(keyOf(form));
  } catch {
    // Nothing was kept either.
  }
}

/** Says that the form is a draft's, with a way to start over. */
export function showDraftNotice(form, startOver) {
  const words = form.dataset;
  const notice = document.createElement("div");
  notice.className = "notice draft-notice";
  notice.setAttribute("role", "status");
  const text = document.createElement("p");
  text.textContent = `${words.draftWords} `;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-link";
  button.textContent = words.freshWords;
  button.addEventListener("click", startOver);
  text.append(button);
  notice.append(text);
  document.getElementById("notices").replaceChildren(notice);
}
