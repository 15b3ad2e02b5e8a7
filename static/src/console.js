// What every page loads: htmx, live updates, dialogs, menus, copying, shortcuts.
// Pages work without all this; here they become quick. No inline code anywhere: the CSP forbids it.

import "./csrf.js";
import "./htmx.js";
import "./dialogs.js";
import "./bell.js";
import "./elapsed.js";
import "./live.js";
import "./menus.js";
import "./copy.js";
import "./secrets.js";
import "./fields.js";
import "./shortcuts.js";
import "./selection.js";
import "./strips.js";
import "./palette.js";
import "./sent-once.js";
