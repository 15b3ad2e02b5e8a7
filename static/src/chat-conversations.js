// The list of conversations: search, rename in place, pin, delete with Undo, older ones on demand.

import { csrfToken } from "./csrf.js";
import { morph } from "./htmx.js";

const UNDO_MS = 15_000;
const TYPING_MS = 200;

export class Conversations {
  // ``onLeave`` is called when the conversation on the page was deleted.
  constructor(panel, words, onLeave) {
    this.panel = panel;
    this.words = words;
    this.onLeave = onLeave;
    this.base = panel.dataset.base;
    panel.addEventListener("click", (event) => this.#click(event));
    panel.addEventListener("keydown", (event) => this.#keydown(event));
    this.form = panel.querySelector("[data-search-chats]");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    this.form.addEventListener("input", (event) => {
      clearTimeout(this.typing);
      if (!event.isComposing) {
        this.typing = setTimeout(() => this.#search(), TYPING_MS);
      }
    });
    this.form.addEventListener("compositionend", () => {
      this.typing = setTimeout(() => this.#search(), TYPING_MS);
    });
    panel.addEventListener("focusout", (event) => {
      if (event.target.matches(".conversation-rename")) {
        this.#rename(event.target);
      }
    });
  }

  get list() { return this.panel.querySelector("[data-list]"); }

  // Fetch the list anew, after a first message or from another tab.
  async refresh(current) {
    this.current = current;
    if (this.wanted) {
      return; // what a search found stays until it is cleared
    }
    const address = `${this.base}/list?current=${current ?? ""}`;
    // Where the server cannot be reached the list stays as it is.
    const response = await fetch(address, { headers: { "X-Requested-With": "fetch" } }).catch(() => null);
    if (response?.ok && !this.panel.querySelector(".conversation-rename, .conversation.is-deleted")) {
      const fresh = this.list.cloneNode();
      fresh.innerHTML = await response.text(); // our own server's, escaped there
      morph(this.list, fresh); // an open menu stays open, and the focus where it is
    }
  }

  get wanted() { return this.form.elements.q.value.trim(); }

  // The list of what is searched for, or all of them again; the address says so too.
  async #search() {
    clearTimeout(this.typing);
    const { wanted } = this;
    const address = new URL(location.href);
    if (wanted) {
      address.searchParams.set("q", wanted);
    } else {
      address.searchParams.delete("q");
    }
    history.replaceState(history.state, "", address);
    const current = this.current ?? this.panel.dataset.current;
    const response = await fetch(`${this.base}/list?q=${encodeURIComponent(wanted)}&current=${current}`).catch(() => null);
    const text = response?.ok ? await response.text() : null;
    if (text !== null && wanted === this.wanted) {
      this.list.innerHTML = text; // our own server's, escaped there
    }
  }

  async #click(event) {
    const button = event.target.closest("[data-act]");
    const row = event.target.closest("[data-conversation]");
    if (!button) {
      return;
    }
    event.preventDefault();
    if (button.dataset.act === "older") {
      const response = await fetch(button.href).catch(() => null);
      if (response?.ok) {
        const more = document.createElement("template");
        more.innerHTML = await response.text();
        button.replaceWith(more.content);
      }
    } else if (button.dataset.act === "pin" || button.dataset.act === "unpin") {
      closeMenu(button);
      await this.#pin(row, button.dataset.act);
    } else if (button.dataset.act === "rename") {
      closeMenu(button);
      this.#edit(row);
    } else if (button.dataset.act === "delete") {
      closeMenu(button);
      await this.#delete(row);
    } else if (button.dataset.act === "undo") {
      await this.#undo(row);
    }
  }

  #edit(row) {
    const link = row.querySelector("a");
    const input = document.createElement("input");
    input.className = "input conversation-rename";
    input.value = link.textContent.trim();
    input.maxLength = 200;
    input.dir = "auto";
    input.setAttribute("aria-label", this.words.title);
    link.hidden = true;
    link.after(input);
    input.focus();
    input.select();
  }

  #keydown(event) {
    if (!event.target.matches(".conversation-rename")) {
      return;
    }
    if (event.key === "Enter" && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      this.#rename(event.target, true);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.#endEdit(event.target, true);
    }
  }

  async #rename(input, keepsFocus = false) {
    const row = input.closest("[data-conversation]");
    if (!row || input.isDone) {
      return; // removing the field takes its focus, which comes here again
    }
    const link = row.querySelector("a");
    const title = input.value.trim();
    const old = link.textContent.trim();
    this.#endEdit(input, keepsFocus);
    if (!title || title === old) {
      return;
    }
    nameRow(row, title);
    const response = await this.#post(row, "rename", { title });
    if (response?.ok) {
      this.panel.dispatchEvent(new CustomEvent("renamed", { detail: { id: row.dataset.conversation, title } }));
    } else {
      nameRow(row, old);
      this.#say(row, this.words.renameFailed);
    }
  }

  #endEdit(input, keepsFocus) {
    const link = input.closest("[data-conversation]").querySelector("a");
    link.hidden = false;
    input.isDone = true;
    input.remove();
    if (keepsFocus) {
      link.focus();
    }
  }

  async #pin(row, act) {
    const response = await this.#post(row, act);
    if (response?.ok) {
      await this.refresh(this.current ?? this.panel.dataset.current);
      this.list.querySelector(`[data-conversation="${row.dataset.conversation}"] a`)?.focus();
    } else {
      const told = await response?.json().catch(() => null);
      this.#say(row, told?.message ?? this.words.pinFailed);
    }
  }

  async #delete(row) {
    const response = await this.#post(row, "delete");
    if (!response?.ok) {
      this.#say(row, this.words.deleteFailed);
      return;
    }
    row.classList.add("is-deleted");
    row.querySelector("a").hidden = true;
    row.querySelector(".conversation-more").hidden = true;
    const note = document.createElement("p");
    note.className = "conversation-undo";
    note.setAttribute("role", "status");
    note.innerHTML = "<span></span><button type='button' class='button button-link' data-act='undo'></button>";
    note.querySelector("span").textContent = this.words.deleted;
    note.querySelector("button").textContent = this.words.undo;
    row.append(note);
    note.querySelector("button").focus();
    row.removing = setTimeout(() => {
      const isCurrent = row.classList.contains("is-current");
      row.remove();
      if (isCurrent) {
        this.onLeave();
      }
    }, UNDO_MS);
  }

  async #undo(row) {
    clearTimeout(row.removing);
    const response = await this.#post(row, "undelete");
    if (response?.ok) {
      row.classList.remove("is-deleted");
      row.querySelector(".conversation-undo").remove();
      row.querySelector("a").hidden = false;
      row.querySelector(".conversation-more").hidden = false;
      row.querySelector("a").focus();
    }
  }

  #say(row, sentence) {
    const note = document.createElement("p");
    note.className = "field-error";
    note.setAttribute("role", "alert");
    note.textContent = sentence;
    row.append(note);
    setTimeout(() => note.remove(), 8000);
  }

  async #post(row, act, body = {}) {
    try {
      return await fetch(`${this.base}/${row.dataset.conversation}/${act}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() || this.panel.dataset.csrf },
        body: JSON.stringify(body),
      });
    } catch {
      return null;
    }
  }
}

// The title is what the row's link shows and what its menu is called.
function nameRow(row, title) {
  const menu = row.querySelector(".conversation-more [data-words]");
  row.querySelector("a").textContent = title;
  menu.textContent = menu.dataset.words.replace("%title%", () => title);
}

function closeMenu(button) {
  button.closest("[popover]")?.hidePopover();
}
