// Numbers, put into the sentences that the page brought along.

import { count, exactly, tenths } from "./numbers.js";

const language = document.documentElement.lang;
const plurals = new Intl.PluralRules(language);

// A sentence with its number; of a pair the first is for one.
export function counted(sentence, value) {
  const form = Array.isArray(sentence) ? sentence[plurals.select(value) === "one" ? 0 : 1] : sentence;
  return form.replace("%n%", count(value));
}

// Words as people count them, also where none are written between blanks.
export function countWords(text) {
  if (!Intl.Segmenter) {
    return text.split(/\s+/u).filter(Boolean).length;
  }
  let words = 0;
  for (const { isWordLike } of new Intl.Segmenter(language, { granularity: "word" }).segment(text)) {
    words += isWordLike;
  }
  return words;
}

// Why an answer ends where it does, and what it was not based on.
export function noticeLine(told, text, words) {
  const said = [];
  const written = told.stats.completion_tokens;
  if (told.status === "failed") {
    const isBrokenOff = text && written && words.brokenOff.includes(told.error?.code);
    said.push(isBrokenOff ? counted(words.cutOff, written) : told.error?.message ?? "");
  } else if (words[told.status]) {
    said.push(words[told.status]);
  } else if (told.finish_reason === "length") {
    said.push(words.length);
  }
  if (told.rounds_left_out) {
    said.push(counted(words.leftOut, told.rounds_left_out));
  }
  return said.join(" ");
}

// "First token 240 ms · 31.2 tokens/s · 24 tokens in, 130 out · r3"
export function statsLine(stats, words) {
  const parts = [];
  const wait = stats.first_token_ms;
  if (wait !== null) {
    parts.push(words.firstToken.replace("%t%", exactly(wait)));
  }
  if (stats.tokens_per_second !== null) {
    parts.push(words.rate.replace("%n%", tenths(stats.tokens_per_second)));
  }
  if (stats.completion_tokens !== null) {
    parts.push(
      (stats.prompt_tokens === null ? words.tokensOut : words.tokens)
        .replace("%in%", count(stats.prompt_tokens ?? 0)).replace("%out%", count(stats.completion_tokens)),
    );
  }
  if (stats.revision !== null) {
    parts.push(`r${stats.revision}`);
  }
  return parts.join(" · ");
}
