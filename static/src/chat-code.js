// Code in answers: a frame with its language and a copy button, and colours once the block is complete.

const LONGEST_COLOURED = 100_000;
let highlighter = null; // a promise, from the first block that needs it

// Put every <pre> of a freshly parsed fragment into a frame. The same input gives equal nodes, so that a morph
// leaves them alone.
export function frameCode(fragment, words) {
  for (const pre of fragment.querySelectorAll("pre")) {
    const language = pre.dataset.language;
    const frame = document.createElement("div");
    frame.className = "code answer-code";
    const head = document.createElement("div");
    head.className = "answer-code-head";
    const name = document.createElement("span");
    name.textContent = language || words.code;
    name.dir = "ltr";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-quiet button-small";
    button.dataset.copyCode = "";
    const label = document.createElement("span");
    label.textContent = words.copy;
    button.append(label);
    head.append(name, button);
    pre.replaceWith(frame);
    pre.dir = "ltr";
    pre.tabIndex = 0;
    frame.append(head, pre);
  }
}

// Colour the code of a block that changes no more.
export async function colourCode(block) {
  for (const pre of block.querySelectorAll("pre[data-language]")) {
    const code = pre.firstElementChild;
    const language = pre.dataset.language;
    if (!code || !language || code.textContent.length > LONGEST_COLOURED) {
      continue;
    }
    highlighter ??= import("./chat-highlight.js");
    const { highlight } = await highlighter;
    const html = highlight(code.textContent, language);
    if (html) {
      code.innerHTML = html; // highlight.js escapes the code and adds spans
    }
  }
}
