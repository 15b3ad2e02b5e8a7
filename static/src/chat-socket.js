// The tab's one WebSocket. It comes back by itself; what it carried is asked for again by who listens.

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 5000;
const GONE = 4404;
const SIGNED_OUT = 4401;

export class ChatSocket extends EventTarget {
  // Events: ``open``, ``message`` (detail: the message), ``lost`` (once for each outage), ``end`` (detail: code).
  constructor(path) {
    super();
    const address = new URL(path, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.address = address;
    this.pause = FIRST_PAUSE_MS;
    this.isOpen = false;
    document.addEventListener("visibilitychange", () => this.#wake());
    addEventListener("online", () => this.#wake());
    addEventListener("pageshow", (event) => event.persisted && this.#wake());
    this.connect();
  }

  // Whether it could be sent; what could not is sent again by who listens to ``open``.
  send(message) {
    if (!this.isOpen) {
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = null;
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.isOpen = true;
      this.pause = FIRST_PAUSE_MS;
      this.wasLost = false;
      this.dispatchEvent(new Event("open"));
    });
    socket.addEventListener("message", (event) => {
      this.dispatchEvent(new CustomEvent("message", { detail: JSON.parse(event.data) }));
    });
    socket.addEventListener("close", (event) => {
      this.isOpen = false;
      if (event.code === GONE || event.code === SIGNED_OUT) {
        this.dispatchEvent(new CustomEvent("end", { detail: event.code }));
        return;
      }
      if (!this.wasLost) {
        this.wasLost = true;
        this.dispatchEvent(new Event("lost"));
      }
      this.timer = setTimeout(() => this.connect(), this.pause * (0.7 + 0.6 * Math.random()));
      this.pause = Math.min(this.pause * 1.6, LONGEST_PAUSE_MS);
    });
  }

  // A tab that was asleep, or a network that is back: try now.
  #wake() {
    if (this.timer && document.visibilityState === "visible") {
      this.connect();
    }
  }
}
