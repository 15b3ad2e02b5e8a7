// The turns on the page: one branch of a conversation, or a part of it, oldest first. The rest is fetched when the
// view comes near its end, and held where it was.

import { TurnView } from "./chat-turn.js";

export class Dialogue {
  // ``page`` is what each ``TurnView`` is given.
  // ``address`` gives the path where parts of the conversation are.
  constructor(root, transcript, page, address) {
    this.address = address;
    this.root = root;
    this.transcript = transcript;
    this.page = page;
    this.turns = [...transcript.querySelectorAll(".turn")].map((element) => new TurnView(element, page));
    this.#show(this.turns);
    if (this.newest && !this.newest.isOver) {
      // Whatever the server had is sent again from its start: HTML changes line ends, and offsets count them.
      this.newest.text = "";
    }
    this.near = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        this.load(entry.target);
      }
    }, { root: transcript, rootMargin: "600px 0px" });
    this.#observe();
  }

  get newest() { return this.turns.at(-1) ?? null; }

  get isAnswering() { return Boolean(this.newest && !this.newest.isOver); }

  // The newest turn that this page knows of, also where it shows another branch.
  get latestNumber() {
    return Math.max(Number(this.root.dataset.latest), ...this.turns.map((turn) => turn.number));
  }

  // Whether the last turn of the branch is on the page.
  get isAtEnd() { return !this.transcript.querySelector('[data-more="after"]'); }

  find(number) { return this.turns.find((turn) => turn.number === number); }

  findByKey(key) { return this.turns.find((turn) => turn.element.dataset.key === key); }

  having(node) { return this.turns.find((turn) => turn.element.contains(node)); }

  // Where the page stands, as ``watch`` tells the server.
  get place() {
    const latest = this.latestNumber;
    const newest = this.turns.findLast((turn) => turn.number > 0);
    const isHere = Boolean(newest) && newest.number === latest;
    return { turn: Math.max(0, latest), offset: isHere ? newest.text.length : null, ended: !isHere || newest.isOver };
  }

  // A new turn at the end. Those from ``replaced`` on leave the page; returned beside it, for ``takeBack``.
  add(question, replaced) {
    const removed = replaced ? this.turns.splice(this.turns.indexOf(replaced)) : [];
    const element = document.getElementById("turn-template").content.firstElementChild.cloneNode(true);
    element.querySelector(".question-text").textContent = question;
    this.transcript.append(element);
    const view = new TurnView(element, this.page);
    view.setPhase("reading");
    this.turns.push(view);
    for (const one of removed) {
      one.element.remove();
    }
    return { view, removed };
  }

  // The server would not have it: as before.
  takeBack(view, removed) {
    view.setPhase("over");
    view.element.remove();
    this.turns = this.turns.filter((turn) => turn !== view).concat(removed);
    this.transcript.append(...removed.map((one) => one.element));
  }

  // The server knows the turn: its number, and the answers beside it.
  settle(view, told, replaced) {
    view.apply(told);
    this.root.dataset.latest = Math.max(Number(this.root.dataset.latest), told.turn);
    view.setAlternatives(replaced ? [...new Set([...replaced.alternatives, replaced.number, told.turn])] : [told.turn]);
    if (!view.phase) {
      view.setPhase("waiting");
    }
  }

  // A turn of the page goes on, as itself or as a branch that begins like it.
  goOn(view, told) {
    const { alternatives, number } = view;
    if (number === told.turn) {
      view.apply(told);
      return;
    }
    for (const one of this.turns.splice(this.turns.indexOf(view) + 1)) {
      one.element.remove();
    }
    this.settle(view, told, { alternatives, number });
  }

  // Fetch the part that a link leads to and put it in the link's place; what is read stays where it is.
  async load(link) {
    if (link.isLoading) {
      return;
    }
    link.isLoading = true;
    const part = await this.#fetch(link.search);
    if (!part || !link.isConnected) {
      link.isLoading = false;
      return;
    }
    const isBefore = link.dataset.more === "before";
    const { transcript } = this;
    const below = transcript.scrollHeight - transcript.scrollTop;
    const top = transcript.scrollTop;
    const added = [...part.querySelectorAll(".turn")].map((element) => new TurnView(element, this.page));
    for (const extra of part.querySelectorAll(`[data-more="${isBefore ? "after" : "before"}"]`)) {
      extra.closest(".more-turns").remove();
    }
    link.closest(".more-turns").replaceWith(part);
    this.#show(added);
    this.turns = isBefore ? [...added, ...this.turns] : [...this.turns, ...added];
    transcript.scrollTop = isBefore ? transcript.scrollHeight - below : top;
    this.#observe();
    this.page.onPaint();
  }

  // Put the end of the branch on the page. False: it could not be fetched.
  async showEnd() {
    const link = this.transcript.querySelector('[data-more="after"]');
    const part = link && await this.#fetch(`?turn=${new URLSearchParams(link.search).get("turn")}`);
    if (part) {
      const added = [...part.querySelectorAll(".turn")].map((element) => new TurnView(element, this.page));
      this.transcript.replaceChildren(part);
      this.turns = added;
      this.#show(added);
      this.#observe();
    }
    return this.isAtEnd;
  }

  async #fetch(search) {
    try {
      const response = await fetch(this.address() + search, { headers: { "X-Requested-With": "fetch" } });
      if (!response.ok) {
        return null;
      }
      const template = document.createElement("template");
      template.innerHTML = await response.text(); // our own server's, escaped there
      return template.content;
    } catch {
      return null; // the link stays: it is tried again when it comes into view, or clicked
    }
  }

  #show(turns) {
    for (const turn of turns) {
      turn.setAlternatives(turn.alternatives);
      turn.renderNow();
    }
  }

  #observe() {
    this.near.disconnect();
    for (const link of this.transcript.querySelectorAll("[data-more]")) {
      this.near.observe(link);
    }
  }

  // A turn that was begun in another tab; false where it belongs to a branch that is not on this page.
  mirror(told) {
    const here = this.find(told.turn);
    if (here) {
      if (here.isOver && told.status === "generating") {
        here.reopen(told.id);
      }
      return true;
    }
    if (told.turn <= Number(this.root.dataset.latest)) {
      return false;
    }
    const replaced = this.turns.find((turn) => turn.parent === (told.parent ?? 0));
    if (!replaced && (told.parent ?? 0) !== (this.newest?.number ?? 0)) {
      return false;
    }
    this.settle(this.add(told.question, replaced).view, told, replaced);
    return true;
  }
}
