// The web chat's page: its socket, its turns, its composer. The server renders what has been said; this adds
// what is being said.

import { Composer } from "./chat-composer.js";
import { Conversations } from "./chat-conversations.js";
import { Dialogue } from "./chat-dialogue.js";
import { editQuestion } from "./chat-edit.js";
import { Parameters } from "./chat-parameters.js";
import { Scroller, walk } from "./chat-scroll.js";
import { wireSheets } from "./chat-sheets.js";
import { ChatSocket } from "./chat-socket.js";
import { Surroundings, uuid } from "./chat-surroundings.js";
import { counted, countWords } from "./chat-words.js";
import { copyFrom, select } from "./copy.js";
import { askToSignIn } from "./dialogs.js";

const SAY_EVERY_MS = 10_000;
const PAUSED_AFTER_MS = 3000;
const SIGNED_OUT = 4401;

class ChatPage {
  constructor(root) {
    this.root = root;
    this.words = JSON.parse(document.getElementById("chat-words").textContent);
    this.service = root.dataset.service;
    this.base = `/services/${this.service}/chat`;
    this.conversation = root.dataset.conversation || null;
    this.transcript = root.querySelector("#transcript");
    this.around = new Surroundings(root);
    this.parameters = new Parameters(root.querySelector("#parameters-form"), () => this.draftKey());
    this.scroller = new Scroller(
      this.transcript, root.querySelector("#new-text"), () => this.parameters.settings().followsAlways,
    );
    this.composer = new Composer(root.querySelector("#composer"), () => this.draftKey(), () => this.parameters.settings());
    this.conversations = new Conversations(root.querySelector("#conversations"), this.words, () => location.assign(this.base));
    this.pending = null; // the message on its way to the server
    this.state = { sentence: root.dataset.sentence, tone: root.dataset.tone };
    this.continues = root.dataset.continues === "true";
    this.dialogue = new Dialogue(root, this.transcript, this, () => `${this.base}/${this.conversation}/turns`);
    this.#wire();
    this.#connect();
    this.#arrive();
  }

  get isAnswering() { return Boolean(this.pending) || this.dialogue.isAnswering; }

  draftKey() { return `slipway:draft:${this.root.dataset.person}:${this.service}:${this.conversation ?? "new"}`; }

  serviceSentence() { return this.state.sentence; }

  // ---- what the person does

  async send() {
    if (this.isAnswering || !this.#hasValidParameters()) {
      return;
    }
    if (!this.dialogue.isAtEnd && !await this.dialogue.showEnd()) {
      this.around.notice(this.words.loadFailed);
      return;
    }
    const question = this.composer.take();
    const about = { question, isNew: !this.conversation, draftKey: this.draftKey() };
    this.conversation ??= uuid();
    this.#ask({ type: "send", parent: this.dialogue.newest?.number || null, question }, about);
  }

  regenerate(turn) {
    if (!this.isAnswering) {
      this.#ask({ type: "regenerate", turn: turn.number }, { question: turn.question, replaces: turn });
    }
  }

  // Ask another question in the place of one; both stay.
  edit(turn, text) {
    if (this.isAnswering || !turn.number) {
      return;
    }
    const onSend = (question) => {
      if (this.isAnswering || !this.#hasValidParameters()) {
        return this.edit(turn, question);
      }
      this.#ask({ type: "send", parent: turn.parent || null, question }, { question, replaces: turn, isEdit: true });
    };
    editQuestion(turn, { settings: () => this.parameters.settings(), onSend, text });
  }

  // Write on at an answer that was cut off.
  goOn(turn) {
    if (this.isAnswering) {
      return;
    }
    const id = uuid();
    turn.reopen(id);
    const message = { type: "continue", id, conversation: this.conversation, turn: turn.number };
    this.pending = { id, message, view: turn, goesOn: true };
    this.around.hideNotice();
    this.#refreshAnswering();
    this.#sendPending();
    this.around.say(this.words.answering);
  }

