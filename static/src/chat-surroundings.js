// What stands around the transcript: status line, notices, the service's state, title, live indicator.

import { count } from "./numbers.js";

// How long the line is empty before: screen readers take the same words for old ones otherwise.
const SAY_AGAIN_MS = 50;

export class Surroundings {
  constructor(root) {
    this.root = root;
    this.statusLine = root.querySelector("#chat-status");
    this.noticeBox = root.querySelector("#chat-notice");
  }

  // The one polite status line; the same words again are said again.
  say(sentence) {
    this.statusLine.textContent = "";
    setTimeout(() => { this.statusLine.textContent = sentence; }, SAY_AGAIN_MS);
  }

  notice(sentence) {
    this.noticeBox.hidden = false;
    this.noticeBox.dataset.tone = "bad";
    this.noticeBox.querySelector("p").textContent = sentence;
  }

  hideNotice() { this.noticeBox.hidden = true; }

  showService({ sentence, tone }) {
    const line = this.root.querySelector("#service-state");
    line.hidden = !sentence;
    line.dataset.tone = tone === "busy" ? "info" : tone;
    line.querySelector("p").textContent = sentence;
  }

  // The frame's bell looks when it is told of something that it does not show yet.
  ringBell({ unread, newest }) {
    const isNew = this.newestNotice !== undefined && this.newestNotice !== newest;
    this.newestNotice = newest;
    if (isNew || document.getElementById("bell-list").dataset.unread !== String(unread)) {
      document.dispatchEvent(new CustomEvent("slipway:hint", { detail: { topic: "notices" } }));
    }
  }

  // "3,210 of 8,192"; without the second number where nobody knows it.
  showContext(used, words) {
    const most = this.root.dataset.context;
    const meter = this.root.querySelector("#context-meter");
    meter.hidden = used === null;
    if (used !== null) {
      const both = words.context.replace("%n%", count(used)).replace("%most%", count(most));
      meter.querySelector("[data-context-used]").textContent = most ? both : count(used);
    }
  }

  // A new conversation is called by its first question, as the server calls it.
  entitle(question) {
    const title = question.replace(/\s+/g, " ").trim().slice(0, 80);
    this.root.querySelector("#chat-title").textContent = title;
    document.title = document.title.replace(/^[^·]*/, `${title} `);
  }

  // The frame's live indicator: on this page it speaks of this page's socket.
  showPaused(isPaused, since) {
    const indicator = document.getElementById("live-indicator");
    const { liveWords, pausedWords } = indicator.dataset;
    const time = since?.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
    const sentence = isPaused ? pausedWords.replace("%time%", time) : liveWords;
    indicator.dataset.state = isPaused ? "paused" : "live";
    indicator.title = sentence;
    indicator.firstElementChild.textContent = sentence;
  }

  // iOS lays its keyboard over the page; the composer stays above it.
  keepAboveKeyboard() {
    window.visualViewport?.addEventListener("resize", () => {
      const isCovered = innerHeight - visualViewport.height > 120;
      document.documentElement.style.setProperty("--visible", isCovered ? `${visualViewport.height}px` : "100dvh");
    });
  }
}

// crypto.randomUUID is not there over plain http on a LAN.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
