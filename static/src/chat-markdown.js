// Turns a model's Markdown into elements while it is being written.
//
// marked splits the text into blocks. A block that another one follows is frozen: its elements are never
// touched again, and its text never parsed again. The last block is parsed with every paint, half-written
// marks closed by remend, and morphed into place, so that buttons and selections in it survive. Blocks lie in groups:
// the browser goes through the siblings of what changes, and a long answer has hundreds of blocks. A group that is
// full keeps its height while it is out of sight, and the browser leaves it alone.
//
// The text is untrusted: HTML in it is shown as text, links lead to http(s) only and show their host, pictures
// and other media become links, and DOMPurify lets through what is listed here and nothing else.

import DOMPurify from "dompurify";
import { Lexer, Marked } from "marked";
import remend from "remend";

const TAGS = [
  "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span",
  "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
];
const ATTRIBUTES = ["href", "rel", "target", "class", "start", "align", "data-language"];
const GROUP_SIZE = 24;
const BLOCKS = "p, li, h3, h4, h5, h6, blockquote, td, th";

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escapeHtml = (text) => text.replace(/[&<>"']/g, (character) => escapes[character]);

// An address that may be followed, or null: http(s), a host, and nobody's name or password before it.
function parseLink(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  const isWeb = url.protocol === "http:" || url.protocol === "https:";
  return isWeb && url.host && !url.username && !url.password ? url : null;
}

function renderLink(address, inner, plain) {
  const url = parseLink(address);
  if (!url) {
    return `${inner}${plain && plain !== address ? ` <span class="link-host">(${escapeHtml(address)})</span>` : ""}`;
  }
  const href = escapeHtml(url.href);
  const says = plain.replace(/^https?:\/\//, "");
  const isBare = says === url.host || says.startsWith(`${url.host}/`);
  const host = isBare ? "" : ` <span class="link-host">(${escapeHtml(url.host)})</span>`;
  return `<a href="${href}" target="_blank" rel="noopener noreferrer nofollow">${inner}</a>${host}`;
}

const renderer = {
  html: ({ text }) => escapeHtml(text),
  link({ href, tokens, text }) {
    return renderLink(href, this.parser.parseInline(tokens), text);
  },
  image({ href, text }) {
    return renderLink(href, escapeHtml(text || "image"), text || "image");
  },
  heading({ tokens, depth }) {
    const level = Math.min(6, depth + 2); // below the page's own h2 of each message
    return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
  },
  code({ text, lang }) {
    const language = (lang || "").match(/^[\w+#.-]+/)?.[0].toLowerCase() ?? "";
    return `<pre data-language="${escapeHtml(language)}"><code>${escapeHtml(text)}\n</code></pre>`;
  },
  checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
};

const marked = new Marked({ gfm: true, breaks: true, renderer });

const REMEND = { linkMode: "text-only", katex: false };

export class MarkdownView {
  // ``decorate`` is called with each freshly parsed fragment, ``settled`` with each block that is frozen.
  constructor(element, { decorate, settled }) {
    this.element = element;
    this.decorate = decorate;
    this.settled = settled;
    this.reset();
  }

  reset() {
    this.text = "";
    this.frozen = 0; // how much of the text lies in frozen blocks
    this.links = Object.create(null); // [name]: address, seen so far
    this.tail = null;
    this.group = null;
    this.element.replaceChildren();
  }

  // Show ``text``; ``isOver`` when no more comes. Cheap where only the end of the text has grown.
  render(text, isOver) {
    const clean = text.replace(/\r\n?/g, "\n");
    if (!clean.startsWith(this.text.slice(0, this.frozen))) {
      this.reset();
    }
    this.text = clean;
    const tokens = this.#lex(clean.slice(this.frozen));
    while (tokens.length && (isOver || tokens.slice(1).some((token) => token.type !== "space"))) {
      const token = tokens.shift();
      this.frozen += token.raw.length;
      if (token.type !== "space" && token.type !== "def") {
        this.#show(token, this.links);
        this.settled(this.tail);
        this.tail = null;
      }
    }
    const last = tokens.find((token) => token.type !== "space");
    if (last) {
      const raw = last.type === "code" ? last.raw : remend(last.raw, REMEND);
      const [closed] = raw === last.raw ? [last] : this.#lex(raw);
      this.#show(closed ?? last);
    }
  }

  #lex(text) {
    const lexer = new Lexer(marked.defaults);
    lexer.tokens.links = this.links;
    return lexer.lex(text);
  }

  #show(token) {
    const html = marked.parser([token]);
    const fragment = DOMPurify.sanitize(html, {
      ALLOWED_TAGS: TAGS,
      ALLOWED_ATTR: ATTRIBUTES,
      ALLOWED_URI_REGEXP: /^https?:/i,
      ADD_URI_SAFE_ATTR: ATTRIBUTES.filter((name) => name !== "href"), // the pattern is for addresses alone
      ALLOW_DATA_ATTR: false,
      RETURN_DOM_FRAGMENT: true,
    });
    for (const block of fragment.querySelectorAll(BLOCKS)) {
      block.dir = "auto";
    }
    this.decorate(fragment);
    if (!this.tail) {
      this.tail = document.createElement("div");
      this.tail.className = "block";
      this.#lastGroup().append(this.tail);
    }
    morph(this.tail, fragment);
  }

  #lastGroup() {
    if (!this.group || this.group.childElementCount >= GROUP_SIZE) {
      if (this.group) {
        this.group.style.containIntrinsicBlockSize = `auto ${this.group.getBoundingClientRect().height}px`;
        this.group.classList.add("is-full");
      }
      this.group = document.createElement("div");
      this.group.className = "blocks";
      this.element.append(this.group);
    }
    return this.group;
  }
}

// Make ``target``'s children those of ``source``, keeping every node that is the same or only grew.
export function morph(target, source) {
  const wanted = [...source.childNodes];
  for (const [index, node] of wanted.entries()) {
    const present = target.childNodes[index];
    if (!present) {
      target.append(node);
    } else if (present.isEqualNode(node)) {
      continue;
    } else if (present.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) {
      if (node.data.startsWith(present.data)) {
        present.appendData(node.data.slice(present.data.length));
      } else {
        present.data = node.data;
      }
    } else if (present.nodeName === node.nodeName && sameAttributes(present, node)) {
      morph(present, node);
    } else {
      present.replaceWith(node);
    }
  }
  while (target.childNodes.length > wanted.length) {
    target.lastChild.remove();
  }
}

function sameAttributes(one, other) {
  const names = one.getAttributeNames();
  return names.length === other.getAttributeNames().length &&
    names.every((name) => one.getAttribute(name) === other.getAttribute(name));
}
