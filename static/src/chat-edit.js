// A question changed where it stands. It is asked again beside the old one, which keeps its answers.

import { isEnterToSend } from "./chat-composer.js";

const KEY = "slipway:edit:";

// ``onSend`` gets the new text. What is typed is kept until then, over a reload too.
export function editQuestion(turn, { settings, onSend, text }) {
  const box = turn.element.querySelector(".question");
  const open = box.querySelector(".question-edit textarea");
  if (open) {
    open.focus();
    return;
  }
  const key = KEY + turn.element.dataset.key;
  const form = document.getElementById("edit-template").content.firstElementChild.cloneNode(true);
  const area = form.elements.text;
  area.value = text ?? sessionStorage.getItem(key) ?? turn.question;
  const close = () => {
    sessionStorage.removeItem(key);
    form.remove();
    box.classList.remove("is-edited");
  };
  const fit = () => {
    area.style.blockSize = "auto";
    area.style.blockSize = `${area.scrollHeight + 2}px`;
  };
  area.addEventListener("input", () => {
    sessionStorage.setItem(key, area.value);
    fit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (area.value.trim()) {
      close();
      onSend(area.value);
    } else {
      area.focus();
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing && event.keyCode !== 229) {
      event.stopPropagation();
      close();
      box.querySelector("[data-edit]").focus();
    } else if (event.target === area && isEnterToSend(event, settings())) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.querySelector("[data-cancel-edit]").addEventListener("click", () => {
    close();
    box.querySelector("[data-edit]").focus();
  });
  box.classList.add("is-edited");
  box.append(form);
  fit();
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
  form.scrollIntoView({ block: "nearest" });
}
