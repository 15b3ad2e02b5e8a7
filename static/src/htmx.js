// htmx 4 and its morph. Its settings are in the page's <meta name="htmx-config">.

import htmx from "htmx.org";
import { writeInstants } from "./instants.js";

let api;
htmx.registerExtension("slipway", {
  init(internal) {
    api = internal;
  },
});

/** Make `target` look like `fresh` in place: nodes stay, so focus, selection, scroll and open menus stay. */
export function morph(target, fresh) {
  writeInstants(fresh);
  if (target.isEqualNode(fresh)) {
    return;
  }
  const fragment = document.createDocumentFragment();
  fragment.append(fresh);
  api.morph(target, fragment, false);
  htmx.process(target);
}

export default htmx;
