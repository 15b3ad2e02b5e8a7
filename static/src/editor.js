// The editor of a service document: CodeMirror over the textarea, which stays the field that is sent.
//
// Loaded when an editor is on the page. Where it cannot be, the textarea does all of it but colours and completion.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { history, historyKeymap, indentLess, indentMore, standardKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { json } from "@codemirror/lang-json";
import { yaml } from "@codemirror/lang-yaml";
import { lintGutter, nextDiagnostic, previousDiagnostic, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";

import { completionSource } from "./editor-complete.js";
import { paint } from "./editor-paint.js";

const field = () => document.getElementById("f-document");
const nameOf = () => document.querySelector('label[for="f-document"]')?.textContent.trim() ?? "";

const LANGUAGES = { json, yaml };

class Editor {
  #view;
  #host;
  #language = "";
  #marks = "";
  #isTaking = false;
  #languagePart = new Compartment();
  #namePart = new Compartment();
  #search = null;

  constructor(host, words) {
    this.#host = host;
    const shadow = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    this.#view = new EditorView({
      parent: shadow,
      root: shadow,
      state: EditorState.create({ doc: field().value, extensions: this.#extensions(words) }),
    });
    host.dataset.ready = "";
    this.sync();
  }

  #extensions(words) {
    const source = completionSource(this.#host.dataset.schema, () => this.#language, words.own);
    return [
      EditorState.phrases.of(words.phrases),
      EditorState.tabSize.of(2),
      indentUnit.of("  "),
      lineNumbers(),
      highlightActiveLineGutter(),
      highlightSpecialChars(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      lintGutter(),
      autocompletion({ override: [source], icons: false }),
      EditorView.lineWrapping,
      this.#languagePart.of([]),
      this.#namePart.of([]),
      keymap.of([
        { key: "F8", run: nextDiagnostic, preventDefault: true },
        { key: "Shift-F8", run: previousDiagnostic, preventDefault: true },
        ...closeBracketsKeymap,
        ...completionKeymap,
        { key: "Mod-f", run: (view) => this.#find(view), preventDefault: true },
        { key: "Escape", run: (view) => this.#letTabLeave(view) },
        { key: "Tab", run: indentMore, shift: indentLess },
        ...historyKeymap,
        ...standardKeymap,
      ]),
      EditorView.updateListener.of((update) => update.docChanged && this.#changed(update)),
      EditorView.domEventHandlers({ blur: (_event, view) => view.setTabFocusMode(false) }),
      paint,
    ];
  }

  #changed(update) {
    update.view.setTabFocusMode(false);
    if (!this.#isTaking) {
      field().value = update.state.doc.toString();
      field().dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  /** Esc, then Tab leaves; anything that is typed makes Tab indent again. */
  #letTabLeave(view) {
    view.setTabFocusMode(true);
    return false;
  }

  #find(view) {
    this.#search ??= import("./editor-search.js");
    this.#search.then((loaded) => loaded.openSearch(view));
    return true;
  }

  /** Take over what the server wrote: text, language, name, errors. Taking text over can be undone. */
  sync() {
    const { value, dataset } = field();
    const language = dataset.language;
    const effects = [];
    if (language !== this.#language) {
      this.#language = language;
      effects.push(this.#languagePart.reconfigure(LANGUAGES[language]()));
      const attributes = {
        "aria-label": nameOf(),
        "aria-description": document.getElementById("editor-keys")?.textContent.trim() ?? "",
        tabindex: "0",
      };
      effects.push(this.#namePart.reconfigure(EditorView.contentAttributes.of(attributes)));
    }
    const text = this.#view.state.doc.toString();
    if (text !== value || effects.length > 0) {
      this.#isTaking = true;
      const changes = text === value ? [] : [{ from: 0, to: text.length, insert: value }];
      this.#view.dispatch({ changes, effects });
      this.#isTaking = false;
    }
    this.#mark();
  }

  #mark() {
    const rows = [...document.querySelectorAll("#document-errors [data-message], #notes [data-message]")];
    const told = rows.map((row) => `${row.dataset.line}:${row.dataset.column}:${row.dataset.message}`).join("\n");
    if (told === this.#marks) {
      return;
    }
    this.#marks = told;
    const diagnostics = rows
      .filter((row) => Number(row.dataset.line) > 0)
      .map((row) => ({ ...this.#range(row.dataset), severity: row.closest("#notes") ? "warning" : "error", message: row.dataset.message }))
      .sort((one, other) => one.from - other.from);
    this.#view.dispatch(setDiagnostics(this.#view.state, diagnostics));
  }

  /** From the place that the server named to the end of the line, at least one character. */
  #range({ line, column }) {
    const { doc } = this.#view.state;
    const row = doc.line(Math.min(Math.max(Number(line), 1), doc.lines));
    const from = Math.min(row.from + Math.max(Number(column) - 1, 0), row.to);
    return { from: from === row.to && row.length > 0 ? row.to - 1 : from, to: row.to };
  }

  focusAt(place) {
    const { from } = this.#range(place);
    this.#view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    this.#view.focus();
  }

  focus() {
    this.#view.focus();
  }
}

/** The editor in `host`, over the field of the document. */
export function mountEditor(host, words) {
  return new Editor(host, words);
}
