// The Monitoring page: times on the reader's clock, and a crosshair that pointer and arrow keys move. The numbers it tells
// stand in each chart's table, with their words; here are none.

const language = document.documentElement.lang;
const clocks = {
  "": new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }),
  day: new Intl.DateTimeFormat(language, { month: "short", day: "numeric" }),
  both: new Intl.DateTimeFormat(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }),
};
const places = new Map(); // where each chart's crosshair stands, by the chart's id

function writeTimes(root) {
  for (const time of root.querySelectorAll("time[data-clock]")) {
    time.textContent = clocks[time.dataset.clock].format(Date.parse(time.dateTime));
  }
}

function rowsOf(chart) {
  return [...chart.querySelectorAll("tbody tr")];
}

/** "10:15 · All 1.2 · 200 1.1 · Updating to r2.", of a row of the table. */
function tell(chart, row) {
  const heads = [...chart.querySelectorAll("thead th")].map((head) => head.textContent);
  const parts = [...row.cells].map((cell, place) => {
    const isWhole = place === 0 || cell.matches(".chart-happened");
    return isWhole ? cell.textContent : `${heads[place]} ${cell.textContent}`;
  });
  return parts.filter(Boolean).join(" · ");
}

function show(chart, place) {
  const rows = rowsOf(chart);
  const at = Math.max(0, Math.min(rows.length - 1, place));
  const plot = chart.querySelector(".chart-plot");
  const told = tell(chart, rows[at]);
  places.set(chart.id, at);
  plot.setAttribute("aria-valuenow", String(at));
  plot.setAttribute("aria-valuetext", told);
  const cross = plot.querySelector(".chart-cross") ?? plot.appendChild(Object.assign(document.createElement("span"), { className: "chart-cross" }));
  cross.style.insetInlineStart = `${((at + 0.5) / rows.length) * 100}%`;
  chart.querySelector(".chart-told").textContent = told; // for eyes: the slider's value says it, too
}

function hide(chart) {
  places.delete(chart.id);
  chart.querySelector(".chart-cross")?.remove();
  chart.querySelector(".chart-told").textContent = "";
}

/** A plot is a slider over time. Called again after each refetch, which takes away what the server did not write. */
function prepare() {
  writeTimes(document);
  for (const chart of document.querySelectorAll("[data-chart]")) {
    const plot = chart.querySelector(".chart-plot");
    const last = rowsOf(chart).length - 1;
    const attributes = { role: "slider", tabindex: "0", "aria-valuemin": "0", "aria-valuemax": String(last), "aria-valuenow": String(last) };
    for (const [name, value] of Object.entries(attributes)) {
      plot.setAttribute(name, value);
    }
    plot.setAttribute("aria-labelledby", `${chart.id}-title`);
    plot.setAttribute("aria-valuetext", tell(chart, rowsOf(chart)[last]));
    if (places.has(chart.id)) {
      show(chart, places.get(chart.id));
    }
  }
}

const MOVES = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 };

document.addEventListener("keydown", (event) => {
  const plot = event.target.closest?.(".chart-plot");
  if (!plot || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const chart = plot.closest("[data-chart]");
  if (event.key === "Escape") {
    hide(chart);
  } else if (event.key in MOVES) {
    event.preventDefault();
    show(chart, (places.get(chart.id) ?? rowsOf(chart).length - 1) + MOVES[event.key]);
  }
});

document.addEventListener("pointermove", (event) => {
  const plot = event.target.closest?.(".chart-plot");
  if (plot) {
    const box = plot.getBoundingClientRect();
    const chart = plot.closest("[data-chart]");
    show(chart, Math.floor(((event.clientX - box.left) / box.width) * rowsOf(chart).length));
  }
});

document.addEventListener("pointerout", (event) => {
  const plot = event.target.closest?.(".chart-plot");
  if (plot && !plot.contains(event.relatedTarget) && document.activeElement !== plot) {
    hide(plot.closest("[data-chart]"));
  }
});

document.addEventListener("slipway:updated", prepare);
prepare();
