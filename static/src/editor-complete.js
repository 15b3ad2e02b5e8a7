// Completion from the document's JSON schema, which the server derives from what it validates with.

import { jsonContext, yamlContext } from "./editor-path.js";

let schema = null;

async function load(address) {
  schema ??= fetch(address, { headers: { Accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(String(answer.status)))))
    .catch(() => {
      schema = null; // asked again with the next key
      return null;
    });
  return schema;
}

/** The part of the schema at a path, null where it says nothing. */
export function partAt(root, path) {
  let place = root;
  for (const step of path) {
    const choices = [place, ...(place?.anyOf ?? [])];
    place = choices.map((one) => (step === "[]" ? one?.items : one?.properties?.[step])).find(Boolean);
    if (!place) {
      return null;
    }
  }
  return place;
}

function kindOf(part) {
  return part.type ?? (part.properties ? "object" : part.items ? "array" : "");
}

function nameOption(name, part, language, words, quoteFollows) {
  const kind = kindOf(part);
  const isBlock = kind === "object" || kind === "array";
  const details = [part.deprecated ? words.kept : "", part.default === undefined ? "" : `${words.default} ${part.default}`];
  return {
    label: name,
    type: isBlock ? "namespace" : "property",
    detail: details.filter(Boolean).join(", "),
    info: part.description,
    boost: part.deprecated ? -50 : 0,
    apply(view, completion, from, to) {
      const line = view.state.doc.lineAt(from);
      const column = from - line.from;
      let text;
      let cursor;
      if (language === "json") {
        const end = quoteFollows && view.state.sliceDoc(to, to + 1) === '"' ? to + 1 : to;
        const hasColon = /^\s*:/.test(view.state.sliceDoc(end, end + 20));
        const value = kind === "object" ? "{}" : kind === "array" ? "[]" : kind === "string" ? '""' : "";
        text = hasColon ? `"${name}"` : `"${name}": ${value}`;
        cursor = from + text.length - (hasColon || value === "" ? 0 : 1);
        if (!hasColon && /^\s*"/.test(view.state.sliceDoc(end, end + 400))) {
          text += ","; // another name follows
        }
        view.dispatch({ changes: { from, to: end, insert: text }, selection: { anchor: cursor }, userEvent: "input.complete" });
        return;
      }
      text = `${name}: `;
      if (isBlock) {
        text = `${name}:\n${" ".repeat(column + 2)}${kind === "array" ? "- " : ""}`;
      }
      view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + text.length }, userEvent: "input.complete" });
    },
  };
}

/** Put a value in the place of what was begun, with the quote that the editor closed it with. */
function replaceText(view, { label }, from, to) {
  const end = label.endsWith('"') && view.state.sliceDoc(to, to + 1) === '"' ? to + 1 : to;
  const selection = { anchor: from + label.length };
  view.dispatch({ changes: { from, to: end, insert: label }, selection, userEvent: "input.complete" });
}

function values(part, language) {
  const found = [...(part.enum ?? []), ...(part.anyOf ?? []).flatMap((one) => one.enum ?? [])];
  if (kindOf(part) === "boolean") {
    found.push(true, false);
  } else if (part.default !== undefined && !found.includes(part.default)) {
    found.push(part.default);
  }
  return found.map((value) => {
    const text = language === "json" ? JSON.stringify(value) : String(value);
    return { label: text, type: "enum", info: part.description, apply: replaceText };
  });
}

/** A CodeMirror completion source for the language that `languageOf()` names. */
export function completionSource(address, languageOf, words) {
  return async (context) => {
    const language = languageOf();
    const text = context.state.doc.toString();
    const read = language === "yaml" ? yamlContext : jsonContext;
    const place = read(text, context.pos);
    const written = text.slice(place.from, context.pos);
    if (!context.explicit && written.replace('"', "") === "") {
      return null;
    }
    const root = await load(address);
    if (!root || context.aborted) {
      return null;
    }
    if (place.role === "value" || place.role === "entry") {
      const part = partAt(root, place.role === "entry" ? place.path : [...place.path, place.key]);
      const options = part ? values(part, language) : [];
      return options.length > 0 ? { from: place.from, options, filter: true, validFor: /^"?[\w.%-]*"?$/ } : null;
    }
    const part = place.role === "name" ? partAt(root, place.path) : null;
    if (!part?.properties) {
      return null;
    }
    const required = new Set(part.required ?? []);
    const options = Object.entries(part.properties)
      .filter(([name]) => !place.names.has(name))
      .map(([name, one]) => {
        const option = nameOption(name, one, language, words, place.quoted);
        return required.has(name) ? { ...option, boost: 50, detail: words.required } : option;
      });
    if (language === "json") {
      return { from: place.from, options: options.map((one) => ({ ...one, label: `"${one.label}"`, displayLabel: one.label })) };
    }
    return { from: place.from, options, validFor: /^[\w.]*$/ };
  };
}
