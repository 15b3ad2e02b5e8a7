// The turns on the page: one branch of a conversation, or a part of it, oldest first.

import { TurnView } from "./chat-turn.js";

export class Dialogue {
  // ``page`` is what each ``TurnView`` is given.
  constructor(root, transcript, page) {
    this.root = root;
    this.transcript = transcript;
    this.page = page;
    this.turns = [...transcript.querySelectorAll(".turn")].map((element) => new TurnView(element, page));
    for (const turn of this.turns) {
      turn.setAlternatives(turn.alternatives);
      turn.renderNow();
    }
    if (this.newest && !this.newest.isOver) {
      // Whatever the server had is sent again from its start: HTML changes line ends, and offsets count them.
      this.newest.text = "";
    }
  }

  get newest() { return this.turns.at(-1) ?? null; }

  get isAnswering() { return Boolean(this.newest && !this.newest.isOver); }

  // The newest turn that this page knows of, also where it shows another branch.
  get latestNumber() {
    return Math.max(Number(this.root.dataset.latest), ...this.turns.map((turn) => turn.number));
  }

  find(number) { return this.turns.find((turn) => turn.number === number); }

  findByKey(key) { return this.turns.find((turn) => turn.element.dataset.key === key); }

  having(node) { return this.turns.find((turn) => turn.element.contains(node)); }

  // Where the page stands, as ``watch`` tells the server.
  get place() {
    const latest = this.latestNumber;
    const newest = this.turns.findLast((turn) => turn.number > 0);
    const isHere = Boolean(newest) && newest.number === latest;
    return { turn: Math.max(0, latest), offset: isHere ? newest.text.length : 0, ended: !isHere || newest.isOver };
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

  // A turn that was begun in another tab; false where it belongs to a branch that is not on this page.
  mirror(told) {
    if (this.find(told.turn)) {
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
