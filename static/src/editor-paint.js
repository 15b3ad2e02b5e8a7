// The editor's looks: the tokens of the page, in both themes. It lives in a shadow root, whose style sheets are
// objects: the page's CSP takes no <style> elements.

import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--code-name)" },
  { tag: [tags.string, tags.content], color: "var(--code-string)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: [tags.bool, tags.null, tags.keyword], color: "var(--code-keyword)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--code-comment)" },
]);

const squiggle = (colour) => ({ backgroundImage: "none", textDecoration: `underline wavy var(--${colour})` });

export const paint = [
  syntaxHighlighting(colours),
  EditorView.theme({
    "&": { color: "var(--text)", backgroundColor: "var(--surface)", border: "1px solid var(--border)", borderRadius: "var(--radius)", fontSize: "13px" },
    "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
    ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "20px", minHeight: "320px", maxHeight: "max(360px, calc(100dvh - 360px))", overflow: "auto" },
    ".cm-content": { caretColor: "var(--text)", padding: "8px 0" },
    ".cm-cursor": { borderLeftColor: "var(--text)" },
    ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--muted)", borderInlineEnd: "1px solid var(--hairline)" },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 8%, transparent)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 30%, transparent)" },
    ".cm-matchingBracket": { backgroundColor: "var(--accent-tint)", outline: "1px solid var(--accent)" },
    ".cm-lintRange-error": squiggle("bad"),
    ".cm-lintRange-warning": squiggle("warn"),
    ".cm-lint-marker": { inlineSize: "10px", blockSize: "10px", marginBlockStart: "5px" },
    ".cm-tooltip": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--border)", borderRadius: "var(--radius)", boxShadow: "var(--shadow-raised)" },
    ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "240px" },
    ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 8px", lineHeight: "20px" },
    ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--primary)", color: "#fff" },
    ".cm-tooltip-autocomplete ul li[aria-selected] .cm-completionDetail": { color: "#fff" },
    ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal" },
    ".cm-completionIcon": { display: "none" },
    ".cm-completionInfo": { fontFamily: "var(--font)", maxWidth: "320px", padding: "6px 10px" },
    ".cm-diagnostic": { fontFamily: "var(--font)", padding: "6px 10px" },
    ".cm-diagnostic-error": { borderInlineStart: "4px solid var(--bad)" },
    ".cm-diagnostic-warning": { borderInlineStart: "4px solid var(--warn)" },
    ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)" },
    ".cm-panel.cm-search label": { fontSize: "13px", whiteSpace: "nowrap" },
    ".cm-panel.cm-search .cm-textfield, .cm-panel.cm-search .cm-button, .cm-panel.cm-search [name=close]": { font: "inherit", color: "var(--text)", background: "var(--surface)", border: "1px solid var(--border)", borderRadius: "var(--radius)", padding: "4px 8px", margin: "2px 4px 2px 0", fontSize: "13px", minBlockSize: "32px" },
    ".cm-searchMatch": { backgroundColor: "var(--warn-tint)" },
    "@media (max-width: 900px)": { "&": { fontSize: "16px" }, ".cm-scroller": { lineHeight: "24px" } },
  }),
];
