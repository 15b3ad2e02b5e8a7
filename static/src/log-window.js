// Virtual lines: of a log of any length only what is near the view is on the page.
//
// The lines lie in blocks of fifty, each an <ol>. A block far from the view is empty and keeps its height, or the
// height it probably has; one that comes near is filled, from memory or from the server, and what is in view stays in
// place. Lines are known by their index (their number less one), which they keep for the log's whole life.

const BLOCK = 50;
const AT_ONCE = 1_000;
const MOST_BLOCKS_IN_MEMORY = 800;
const LINE_PX = 20;
const NEAR_END_PX = 24;

const blockOf = (index) => Math.floor(index / BLOCK);

export class LogWindow {
  /**
   * @param list the element that scrolls
   * @param fetchLines async (first, limit) → {lines, begin, end} or null where the server did not answer
   * @param makeLine line → element
   */
  constructor(list, { fetchLines, makeLine, onDraw }) {
    Object.assign(this, { list, fetchLines, makeLine, onDraw });
    this.clear();
    this.isFetching = false;
    this.wanted = 0;
    list.addEventListener("scroll", () => this.drawSoon(), { passive: true });
    new ResizeObserver(() => this.drawSoon()).observe(list);
  }

  clear() {
    this.list.replaceChildren();
    this.begin = 0;
    this.end = 0;
    this.lines = new Map(); // index → line; null where the server has none any more
    this.blocks = new Map(); // block → its <ol>
    this.filled = new Set();
    this.target = null; // the index that is to come into view
    this.age = (this.age ?? 0) + 1; // what was asked before is not of this log
  }

  /** The lines that are kept now, `begin` to `end` without `end`. */
  setBounds(begin, end) {
    const first = blockOf(begin);
    for (const [number, element] of this.blocks) {
      if (number < first) {
        this.drop(number, element);
      }
    }
    const known = this.blocks.size ? blockOf(this.end - 1) : first - 1;
    this.begin = begin;
    this.end = Math.max(end, begin);
    const fresh = document.createDocumentFragment();
    for (let number = Math.max(known + 1, first); number <= blockOf(this.end - 1); number += 1) {
      const element = document.createElement("ol");
      element.className = "log-block";
      element.dataset.block = String(number);
      this.blocks.set(number, element);
      fresh.append(element);
    }
    this.list.append(fresh);
    for (let number = Math.max(known, first); number <= blockOf(this.end - 1); number += 1) {
      this.estimate(number);
    }
  }

  drop(number, element) {
    const height = element.offsetHeight;
    element.remove();
    this.blocks.delete(number);
    this.filled.delete(number);
    for (let index = number * BLOCK; index < (number + 1) * BLOCK; index += 1) {
      this.lines.delete(index);
    }
    this.list.scrollTop -= height;
  }

  /** Give an empty block the height it probably has. */
  estimate(number) {
    const element = this.blocks.get(number);
    if (element && !this.filled.has(number)) {
      const [first, last] = this.range(number);
      element.style.blockSize = `${(last - first) * LINE_PX}px`;
    }
  }

  range(number) {
    return [Math.max(number * BLOCK, this.begin), Math.min((number + 1) * BLOCK, this.end)];
  }

  put(lines) {
    for (const line of lines) {
      this.lines.set(line[0] - 1, line);
    }
  }

  isComplete(number) {
    const [first, last] = this.range(number);
    for (let index = first; index < last; index += 1) {
      if (!this.lines.has(index)) {
        return false;
      }
    }
    return true;
  }

  drawSoon() {
    this.wanted ||= requestAnimationFrame(() => {
      this.wanted = 0;
      this.draw();
    });
  }

  /** Fill what is near the view, empty what is far, ask for what is missing. */
  draw() {
    if (!this.blocks.size) {
      return;
    }
    const [low, high] = this.nearBlocks();
    const anchor = this.target === null && !this.isStuck ? this.findAnchor() : null;
    for (const number of [...this.filled]) {
      if ((number < low - 1 || number > high + 1) && !this.isInUse(this.blocks.get(number))) {
        this.empty(number);
      }
    }
    const missing = [];
    for (let number = low; number <= high; number += 1) {
      if (this.isComplete(number)) {
        this.fill(number);
      } else {
        missing.push(number);
      }
    }
    this.keepPlace(anchor);
    this.onDraw?.();
    if (missing.length) {
      this.ask(missing);
    } else {
      this.forget(low, high);
    }
  }

  keepPlace(anchor) {
    if (this.target !== null) {
      this.showTarget();
    } else if (this.isStuck) {
      this.list.scrollTop = this.list.scrollHeight;
    } else if (anchor?.element.isConnected) {
      const moved = anchor.element.getBoundingClientRect().top - anchor.top;
      if (Math.abs(moved) >= 1) {
        this.list.scrollTop += moved;
      }
    }
    this.lastTop = this.list.scrollTop;
  }

  /** The first line in view, and where it is. */
  findAnchor() {
    const { top } = this.list.getBoundingClientRect();
    for (const number of this.filled) {
      const box = this.blocks.get(number).getBoundingClientRect();
      if (box.bottom > top && box.top < top + this.list.clientHeight) {
        const element = [...this.blocks.get(number).children].find((line) => line.getBoundingClientRect().bottom > top);
        if (element) {
          return { element, top: element.getBoundingClientRect().top };
        }
      }
    }
    return null;
  }

