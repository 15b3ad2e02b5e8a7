// Numbers and durations as the page's language writes them. The words of units stand in the page, on <body>.

const language = document.documentElement.lang;
const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const count = (value) => whole.format(value);
export const tenths = (value) => tenth.format(value);
/** Milliseconds below a second, else seconds to one decimal: "840 ms", "1.2 s". */
export const exactly = (ms) => (ms < 1000 ? put("inMs", count(Math.round(ms))) : put("inSeconds", tenths(ms / 1000)));

/** Whole seconds as people say them: "12 s", "1 min 52 s", "3 h 5 min". */
export function elapsed(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (seconds < 60) {
    return put("inSeconds", count(seconds));
  }
  return minutes < 60
    ? put("inMinutes", count(minutes)).replace("%s%", count(seconds % 60))
    : put("inHours", count(Math.floor(minutes / 60))).replace("%m%", count(minutes % 60));
}

function put(unit, number) {
  return document.body.dataset[unit].replace("%n%", number);
}
