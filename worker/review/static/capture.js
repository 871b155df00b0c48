// Page after page goes to the API as it is; the batch is the scans' reference. A page that did not arrive is sent again.

import { start } from "./start.js";

const by = (id) => document.getElementById(id);
const LOOK_AGAIN_MS = 2000;
const WORDS = { queued: "waits to be read", running: "is being read", done: "read", failed: "failed", dead: "failed", duplicate: "was sent before" };

by("reference").value = `batch ${new Date().toISOString().slice(0, 16).replace("T", " ")}`;

by("photo").addEventListener("change", () => {
  for (const file of by("photo").files) send(file, crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, makeLine(file));
  by("photo").value = "";
});

function makeLine(file) {
  const line = document.createElement("li");
  const picture = new Image();
  picture.alt = "";
  if (file.type.startsWith("image/")) picture.src = URL.createObjectURL(file);
  const words = document.createElement("span");
  words.textContent = file.name;
  const state = document.createElement("span");
  state.className = "state";
  line.append(picture, words, state);
  by("shots").prepend(line);
  return line;
}

async function send(file, key, line) {
  const state = line.querySelector(".state");
  state.textContent = "is being sent";
  const query = new URLSearchParams({ reference: by("reference").value });
  if (by("template").value) query.set("template", by("template").value);
  const headers = { "Idempotency-Key": key, "Content-Type": "application/octet-stream" };
  const answer = await fetch(`/v1/scans?${query}`, { method: "POST", body: file, headers }).catch(() => null);
  const told = await answer?.json().catch(() => ({}));
  if (answer?.ok) return watch(told.id, line);
  state.textContent = told?.detail ?? "the server does not answer";
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = "Send again";
  again.addEventListener("click", () => {
    again.remove();
    send(file, key, line);
  });
  line.append(again);
}

async function watch(id, line) {
  const state = line.querySelector(".state");
  for (;;) {
    const answer = await fetch(`/v1/scans/${id}`).catch(() => null);
    const scan = answer?.ok ? await answer.json() : null;
    if (scan) state.textContent = [WORDS[scan.state], scan.failure?.reason].filter(Boolean).join(": ");
    if (scan && !["queued", "running"].includes(scan.state)) {
      if (scan.awaiting) state.textContent += `, ${scan.awaiting} to look at`;
      return;
    }
    await new Promise((rested) => setTimeout(rested, LOOK_AGAIN_MS));
  }
}

start();
