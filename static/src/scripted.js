// Classic script in <head>: says before the first paint that scripts run, so that nothing moves when they do.
// Taken back when a script of the page cannot be loaded: then the page has to work without.

document.documentElement.dataset.js = "";
addEventListener("error", (event) => event.target instanceof HTMLScriptElement && delete document.documentElement.dataset.js, true);
