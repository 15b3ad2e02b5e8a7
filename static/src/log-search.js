// Search in a log: the server looks through all of it and says how many lines match and where those near the view are.

const WAIT_MS = 250;

export class LogSearch {
  /**
   * @param form its input, its count and its two buttons
   * @param hooks ask(query) → {total, before, numbers} or null; here() → the line in view; jump(number); changed()
   */
  constructor(form, hooks) {
    this.hooks = hooks;
    this.input = form.querySelector("[data-log-q]");
    this.count = form.querySelector("[data-log-count]");
    this.buttons = form.querySelectorAll("[data-log-step]");
    this.format = new Intl.NumberFormat(document.documentElement.lang);
    this.query = "";
    this.asked = 0;
    this.clear();
    this.input.addEventListener("input", (event) => {
      if (!event.isComposing) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.look(), WAIT_MS);
      }
    });
    this.input.addEventListener("keydown", (event) => this.pressed(event));
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.step(Number(button.dataset.logStep)));
    }
  }

  clear() {
    this.found = { total: 0, before: 0, numbers: [] };
    this.at = -1; // which of found.numbers is the current one
  }

  get current() {
    return this.found.numbers[this.at] ?? null;
  }

  pressed(event) {
    if (event.isComposing || event.keyCode === 229) {
      return;
    }
    if (event.key === "Enter") {
      event.preventDefault();
      this.step(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.input.value = "";
      this.look();
      this.hooks.left();
    }
  }

  /**
   * Look for what is in the field now, from the line in view backwards: the newest match above is the likely one.
   * `stays` leaves the view where it is.
   */
  async look({ stays = false } = {}) {
    clearTimeout(this.timer);
    const query = this.input.value.trim();
    if (query === this.query) {
      return;
    }
    this.query = query;
    this.clear();
    if (!query) {
      this.asked += 1;
      this.say();
      this.hooks.changed();
      return;
    }
    const found = await this.askAt(this.hooks.here());
    if (found) {
      const { here } = found;
      this.at = this.found.numbers.findLastIndex((number) => number <= here);
      this.at = this.at < 0 ? 0 : this.at;
      this.show(stays);
    }
  }

  /** Ask for the matches around a line. Answers may overtake each other: only the newest question's counts. */
  async askAt(here) {
    const mine = ++this.asked;
    const found = await this.hooks.ask(this.query, here);
    if (mine !== this.asked || !found) {
      return null;
    }
    this.found = found;
    return { here };
  }

  async step(by) {
    if (this.input.value.trim() !== this.query) {
      await this.look();
      return;
    }
    if (!this.query || !this.found.total) {
      return;
    }
    const next = this.at + by;
    if (next >= 0 && next < this.found.numbers.length) {
      this.at = next;
    } else {
      await this.leave(by);
    }
    this.show();
  }

  /** The next match is none of those known: those around the current one are asked for, and round the log's end. */
  async leave(by) {
    const rank = this.found.before + this.at + by;
    const wraps = rank < 0 || rank >= this.found.total;
    const last = this.current;
    const from = wraps ? (by > 0 ? 1 : Number.MAX_SAFE_INTEGER) : last;
    if (await this.askAt(from)) {
      const { numbers } = this.found;
      const there = by > 0 ? numbers.findIndex((number) => number > last) : numbers.findLastIndex((number) => number < last);
      this.at = wraps ? (by > 0 ? 0 : numbers.length - 1) : there;
    }
  }

  /** New lines came: `more` of them match. */
  grow(numbers) {
    if (!this.query || !numbers.length) {
      return;
    }
    if (this.found.before + this.found.numbers.length === this.found.total) {
      this.found.numbers.push(...numbers.filter((number) => number > (this.found.numbers.at(-1) ?? 0)));
    }
    this.found.total += numbers.length;
    this.say();
  }

  show(stays = false) {
    this.say();
    this.hooks.changed();
    if (this.current !== null && !stays) {
      this.hooks.jump(this.current);
    }
  }

  say() {
    const { total, before } = this.found;
    const words = this.count.dataset;
    const number = (value) => this.format.format(value);
    let said = "";
    if (this.query) {
      said = total ? words.of.replace("%n%", number(before + this.at + 1)).replace("%total%", number(total)) : words.none;
    }
    this.count.textContent = said;
    for (const button of this.buttons) {
      button.disabled = !total;
    }
  }
}
