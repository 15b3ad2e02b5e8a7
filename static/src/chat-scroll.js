// Where the transcript stands. Sending pins the question to the top and the answer grows below; nothing else
// moves the view, until **New text** follows the end. Wheel, touch, Page Up or a selection ends that.

const NEAR_PX = 24;

export class Scroller {
  constructor(transcript, button, followsAlways) {
    this.transcript = transcript;
    this.button = button;
    this.followsAlways = followsAlways;
    this.isFollowing = false;
    const leave = () => { this.isFollowing = false; };
    transcript.addEventListener("wheel", leave, { passive: true });
    transcript.addEventListener("touchmove", leave, { passive: true });
    transcript.addEventListener("keydown", (event) => {
      if (["PageUp", "ArrowUp", "Home"].includes(event.key)) {
        leave();
      }
    });
    document.addEventListener("selectionchange", () => {
      const selection = getSelection();
      if (!selection.isCollapsed && transcript.contains(selection.anchorNode)) {
        leave();
      }
    });
    transcript.addEventListener("scroll", () => this.update(), { passive: true });
    button.addEventListener("click", () => {
      this.isFollowing = this.isAnswering;
      this.toEnd();
    });
  }

  // The question of ``turn`` to the top of the view, with room below it for the answer.
  pin(turn) {
    this.transcript.querySelector(".turn.is-pinned")?.classList.remove("is-pinned");
    turn.classList.add("is-pinned");
    this.isFollowing = this.followsAlways();
    this.#go(turn.offsetTop, true);
  }

  toEnd() {
    const bottom = this.#textBottom();
    const wanted = bottom - this.transcript.clientHeight + NEAR_PX * 2;
    if (wanted > this.transcript.scrollTop) {
      this.#go(wanted, false);
    }
  }

  // After each paint of an answer.
  grew() {
    if (this.isFollowing) {
      this.toEnd();
    }
    this.update();
  }

  setAnswering(isAnswering) {
    this.isAnswering = isAnswering;
    if (!isAnswering) {
      this.isFollowing = false;
    }
    this.update();
  }

  update() {
    const hidden = this.#textBottom() - this.transcript.scrollTop - this.transcript.clientHeight;
    this.button.hidden = hidden < NEAR_PX || this.isFollowing;
  }

  // Where the last text ends; a pinned turn is taller than its text.
  #textBottom() {
    const last = this.transcript.querySelector(".turn:last-of-type .answer");
    return last ? last.offsetTop + last.offsetHeight : 0;
  }

  #go(top, isSmooth) {
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.transcript.scrollTo({ top, behavior: isSmooth && !isStill ? "smooth" : "instant" });
  }
}

// From message to message (Alt and an arrow); false at the end, where the composer is next.
export function walk(transcript, step) {
  const stops = [...transcript.querySelectorAll(".question, .answer")];
  const here = stops.findIndex((one) => one.contains(document.activeElement));
  const next = here < 0 ? (step < 0 ? stops.at(-1) : null) : stops[here + step];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}