  #hasValidParameters() {
    const invalid = this.parameters.findInvalid();
    if (invalid) {
      this.#openParameters(invalid);
    }
    return !invalid;
  }

  stop() {
    if (this.dialogue.isAnswering) {
      this.socket.send({ type: "stop", conversation: this.conversation });
      this.around.say(this.words.stopping);
    }
  }

  #ask(message, about) {
    const id = uuid();
    const full = {
      ...message, id, conversation: this.conversation,
      parameters: this.parameters.values, system_prompt: this.parameters.systemPrompt,
    };
    const { view, removed } = this.dialogue.add(about.question, about.replaces);
    view.element.dataset.key = id;
    this.pending = { ...about, id, message: full, view, removed };
    this.around.hideNotice();
    this.#refreshAnswering();
    this.scroller.pin(view.element);
    this.#sendPending();
    this.around.say(this.words.answering);
  }

  #sendPending() {
    if (this.pending && this.socket.isOpen) {
      if (this.pending.isNew) {
        this.#watch();
      }
      this.socket.send(this.pending.message);
    }
  }

  // ---- what the server says

  #connect() {
    this.socket = new ChatSocket(`/ws/chat/${this.service}`);
    this.socket.addEventListener("open", () => {
      clearTimeout(this.pausing);
      this.around.showPaused(false);
      this.#watch();
      this.#sendPending();
    });
    this.socket.addEventListener("lost", () => {
      const since = new Date();
      this.pausing = setTimeout(() => this.around.showPaused(true, since), PAUSED_AFTER_MS);
    });
    this.socket.addEventListener("end", ({ detail }) => {
      clearTimeout(this.pausing);
      if (detail === SIGNED_OUT) {
        this.#signIn();
      } else {
        this.around.notice(this.words.serviceGone);
      }
    });
    this.socket.addEventListener("message", ({ detail }) => this.#hear(detail));
  }

  #watch() {
    if (!this.conversation) {
      return;
    }
    this.socket.send({ type: "watch", conversation: this.conversation, ...this.dialogue.place });
  }

  #hear(message) {
    switch (message.type) {
      case "accepted": this.#accepted(message); break;
      case "turn": this.#turn(message); break;
      case "text": this.dialogue.find(message.turn)?.write(message.offset, message.delta); break;
      case "phase": this.dialogue.find(message.turn)?.setPhase(message.phase); break;
      case "end": this.#end(message); break;
      case "service": this.state = message; this.around.showService(message); break;
      case "notices": this.around.ringBell(message); break;
      case "error": this.#error(message); break;
    }
  }

  #accepted(message) {
    const { pending } = this;
    if (!pending || pending.id !== message.id) {
      return;
    }
    this.pending = null;
    if (pending.goesOn) {
      this.dialogue.goOn(pending.view, message);
      this.#refreshAnswering();
      return;
    }
    this.parameters.accepted();
    if (!pending.view.number) {
      this.dialogue.settle(pending.view, message, pending.replaces);
    }
    if (pending.draftKey) {
      this.composer.accepted(pending.draftKey);
    }
    if (pending.isNew) {
      this.composer.keep();
      this.around.entitle(pending.question);
    }
    const { wanted } = this.conversations;
    history.replaceState(null, "", `${this.base}/${this.conversation}${wanted ? `?q=${encodeURIComponent(wanted)}` : ""}`);
    this.conversations.refresh(this.conversation);
    this.#refreshAnswering();
  }

  // A turn begun here or in another tab.
  #turn(message) {
    const known = this.dialogue.findByKey(message.id);
    if (!known) {
      this.dialogue.mirror(message);
      this.#refreshAnswering();
    } else if (known.number && known.number !== message.turn) {
      this.dialogue.goOn(known, message);
    } else if (!known.number) {
      this.dialogue.settle(known, message, this.pending?.replaces);
    }
  }

  #end(message) {
    const turn = this.dialogue.find(message.turn);
    if (!turn) {
      return;
    }
    const wasOver = turn.isOver;
    turn.apply(message);
    this.#refreshAnswering();
    if (!wasOver) {
      this.around.say(counted(this.words[`said_${message.status}`] ?? "", countWords(turn.text)));
    }
    this.around.showContext(message.stats.context_tokens, this.words);
  }

  #error(message) {
    const { pending } = this;
    if (pending && (pending.id === message.id || message.code === "bad_message")) {
      this.#takeBack(pending);
    }
    if (message.code === "signed_out") {
      this.#signIn();
    }
    if (message.field && this.parameters.showError(message.field, message.message)) {
      this.#openParameters(this.parameters.form.elements[message.field]);
      return;
    }
    this.around.notice(message.message);
  }

  // The server would not have it: the page is as before, the message is in the composer again.
  #takeBack(pending) {
    this.pending = null;
    if (pending.goesOn) {
      pending.view.restore();
      this.#refreshAnswering();
      return;
    }
    this.dialogue.takeBack(pending.view, pending.removed);
    if (pending.isNew) {
      this.conversation = null;
    }
    if (pending.draftKey) {
      this.composer.giveBack(pending.question);
    }
    this.#refreshAnswering();
    if (pending.isEdit) {
      this.edit(pending.replaces, pending.question);
    }
  }

  // ---- how it looks

  onPaint() { this.scroller.grew(); }

  #refreshAnswering() {
    const { isAnswering } = this;
    this.root.querySelector("#empty-chat").hidden = this.dialogue.turns.length > 0;
    this.composer.setAnswering(isAnswering, this.words);
    this.scroller.setAnswering(isAnswering);
    for (const button of this.transcript.querySelectorAll("[data-regenerate], [data-continue], [data-edit]")) {
      button.disabled = isAnswering;
    }
    clearInterval(this.saying);
    if (isAnswering) {
      this.saying = setInterval(() => this.around.say(this.words.answering), SAY_EVERY_MS);
    }
  }

  // The session has ended: the sign-in form over the page, and then on with what was under way.
  async #signIn() {
    const response = await fetch(location.href, { headers: { "X-Slipway-Live": "all" } }).catch(() => null);
    if (response?.status === 401) {
      askToSignIn(await response.text());
    } else {
      this.socket.connect();
    }
  }

  #openParameters(field) {
    this.sheets.open("parameters");
    field.focus();
  }

  // First sight: the last question at the top where its answer is being written, else the end.
  #arrive() {
    this.#refreshAnswering();
    const { newest } = this.dialogue;
    if (newest && !newest.isOver) {
      newest.setPhase("reading");
      this.scroller.pin(newest.element);
    } else if (/^#turn-\d+$/.test(location.hash)) {
      document.getElementById(location.hash.slice(1))?.scrollIntoView();
    } else {
      this.scroller.toEnd();
    }
    if (!matchMedia("(pointer: coarse)").matches) {
      this.composer.area.focus();
    }
  }

  #wire() {
    this.sheets = wireSheets(this.root);
    this.around.keepAboveKeyboard();
    this.composer.addEventListener("send", () => this.send());
    this.composer.addEventListener("stop", () => this.stop());
    this.composer.addEventListener("edit", () => {
      if (this.dialogue.isAtEnd && this.dialogue.newest) {
        this.edit(this.dialogue.newest);
      }
    });
    this.conversations.panel.addEventListener("renamed", ({ detail }) => {
      if (detail.id === this.conversation) {
        this.root.querySelector("#chat-title").textContent = detail.title;
      }
    });
    this.root.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("keydown", (event) => this.#keydown(event));
    document.addEventListener("slipway:signed-in", ({ detail }) => {
      this.conversations.panel.dataset.csrf = detail.csrf;
      this.socket.connect();
    });
  }

  #click(event) {
    const target = event.target.closest(
      "[data-copy-code], [data-copy-answer], [data-regenerate], [data-continue], [data-edit], [data-starter], [data-more]",
    );
    if (!target) {
      return;
    }
    const turn = this.dialogue.having(target);
    if (target.dataset.copyCode !== undefined) {
      const code = target.closest(".answer-code").querySelector("code");
      copyFrom(target, code.textContent.replace(/\n$/, ""), () => select(code));
    } else if (target.dataset.copyAnswer !== undefined && turn) {
      copyFrom(target, turn.text, () => select(turn.body));
    } else if (target.dataset.regenerate !== undefined && turn) {
      this.regenerate(turn);
    } else if (target.dataset.continue !== undefined && turn) {
      this.goOn(turn);
    } else if (target.dataset.edit !== undefined && turn) {
      this.edit(turn);
    } else if (target.dataset.more !== undefined) {
      event.preventDefault();
      this.dialogue.load(target);
    } else if (target.dataset.starter !== undefined) {
      this.composer.text = target.textContent.trim();
      this.composer.area.focus();
      this.send();
    }
  }

  #keydown(event) {
    if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog:modal, :popover-open")) {
      return;
    }
    if (event.key === "Escape" && this.isAnswering && !event.target.closest(".conversation-rename")) {
      this.stop();
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      walk(this.transcript, event.key === "ArrowUp" ? -1 : 1) || this.composer.area.focus();
    }
  }
}

new ChatPage(document.getElementById("chat"));
