// Where the cursor is in a service document: pure functions of the text, good for text that is half written.
//
// Both give { path, role, key, from, quoted, names }: the path of the object or list around the cursor ("[]" is an
// entry of a list), whether a "name" or a "value" is written there, the name that a value belongs to, where what is
// being written begins, and the names that the object has already.

const JSON_TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/g;

export function jsonContext(text, pos) {
  const stack = [];
  const top = () => stack[stack.length - 1];
  let from = pos;
  let quoted = false;
  JSON_TOKEN.lastIndex = 0;
  for (let found = JSON_TOKEN.exec(text); found && found.index < pos; found = JSON_TOKEN.exec(text)) {
    const [token] = found;
    const end = found.index + token.length;
    const isText = token[0] === '"';
    const isOpenText = isText && (token.length === 1 || !token.endsWith('"') || end > pos);
    if (isOpenText || (!isText && !"{}[],:".includes(token) && end >= pos)) {
      from = found.index;
      quoted = isText;
      break;
    }
    const frame = top();
    if (token === "{") {
      stack.push({ kind: "object", key: null, names: new Set(), wantsName: true });
    } else if (token === "[") {
      stack.push({ kind: "list" });
    } else if (token === "}" || token === "]") {
      stack.pop();
    } else if (token === ":" && frame) {
      frame.wantsName = false;
    } else if (token === "," && frame?.kind === "object") {
      frame.wantsName = true;
      frame.key = null;
    } else if (isText && frame?.kind === "object" && frame.wantsName) {
      frame.key = token.slice(1, -1);
      frame.names.add(frame.key);
    }
  }
  const frame = top();
  const path = stack.slice(0, -1).map((one) => (one.kind === "list" ? "[]" : one.key));
  if (!frame) {
    return { path: [], role: "none", key: null, from, quoted, names: new Set() };
  }
  if (frame.kind === "list") {
    return { path: [...path, "[]"], role: "entry", key: null, from, quoted, names: new Set() };
  }
  const role = frame.wantsName ? (frame.key === null ? "name" : "none") : "value";
  return { path, role, key: frame.key, from, quoted, names: frame.names };
}

const YAML_LINE = /^( *)((?:- +|-$)*)(?:(["']?)([^"'#:\s][^"'#:]*?)\3:(?: +|$))?(.*)$/;

/** A line's parts: columns of its dashes, column and name of its key, and what follows. */
function yamlLine(line) {
  const [, spaces, dashes, , key, rest] = YAML_LINE.exec(line);
  const columns = [...dashes.matchAll(/-/g)].map((one) => spaces.length + one.index);
  return { dashes: columns, column: spaces.length + dashes.length, key: key ?? null, rest };
}

export function yamlContext(text, pos) {
  const before = text.slice(0, pos);
  const start = before.lastIndexOf("\n") + 1;
  const here = yamlLine(before.slice(start));
  const written = /[^\s"'{}[\],:]*$/.exec(before.slice(start))[0];
  const from = pos - written.length;
  const names = new Set();
  const steps = [];
  let column = here.column;
  if (here.dashes.length > 0) {
    steps.unshift(...here.dashes.map(() => "[]"));
    column = here.dashes[0] + 0.5; // a list may stand in its key's own column
  }
  const lines = before.slice(0, start).split("\n").slice(0, -1);
  for (let index = lines.length - 1; index >= 0 && column > 0; index -= 1) {
    const line = yamlLine(lines[index]);
    if (/^\s*(#|$)/.test(lines[index]) || (line.key === null && line.dashes.length === 0)) {
      continue;
    }
    if (line.column === column && line.key !== null) {
      if (steps.length === 0) {
        names.add(line.key);
      }
      if (line.dashes.length > 0) {
        steps.unshift(...line.dashes.map(() => "[]"));
        column = line.dashes[0] + 0.5;
      }
    } else if (line.column < column && line.key !== null && line.rest === "") {
      steps.unshift(line.key);
      column = line.column;
      if (line.dashes.length > 0) {
        steps.unshift(...line.dashes.map(() => "[]"));
        column = line.dashes[0] + 0.5;
      }
    }
  }
  if (column === 0) {
    for (const line of lines) {
      const { key, column: at } = yamlLine(line);
      if (at === 0 && key !== null && steps.length === 0) {
        names.add(key);
      }
    }
  }
  const role = here.key !== null ? "value" : "name";
  return { path: steps, role, key: here.key, from, quoted: false, names };
}
