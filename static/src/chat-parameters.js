// The panel of parameters: what differs from the service's defaults goes with each message, and is kept with
// the conversation by the server.

import { Presets } from "./chat-presets.js";
import { csrfToken } from "./csrf.js";

export class Parameters {
  // ``draftKey`` names the draft of the conversation on the page.
  constructor(form, draftKey) {
    this.form = form;
    this.draftKey = draftKey;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      this.#clearError(event.target);
      this.#mark();
      this.#keep();
    });
    form.addEventListener("click", (event) => {
      const name = event.target.closest("[data-reset]")?.dataset.reset;
      if (name !== undefined) {
        this.#reset(name ? [form.elements[name]] : this.fields);
      }
    });
    this.#restore();
    for (const box of form.querySelectorAll("[data-setting]")) {
      box.addEventListener("change", () => this.#keepSettings());
    }
    this.#mark();
    new Presets(form.querySelector("#presets"), form.elements.system_prompt);
  }

  get fields() {
    return [...this.form.elements].filter((field) => field.dataset.parameter !== undefined && !field.disabled);
  }

  get systemPrompt() { return this.form.elements.system_prompt.value.trim(); }

  // Those that are not left at their default.
  get values() {
    const values = {};
    for (const field of this.fields) {
      if (field.name !== "system_prompt" && isSet(field)) {
        values[field.name] = field.type === "checkbox" ? field.checked : Number(field.value);
      }
    }
    return values;
  }

  // The first field whose value cannot be, with its error shown, or null.
  findInvalid() {
    const field = this.fields.find((one) => !one.checkValidity());
    if (field) {
      this.showError(field.name, field.validationMessage);
    }
    return field ?? null;
  }

  showError(name, message) {
    const field = this.form.elements[name];
    const line = this.form.querySelector(`#${CSS.escape(name)}-error`);
    if (!field || !line) {
      return false;
    }
    field.setAttribute("aria-invalid", "true");
    line.hidden = false;
    line.querySelector("span").textContent = message;
    return true;
  }

  // The person's, in every browser; what cannot be kept holds for this page.
  settings() {
    const boxes = [...this.form.querySelectorAll("[data-setting]")];
    return Object.fromEntries(boxes.map((box) => [box.dataset.setting, box.checked]));
  }

  #keepSettings() {
    const body = new URLSearchParams();
    for (const box of this.form.querySelectorAll("[data-setting]:checked")) {
      body.append(box.name, "on");
    }
    const headers = { "HX-Request": "true", "X-CSRFToken": csrfToken() };
    fetch("/settings/chat", { method: "POST", body, headers, credentials: "same-origin" }).catch(() => {});
  }

  #clearError(field) {
    if (field.getAttribute("aria-invalid") && field.checkValidity()) {
      field.removeAttribute("aria-invalid");
      this.form.querySelector(`#${CSS.escape(field.name)}-error`).hidden = true;
    }
  }

  #reset(fields) {
    for (const field of fields) {
      if (field.type === "checkbox") {
        field.checked = field.dataset.default === "true";
      } else {
        field.value = "";
      }
      this.#clearError(field);
    }
    this.#mark();
    this.#keep();
  }

  // What was changed and not sent yet is this tab's, over a reload too.
  #keep() {
    const kept = this.fields.map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]);
    this.kept = `${this.draftKey()}:parameters`;
    try {
      sessionStorage.setItem(this.kept, JSON.stringify(kept));
    } catch {
      // Full or forbidden: kept for as long as the page is open.
    }
  }

  #restore() {
    try {
      this.kept = `${this.draftKey()}:parameters`;
      for (const [name, value] of JSON.parse(sessionStorage.getItem(this.kept) ?? "[]")) {
        const field = this.fields.find((one) => one.name === name);
        if (field) {
          field[field.type === "checkbox" ? "checked" : "value"] = value;
        }
      }
    } catch {
      // Nothing that can be read was kept.
    }
  }

  // The server has them with the message.
  accepted() {
    try {
      sessionStorage.removeItem(this.kept);
    } catch {
      // Nothing was kept either.
    }
  }

  #mark() {
    let changed = 0;
    for (const field of this.fields) {
      const button = this.form.querySelector(`[data-reset="${CSS.escape(field.name)}"]`);
      const differs = isSet(field);
      changed += differs;
      if (button) {
        button.hidden = !differs;
      }
    }
    this.form.querySelector('[data-reset=""]').hidden = changed === 0;
    const count = document.querySelector("[data-parameters-count]");
    count.hidden = changed === 0;
    count.textContent = changed;
  }
}

function isSet(field) {
  return field.type === "checkbox" ? String(field.checked) !== field.dataset.default : field.value.trim() !== "";
}
