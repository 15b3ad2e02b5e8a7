// The log's address: which lines it names (#L12, #L12-L40), and what is looked at.

const HASH = /^#L(\d+)(?:-L?(\d+))?$/;

/** [first, last] numbers of the lines that the address names, or null. */
export function namedLines() {
  const found = HASH.exec(location.hash);
  if (!found) {
    return null;
  }
  const ends = [Number(found[1]), Number(found[2] ?? found[1])];
  return [Math.min(...ends), Math.max(...ends)];
}

export function hashOf(lines) {
  if (!lines) {
    return "";
  }
  return lines[0] === lines[1] ? `#L${lines[0]}` : `#L${lines[0]}-L${lines[1]}`;
}

/** Change parameters without a visit of its own in the history; an empty value takes one out. */
export function writeAddress(changes, hash = location.hash) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    value ? query.set(name, value) : query.delete(name);
  }
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : "") + hash);
}
