"use strict";
// The page keeps the dialogue and sends it whole; text is only ever set as text, never as markup.
const turns = document.getElementById("turns");
const message = document.getElementById("message");
const send = document.getElementById("send");
const stop = document.getElementById("stop");
let dialogue = [];
let running = null;

function show(role, text) {
  const item = document.createElement("li");
  item.dataset.role = role;
  item.textContent = text;
  turns.append(item);
  item.scrollIntoView({ block: "end" });
  return item;
}

async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}

async function ask(text) {
  dialogue.push({ role: "user", content: text });
  show("user", text);
  const item = show("assistant", "");
  running = new AbortController();
  send.disabled = true;
  stop.disabled = false;
  try {
    const response = await fetch("webui/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages: dialogue, stream: true }),
      signal: running.signal,
    });
    if (!response.ok) throw new Error((await response.json()).error?.message ?? response.statusText);
    for await (const event of readEvents(response.body)) {
      if (event.error) throw new Error(event.error.message);
      item.textContent += event.choices[0]?.delta?.content ?? "";
    }
  } catch (error) {
    if (error.name !== "AbortError") show("error", error.message);
  } finally {
    if (item.textContent) dialogue.push({ role: "assistant", content: item.textContent });
    else {
      item.remove();
      dialogue.pop();
    }
    running = null;
    send.disabled = false;
    stop.disabled = true;
    message.focus();
  }
}

document.getElementById("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = message.value.trim();
  if (!text || running) return;
  message.value = "";
  ask(text);
});
message.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    document.getElementById("ask").requestSubmit();
  }
});
stop.addEventListener("click", () => running?.abort());
document.getElementById("clear").addEventListener("click", () => {
  running?.abort();
  dialogue = [];
  turns.replaceChildren();
});
fetch("health")
  .then((response) => response.json())
  .then((health) => {
    if (health.model) document.getElementById("model").textContent = health.model;
  });
