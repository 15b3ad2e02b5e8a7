// The composer: what is typed is kept until the server has it.

const KEEP_MS = 250;

export class Composer extends EventTarget {
  // Events: ``send``, ``stop``, and ``edit``: the last question. ``draftKey`` names the draft of the conversation on the page.
  constructor(form, draftKey, settings) {
    super();
    this.form = form;
    this.draftKey = draftKey;
    this.settings = settings;
    this.area = form.elements.question;
    this.button = form.querySelector("[data-send]");
    this.isAnswering = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#act();
    });
    this.area.addEventListener("keydown", (event) => this.#keydown(event));
    this.area.addEventListener("input", () => {
      this.#fit();
      clearTimeout(this.keeping);
      this.keeping = setTimeout(() => this.keep(), KEEP_MS);
    });
    addEventListener("pagehide", () => this.keep());
    this.restore();
  }

  get text() { return this.area.value; }

  set text(value) {
    this.area.value = value;
    this.#fit();
  }

  // Save the draft now.
  keep() {
    clearTimeout(this.keeping);
    if (this.area.value) {
      store(this.draftKey(), this.area.value);
    } else if (!this.unsent) {
      store(this.draftKey(), null);
    }
  }

  restore() {
    const draft = read(this.draftKey());
    if (draft && !this.area.value) {
      this.text = draft;
    }
  }

  // Empty the field while the message is on its way; its draft stays until ``accepted``.
  take() {
    const text = this.area.value;
    store(this.draftKey(), text);
    this.unsent = true;
    this.text = "";
    return text;
  }

  accepted(key) {
    this.unsent = false;
    store(key, this.area.value || null);
  }

  // The message was refused: back into the field, before what was typed since.
  giveBack(text) {
    this.unsent = false;
    this.text = this.area.value ? `${text}\n${this.area.value}` : text;
    this.keep();
  }

  setAnswering(isAnswering, words) {
    this.isAnswering = isAnswering;
    this.form.dataset.answering = isAnswering;
    const label = isAnswering ? words.stop : words.send;
    this.button.querySelector("[data-label]").textContent = label;
  }

  #act() {
    if (this.isAnswering) {
      this.dispatchEvent(new Event("stop"));
    } else if (this.area.value.trim()) {
      this.dispatchEvent(new Event("send"));
    } else {
      this.area.focus();
    }
  }

  #keydown(event) {
    const isBare = !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey;
    if (event.key === "ArrowUp" && isBare && !this.area.value && !isComposing(event)) {
      event.preventDefault();
      this.dispatchEvent(new Event("edit"));
    } else if (isEnterToSend(event, this.settings())) {
      event.preventDefault();
      if (!this.isAnswering) {
        this.#act();
      }
    }
  }

  // As tall as its text, up to what the style sheet allows.
  #fit() {
    this.area.style.blockSize = "auto";
    this.area.style.blockSize = `${this.area.scrollHeight}px`;
  }
}

// An input method uses Enter for itself. Safari ends the composition first, and tells by 229 alone.
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

// Enter sends; on touch keyboards, and for who wants it so, Ctrl Enter does and Enter breaks the line.
export function isEnterToSend(event, settings) {
  if (event.key !== "Enter" || isComposing(event)) {
    return false;
  }
  const needsControl = settings.sendsWithControl || matchMedia("(pointer: coarse)").matches;
  return needsControl ? event.ctrlKey || event.metaKey : !event.shiftKey && !event.altKey;
}

// localStorage may be full or forbidden; a draft is then kept for as long as the page is open.
function store(key, value) {
  try {
    if (value === null) {
      localStorage.removeItem(key);
    } else {
      localStorage.setItem(key, value);
    }
  } catch {
    // Nothing to be done.
  }
}

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
