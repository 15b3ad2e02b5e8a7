// Copying text, on https and on plain http alike: the result is checked, and failing is said.

import { announce } from "./announce.js";

const words = document.body.dataset;

/** Put text on the clipboard. `text` may be a promise. Resolves to whether it got there. */
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      if (text instanceof Promise && window.ClipboardItem) {
        const blob = text.then((plain) => new Blob([plain], { type: "text/plain" }));
        await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
      } else {
        await navigator.clipboard.writeText(await text);
      }
      return true;
    } catch (error) {
      if (error instanceof Error && error.name !== "NotAllowedError") {
        throw error;
      }
    }
  }
  return copyBySelection(await text);
}

function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.className = "visually-hidden keeps-spaces";
  const place = document.querySelector("dialog[open]") ?? document.body;
  const focused = document.activeElement;
  place.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}

/** Copy, and say at the button how it went. */
export async function copyFrom(button, text, fallback) {
  let copied = false;
  try {
    copied = await copyText(text);
  } catch (error) {
    tell(button, error.message || words.copyFailed);
    return;
  }
  if (copied) {
    tell(button, words.copied);
  } else {
    fallback?.(await text);
    tell(button, words.pressCopy);
  }
}

function tell(button, sentence) {
  const label = button.querySelector("span") ?? button;
  button.dataset.label ??= label.textContent;
  label.textContent = sentence;
  announce(sentence);
  clearTimeout(Number(button.dataset.timer));
  button.dataset.timer = setTimeout(() => {
    label.textContent = button.dataset.label;
  }, 2500);
}

export function select(element) {
  if (element.select) {
    element.focus();
    element.select();
  } else {
    getSelection().selectAllChildren(element);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copies]");
  if (button) {
    const source = document.getElementById(button.dataset.copies);
    copyFrom(button, source.value ?? source.textContent, () => select(source));
  }
});
