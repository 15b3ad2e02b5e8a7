// One line of a log as an element: number, instant, text in its colours, what is searched for marked.
// A log is anybody's text: it only ever becomes text nodes.

const MOST_SHOWN = 2_000;
const MANY_MARKS = 200;

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** "2026-01-31 12:00:00.123" in UTC or in the browser's zone. Digits are Latin, as in the log itself. */
export function timeText(instant, isUtc) {
  if (isUtc) {
    return instant.replace("T", " ").replace("Z", "");
  }
  const at = new Date(instant);
  if (Number.isNaN(at.valueOf())) {
    return instant;
  }
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

export function plainText(text) {
  return typeof text === "string" ? text : text.map(([part]) => part).join("");
}

/** What `copy` puts on the clipboard for a line. */
export function copyText([, instant, text], isUtc) {
  return `${timeText(instant, isUtc)} ${plainText(text)}`;
}

/**
 * @param look isUtc, query (lower case, "" for none), full (whether all of a long line is shown), moreWords
 */
export function lineElement(line, look) {
  const [number, instant, text] = line;
  const item = document.createElement("li");
  item.id = `L${number}`;
  const link = document.createElement("a");
  link.href = `#L${number}`;
  link.tabIndex = -1;
  link.textContent = String(number);
  item.append(link, timeElement(instant, look.isUtc), " ", textElement(text, look));
  return item;
}

function timeElement(instant, isUtc) {
  const time = document.createElement("time");
  time.dateTime = instant;
  const [day, hour] = timeText(instant, isUtc).split(" ");
  const date = document.createElement("span");
  date.className = "log-day";
  date.textContent = `${day} `;
  time.append(date, hour ?? "");
  return time;
}

function textElement(text, look) {
  const words = document.createElement("span");
  words.className = "log-text";
  const plain = plainText(text);
  const shown = look.full ? plain.length : Math.min(plain.length, MOST_SHOWN);
  const marks = look.query ? findAll(plain.slice(0, shown).toLowerCase(), look.query) : [];
  let at = 0;
  for (const [part, classes] of typeof text === "string" ? [[text, ""]] : text) {
    if (at < shown) {
      appendRun(words, part.slice(0, shown - at), classes, at, { marks, length: look.query.length });
    }
    at += part.length;
  }
  if (shown < plain.length) {
    const more = document.createElement("button");
    more.type = "button";
    more.className = "log-more";
    more.textContent = look.moreWords(plain.length - shown);
    words.append(more);
  }
  return words;
}

function findAll(text, query) {
  const found = [];
  for (let at = text.indexOf(query); at >= 0 && found.length < MANY_MARKS; at = text.indexOf(query, at + query.length)) {
    found.push(at);
  }
  return found;
}

/** Append the characters `from` to `from + part.length` of a line, those within a mark as <mark>. */
function appendRun(words, part, classes, from, { marks, length }) {
  let place = words;
  if (classes) {
    place = document.createElement("span");
    place.className = classes;
    words.append(place);
  }
  let at = from;
  const end = from + part.length;
  for (const begin of marks) {
    const first = Math.max(begin, from);
    const last = Math.min(begin + length, end);
    if (first < last) {
      place.append(part.slice(at - from, first - from));
      const mark = document.createElement("mark");
      mark.textContent = part.slice(first - from, last - from);
      place.append(mark);
      at = last;
    }
  }
  place.append(part.slice(at - from));
}

/** Show the instant of a line that is on the page already in another zone. */
export function changeZone(item, isUtc) {
  const time = item.querySelector("time");
  time?.replaceWith(timeElement(time.dateTime, isUtc));
}