  /** The blocks within half a view of the view: offsets rise, so it is found by halving. */
  nearBlocks() {
    const numbers = [...this.blocks.keys()];
    const { scrollTop, clientHeight } = this.list;
    const at = (wanted) => {
      let [low, high] = [0, numbers.length - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.blocks.get(numbers[middle]).offsetTop <= wanted) {
          low = middle;
        } else {
          high = middle - 1;
        }
      }
      return numbers[low];
    };
    return [at(scrollTop - clientHeight / 2), at(scrollTop + 1.5 * clientHeight)];
  }

  fill(number) {
    const element = this.blocks.get(number);
    const [first, last] = this.range(number);
    const shown = this.filled.has(number) && element.lastElementChild ? Number(element.lastElementChild.id.slice(1)) : first;
    const fresh = document.createDocumentFragment();
    for (let index = shown; index < last; index += 1) {
      const line = this.lines.get(index);
      if (line) {
        fresh.append(this.makeLine(line));
      }
    }
    if (fresh.childElementCount) {
      element.append(fresh);
    }
    element.style.blockSize = "";
    this.filled.add(number);
  }

  empty(number) {
    const element = this.blocks.get(number);
    element.style.blockSize = `${element.offsetHeight}px`;
    element.replaceChildren();
    this.filled.delete(number);
  }

  /** Draw every line anew, for it looks different now. Selected ones too. */
  redraw() {
    const anchor = this.isStuck ? null : this.findAnchor();
    const id = anchor?.element.id;
    for (const number of [...this.filled]) {
      this.blocks.get(number).replaceChildren();
      this.filled.delete(number);
      this.fill(number);
    }
    this.keepPlace(id ? { element: document.getElementById(id), top: anchor.top } : null);
    this.drawSoon();
  }

  isInUse(element) {
    const selection = getSelection();
    return (
      element.contains(document.activeElement) ||
      (!selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(element))
    );
  }

  async ask(missing) {
    if (this.isFetching) {
      return; // draws again when it is answered
    }
    this.isFetching = true;
    const { age } = this;
    const first = this.lines.has(missing[0] * BLOCK) ? this.firstMissing(missing[0]) : this.range(missing[0])[0];
    const last = this.range(missing.at(-1))[1];
    // Going up, the lines before are wanted next; going down, those after.
    const goesUp = this.list.scrollTop < (this.askedAt ?? 0);
    this.askedAt = this.list.scrollTop;
    const from = goesUp ? Math.max(this.begin, Math.min(first, last - AT_ONCE)) : first;
    const answer = await this.fetchLines(from, AT_ONCE);
    this.isFetching = false;
    if (!answer || age !== this.age) {
      return;
    }
    this.put(answer.lines);
    // Lines that rotation took between two questions are passed over, not asked for again and again.
    const reached = answer.lines.length ? answer.lines.at(-1)[0] : answer.end;
    for (let index = from; index < reached; index += 1) {
      if (!this.lines.has(index)) {
        this.lines.set(index, null);
      }
    }
    this.setBounds(answer.begin, Math.max(answer.end, this.end));
    this.drawSoon();
  }

  firstMissing(number) {
    const [first, last] = this.range(number);
    for (let index = first; index < last; index += 1) {
      if (!this.lines.has(index)) {
        return index;
      }
    }
    return first;
  }

  /** Memory is bounded too. */
  forget(low, high) {
    if (this.lines.size <= MOST_BLOCKS_IN_MEMORY * BLOCK) {
      return;
    }
    for (const index of [...this.lines.keys()]) {
      const number = blockOf(index);
      if ((number < low - 50 || number > high + 50) && !this.filled.has(number)) {
        this.lines.delete(index);
      }
    }
  }

  isAtEnd() {
    return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < NEAR_END_PX;
  }

  /** Stay at the end while lines come. */
  stick(isStuck) {
    this.isStuck = isStuck;
    if (isStuck) {
      this.target = null;
      this.list.scrollTop = this.list.scrollHeight;
      this.lastTop = this.list.scrollTop;
    }
    this.drawSoon();
  }

  /** Bring a line to the middle of the view, wherever it is. */
  jumpTo(index) {
    const element = this.blocks.get(blockOf(index));
    if (!element) {
      return false;
    }
    this.isStuck = false;
    this.target = index;
    if (!this.filled.has(blockOf(index))) {
      const [first, last] = this.range(blockOf(index));
      const within = (element.offsetHeight * (index - first)) / Math.max(1, last - first);
      this.list.scrollTop = element.offsetTop + within - this.list.clientHeight / 2;
    }
    this.draw();
    return true;
  }

  showTarget() {
    const line = this.lineAt(this.target);
    if (line) {
      const box = line.getBoundingClientRect();
      const own = this.list.getBoundingClientRect();
      this.list.scrollTop += box.top - own.top - Math.max(0, (own.height - box.height) / 2);
      this.target = null;
    }
  }

  lineAt(index) {
    return this.filled.has(blockOf(index)) ? this.list.querySelector(`[id="L${index + 1}"]`) : null;
  }

  /** Every line that is on the page, as [element, index]. */
  *drawn() {
    for (const number of this.filled) {
      for (const element of this.blocks.get(number).children) {
        yield [element, Number(element.id.slice(1)) - 1];
      }
    }
  }
}
