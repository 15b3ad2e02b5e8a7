// One question with its answer on the page.

import { colourCode, frameCode } from "./chat-code.js";
import { MarkdownView } from "./chat-markdown.js";
import { noticeLine, statsLine } from "./chat-words.js";
import { count, tenths } from "./numbers.js";

const SLOW_PAINT_MS = 8;

export class TurnView {
  // ``element`` is a section.turn, from the server or from the page's template; ``page`` has words and onPaint.
  constructor(element, page) {
    this.element = element;
    this.page = page;
    this.article = element.querySelector("[data-role='assistant']");
    this.waitLine = element.querySelector(".answer-wait");
    this.body = element.querySelector(".answer-text");
    this.notice = element.querySelector(".answer-notice");
    this.foot = element.querySelector(".answer-foot");
    this.text = this.body.textContent;
    this.phase = "";
    this.isPainting = false;
    this.nextPaintAt = 0;
    const words = page.words;
    this.markdown = new MarkdownView(this.body, {
      decorate: (fragment) => frameCode(fragment, words),
      settled: (block) => colourCode(block),
    });
  }

  get number() { return Number(this.element.dataset.turn); }

  get parent() { return Number(this.element.dataset.parent); } // 0: none

  get status() { return this.element.dataset.status; }

  get isOver() { return this.status !== "generating"; }

  get question() { return this.element.querySelector(".question-text").textContent; }

  get alternatives() { return this.element.dataset.alternatives.split(",").filter(Boolean).map(Number); }

  // What the server said of the turn: its place in the conversation and, at the end, how it ended.
  apply(told) {
    const { element } = this;
    element.id = `turn-${told.turn}`;
    element.dataset.turn = told.turn;
    element.dataset.parent = told.parent ?? 0;
    element.dataset.status = told.status;
    element.dataset.key = told.id;
    if (this.isOver) {
      this.#end(told);
    } else {
      this.article.setAttribute("aria-busy", "true");
    }
  }

  // The answer goes on: what follows belongs to its last block again. ``key`` names this run of generating.
  reopen(key) {
    this.was = { status: this.status, key: this.element.dataset.key, hadNotice: !this.notice.hidden };
    this.element.dataset.status = "generating";
    this.element.dataset.key = key;
    this.article.setAttribute("aria-busy", "true");
    this.notice.hidden = true;
    this.foot.hidden = true;
    this.markdown.reset();
    this.renderNow();
    this.setPhase("waiting");
  }

  // It does not go on after all.
  restore() {
    this.element.dataset.status = this.was.status;
    this.element.dataset.key = this.was.key;
    this.article.removeAttribute("aria-busy");
    this.notice.hidden = !this.was.hadNotice;
    this.foot.hidden = false;
    this.renderNow();
    this.setPhase("over");
  }

  // Put ``delta`` at ``offset`` (UTF-16 code units, as strings here count) and drop what was behind that.
  write(offset, delta) {
    this.text = this.text.slice(0, offset) + delta;
    this.setPhase("writing");
    this.#paintSoon();
  }

  setPhase(phase) {
    if (phase === this.phase) {
      return;
    }
    this.phase = phase;
    this.since = performance.now();
    clearInterval(this.ticking);
    this.waitLine.hidden = phase === "writing" || this.isOver;
    if (!this.waitLine.hidden) {
      this.#tick();
      this.ticking = setInterval(() => this.#tick(), 100);
    }
  }

  // At the first sight of a turn that the server rendered.
  renderNow() {
    this.markdown.render(this.text, this.isOver);
  }

  setAlternatives(numbers) {
    this.element.dataset.alternatives = numbers.join(",");
    const box = this.element.querySelector(".alternatives");
    const place = numbers.indexOf(this.number);
    box.hidden = numbers.length < 2 || place < 0;
    if (box.hidden) {
      return;
    }
    box.querySelector(".alternatives-place").textContent = `${count(place + 1)}/${count(numbers.length)}`;
    for (const [name, to] of [["previous", numbers[place - 1]], ["next", numbers[place + 1]]]) {
      const link = box.querySelector(`[data-to="${name}"]`);
      if (to) {
        link.href = `?turn=${to}#turn-${to}`;
        link.removeAttribute("aria-disabled");
      } else {
        link.removeAttribute("href");
        link.setAttribute("aria-disabled", "true");
      }
    }
  }

  #tick() {
    const { words } = this.page;
    const seconds = tenths((performance.now() - this.since) / 1000);
    const sentence = this.phase === "waiting"
      ? this.page.serviceSentence() || words.waiting
      : (this.phase === "thinking" ? words.thinking : words.reading);
    this.waitLine.querySelector("span").textContent = sentence.replace("%s%", seconds);
  }

  // One paint a frame at most; after a slow one (a very long last block) fewer.
  #paintSoon() {
    if (this.isPainting) {
      return;
    }
    this.isPainting = true;
    const paint = () => requestAnimationFrame(() => {
      this.isPainting = false;
      const began = performance.now();
      this.markdown.render(this.text, this.isOver);
      const took = performance.now() - began;
      this.nextPaintAt = took > SLOW_PAINT_MS ? began + took * 6 : 0;
      this.page.onPaint(this);
    });
    const pause = this.nextPaintAt - performance.now();
    if (pause > 0) {
      setTimeout(paint, pause);
    } else {
      paint();
    }
  }

  #end(told) {
    const { words } = this.page;
    this.setPhase("over");
    this.article.removeAttribute("aria-busy");
    this.renderNow(); // not with the next frame: what says that it is over must not come before its last words
    const said = noticeLine(told, this.text, words);
    this.notice.hidden = !said;
    this.notice.dataset.tone = told.status === "failed" ? "bad" : "info";
    this.notice.querySelector("p").textContent = said;
    this.notice.dataset.code = told.error?.code ?? "";
    this.foot.querySelector(".answer-stats").textContent = statsLine(told.stats, words);
    this.foot.querySelector("[data-continue]").hidden = !(told.is_continuable && this.page.continues);
    this.foot.hidden = false;
    this.page.onPaint(this);
  }
}
