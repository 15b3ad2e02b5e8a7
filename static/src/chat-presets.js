// System prompts kept under a name: chosen, saved, renamed, deleted with Undo. They are the person's, on every browser.

import { isComposing } from "./chat-composer.js";
import { csrfToken } from "./csrf.js";

export class Presets {
  // ``area`` is the field of the system prompt.
  constructor(box, area) {
    this.box = box;
    this.area = area;
    document.addEventListener("slipway:signed-in", ({ detail }) => { box.dataset.csrf = detail.csrf; });
    this.presets = [];
    this.choice = box.querySelector("[data-preset-choice]");
    this.naming = box.querySelector("[data-preset-naming]");
    this.name = this.naming.querySelector("input");
    this.said = box.querySelector("[data-preset-said]");
    this.choice.addEventListener("change", () => this.#choose());
    area.addEventListener("input", () => this.#show());
    box.addEventListener("click", (event) => {
      const act = event.target.closest("[data-preset]")?.dataset.preset;
      if (act) {
        this.#act(act);
      }
    });
    this.name.addEventListener("keydown", (event) => {
      if (isComposing(event)) {
        return;
      }
      if (event.key === "Enter") {
        event.preventDefault();
        this.#act("keep");
      } else if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        this.#act("cancel");
      }
    });
    // Fetched once the panel is first seen.
    new IntersectionObserver((entries, observer) => {
      if (entries.some((one) => one.isIntersecting)) {
        observer.disconnect();
        this.#load();
      }
    }).observe(this.choice);
  }

  get chosen() { return this.presets.find((one) => String(one.id) === this.choice.value) ?? null; }

  async #load() {
    const response = await fetch(this.box.dataset.url, { headers: { Accept: "application/json" } }).catch(() => null);
    if (response?.ok) {
      this.presets = (await response.json()).presets;
      this.#list(this.presets.find((one) => one.text === this.area.value.trim())?.id);
    }
  }

  #list(id) {
    const [none] = this.choice.options;
    const collator = new Intl.Collator(document.documentElement.lang);
    this.presets.sort((one, other) => collator.compare(one.name, other.name));
    this.choice.replaceChildren(none, ...this.presets.map((one) => new Option(one.name, one.id)));
    this.choice.value = id ?? "";
    this.#show();
  }

  #show() {
    const { chosen } = this;
    const differs = Boolean(chosen) && chosen.text !== this.area.value.trim();
    this.#button("update").hidden = !differs;
    this.#button("rename").hidden = !chosen;
    this.#button("delete").hidden = !chosen;
  }

  #choose() {
    this.#say("");
    if (this.chosen) {
      this.#put(this.chosen.text);
    }
    this.#show();
  }

  // As if it were typed: counted, kept, and reset like anything else.
  #put(text) {
    this.area.value = text;
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #act(act) {
    switch (act) {
      case "save": this.#ask("save", ""); break;
      case "rename": this.#ask("rename", this.chosen.name); break;
      case "cancel": this.#endNaming(); break;
      case "keep": this.#keep(); break;
      case "update": this.#send(`/${this.chosen.id}`, { text: this.area.value }); break;
      case "delete": this.#delete(); break;
      case "undo": this.#send("", { name: this.deleted.name, text: this.deleted.text }); break;
    }
  }

  #ask(purpose, name) {
    this.purpose = purpose;
    this.naming.hidden = false;
    this.name.value = name;
    this.name.focus();
    this.name.select();
  }

  #endNaming() {
    this.naming.hidden = true;
    this.name.removeAttribute("aria-invalid");
    this.#button(this.purpose).focus();
  }

  async #keep() {
    const name = this.name.value;
    const isKept = this.purpose === "rename"
      ? await this.#send(`/${this.chosen.id}`, { name })
      : await this.#send("", { name, text: this.area.value });
    if (isKept) {
      this.#endNaming();
    } else {
      this.name.setAttribute("aria-invalid", "true");
      this.name.focus();
    }
  }

  async #send(path, body) {
    const response = await this.#post(path, body);
    const told = await response?.json().catch(() => null);
    if (!response?.ok) {
      this.#say(told?.message ?? this.said.dataset.failed);
      return false;
    }
    this.presets = [...this.presets.filter((one) => one.id !== told.id), told];
    this.#list(told.id);
    this.#say(this.said.dataset.saved);
    return true;
  }

  async #delete() {
    const { chosen } = this;
    const response = await this.#post(`/${chosen.id}/delete`, {});
    if (!response?.ok) {
      this.#say(this.said.dataset.failed);
      return;
    }
    this.deleted = chosen;
    this.presets = this.presets.filter((one) => one !== chosen);
    this.#list();
    this.#say(this.said.dataset.deleted);
    this.#button("undo").hidden = false;
    this.#button("undo").focus();
  }

  #say(sentence) {
    this.said.querySelector("span").textContent = sentence;
    this.#button("undo").hidden = true;
  }

  #button(act) { return this.box.querySelector(`[data-preset="${act}"]`); }

  async #post(path, body) {
    try {
      return await fetch(this.box.dataset.url + path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() || this.box.dataset.csrf },
        body: JSON.stringify(body),
      });
    } catch {
      return null;
    }
  }
}
