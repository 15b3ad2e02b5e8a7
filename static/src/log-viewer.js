// The log viewer: new lines once a second, following until one scrolls up; still while text is selected.

const POLL_MS = 1000;
const MAX_LINES = 5000;
const NEAR_END_PX = 24;

const viewer = document.querySelector("[data-log]");

if (viewer && viewer.dataset.instance) {
  start(viewer, viewer.querySelector("#log"));
}

function start(box, list) {
  const status = box.querySelector("#log-status");
  const follow = box.querySelector("[data-log-follow]");
  const wrap = box.querySelector("[data-log-wrap]");
  const newLines = box.querySelector("[data-log-new]");
  let next = Number(box.dataset.next);
  let follows = !location.hash;
  let isPaused = false;
  let scrolledByUs = 0;
  const lastWords = status.textContent;

  function toEnd() {
    scrolledByUs = performance.now();
    list.scrollTop = list.scrollHeight;
    newLines.hidden = true;
  }

  function isAtEnd() {
    return list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
  }

  function isSelecting() {
    const selection = getSelection();
    return !selection.isCollapsed && list.contains(selection.anchorNode);
  }

  function append(lines) {
    const added = document.createDocumentFragment();
    for (const [number, text] of lines) {
      const item = document.createElement("li");
      item.id = `L${number}`;
      const link = document.createElement("a");
      link.href = `#L${number}`;
      link.tabIndex = -1;
      link.setAttribute("aria-hidden", "true");
      link.textContent = String(number);
      const words = document.createElement("span");
      words.textContent = text; // a log is anybody's text: never as HTML
      item.append(link, words);
      added.append(item);
    }
    list.append(added);
    if (follows && !isSelecting()) {
      while (list.childElementCount > MAX_LINES) {
        list.firstElementChild.remove();
      }
      toEnd();
    } else {
      newLines.hidden = false;
    }
  }

  async function poll() {
    if (!isPaused && !document.hidden && !isSelecting()) {
      const query = new URLSearchParams({ instance: box.dataset.instance, first: String(next) });
      if (box.dataset.keyword) {
        query.set("q", box.dataset.keyword);
      }
      if (box.dataset.previous) {
        query.set("previous", "1");
      }
      try {
        const response = await fetch(`${box.dataset.url}?${query}`, { headers: { "X-Slipway-Live": "log" } });
        if (response.ok) {
          const answer = await response.json();
          next = answer.next;
          if (answer.lines.length) {
            append(answer.lines);
          }
          status.textContent = list.childElementCount && lastWords.trim() && !box.dataset.keyword ? "" : lastWords;
        } else if (response.status === 502) {
          status.textContent = (await response.json()).error;
        }
      } catch {
        status.textContent = status.dataset.lost;
      }
    }
    setTimeout(poll, POLL_MS);
  }

  function showFollow() {
    follow.querySelector("span").textContent = isPaused || !follows ? follow.dataset.followWords : follow.dataset.pauseWords;
    follow.setAttribute("aria-pressed", String(follows && !isPaused));
  }

  follow.addEventListener("click", () => {
    if (isPaused || !follows) {
      isPaused = false;
      follows = true;
      toEnd();
    } else {
      isPaused = true;
    }
    showFollow();
  });
  newLines.addEventListener("click", () => {
    follows = true;
    isPaused = false;
    toEnd();
    showFollow();
    list.focus();
  });
  wrap.addEventListener("click", () => {
    const wraps = list.classList.toggle("log-wrap");
    wrap.setAttribute("aria-pressed", String(wraps));
    if (follows) {
      toEnd();
    }
  });
  list.addEventListener("scroll", () => {
    if (performance.now() - scrolledByUs > 150) {
      follows = isAtEnd();
      newLines.hidden = newLines.hidden || follows;
      showFollow();
    }
  });
  box.querySelector("#log-instance").addEventListener("change", (event) => event.target.form.requestSubmit());
  if (matchMedia("(width < 700px)").matches) {
    wrap.click();
  }
  if (follows) {
    toEnd();
  }
  showFollow();
  setTimeout(poll, POLL_MS);
}
