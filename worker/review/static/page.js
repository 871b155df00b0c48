// One page with its fields: the input and its outline belong together, Enter decides and goes on to the next.

import "./scans.js";
import { placeCorners } from "./corners.js";
import { get, isDoubtful, post } from "./http.js";
import { start } from "./start.js";
import { compose } from "./typing.js";

const root = document.getElementById("page");
const message = document.getElementById("message");
const since = new WeakMap();
const keys = new WeakMap();
const asked = new WeakSet(); // inputs whose answer was doubted: Ctrl+Enter takes it

const rowOf = (element) => element.closest("tr[data-field]");
const boxOf = (row) => document.getElementById(`box-${row.dataset.field}`);
const itemOf = (row) => ({ mode: row.dataset.mode, text: row.dataset.text.replaceAll("▢", "_"), kind: row.dataset.kind });

function say(words, good = false) {
  message.textContent = words;
  message.classList.toggle("good", good);
}

async function showRules() {
  const broken = await get(`/pages/${root.dataset.page}/rules`).catch(() => []);
  document.getElementById("rules").replaceChildren(
    ...broken.map((each) => {
      const line = document.createElement("p");
      line.className = "rule";
      line.textContent = `The ${each.rule} does not hold: ${each.words}. Look first at ${each.label}.`;
      return line;
    }),
  );
  for (const row of document.querySelectorAll("tr[data-field]")) {
    const suspected = broken.some((each) => each.suspect === row.dataset.name);
    row.classList.toggle("suspect", suspected);
    boxOf(row).classList.toggle("suspect", suspected);
  }
}

async function decide(input, action, number, overrule = false) {
  const row = rowOf(input);
  const item = itemOf(row);
  const result = await post("/review/decide", {
    field_id: Number(row.dataset.field),
    version: Number(row.dataset.version),
    action,
    number,
    overrule,
    shown: "page",
    shown_text: item.text,
    keys: keys.get(input) ?? 0,
    seconds: (performance.now() - (since.get(input) ?? performance.now())) / 1000,
  });
  if (!result.ok) {
    if (isDoubtful(result)) asked.add(input);
    say(result.detail.replace("; --overrule takes it as it is", isDoubtful(result) ? ": Ctrl+Enter takes it as it is" : ""));
    if (result.kind === "urn:icr:StaleReview") say(`${result.detail}. Load the page anew to see what holds.`);
    input.select();
    return;
  }
  say("");
  goOn(input);
  row.dataset.version = result.data.review_id;
  row.classList.remove("waits");
  boxOf(row).setAttribute("class", "box keyed");
  row.querySelector(".reading").textContent = result.data.after || "–";
  const verdict = document.createElement("span");
  verdict.className = "verdict";
  verdict.textContent = action === "confirm" ? "confirmed" : action === "unreadable" ? "unreadable" : "keyed";
  input.replaceWith(verdict);
  showRules();
}

const waitingInputs = () => [...document.querySelectorAll("tr[data-field] input")];

function goOn(input) {
  const inputs = waitingInputs();
  const next = inputs[inputs.indexOf(input) + 1] ?? document.getElementById("next-page");
  next?.focus();
}

function enter(input, overrule) {
  const row = rowOf(input);
  const answer = compose(itemOf(row), input.value);
  if (row.dataset.kind === "mark" && input.value) return decide(input, "answer", /^[1xX]$/.test(input.value) ? "x" : "");
  if (!answer.ready) return say(answer.kind === "partial" ? "Digits are missing: type them, or key the whole number." : "Type the number, or press B if the field is blank.");
  decide(input, answer.kind === "confirm" ? "confirm" : "answer", answer.number, overrule);
}

document.addEventListener("focusin", (event) => {
  for (const box of document.querySelectorAll(".box.here")) box.classList.remove("here");
  const row = rowOf(event.target);
  if (!row) return;
  boxOf(row).classList.add("here");
  if (event.target.matches("input")) since.set(event.target, performance.now());
});

document.addEventListener("keydown", (event) => {
  const input = event.target;
  if (!input.matches?.("tr[data-field] input") || event.isComposing) return;
  if (!["Shift", "Control", "Alt", "Meta", "Tab"].includes(event.key)) keys.set(input, (keys.get(input) ?? 0) + 1);
  if (event.key === "Tab") {
    const inputs = waitingInputs();
    const next = inputs[inputs.indexOf(input) + (event.shiftKey ? -1 : 1)];
    if (!next) return; // beyond the first and the last, Tab goes where it goes everywhere
    event.preventDefault();
    next.focus();
  } else if (event.key === "Enter") {
    event.preventDefault();
    enter(input, event.ctrlKey && asked.has(input));
  } else if (!event.ctrlKey && !event.metaKey && !event.altKey && /^[a-z]$/i.test(event.key)) {
    if (rowOf(input).dataset.kind === "mark" && event.key.toLowerCase() === "x") return;
    event.preventDefault();
    if (event.key.toLowerCase() === "b") decide(input, "answer", "");
    if (event.key.toLowerCase() === "u") decide(input, "unreadable", null);
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-change]");
  if (!button) return;
  const row = rowOf(button);
  const input = document.createElement("input");
  input.setAttribute("aria-labelledby", `name-${row.dataset.field}`);
  input.maxLength = 64;
  input.size = 12;
  input.autocomplete = "off";
  row.dataset.mode = "whole";
  row.dataset.text = "";
  button.parentElement.replaceChildren(input);
  input.focus();
});

document.getElementById("read-again")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const template = document.getElementById("template").value;
  const result = await post(`/pages/${root.dataset.page}/read-again`, { template });
  say(result.ok ? result.data.words : result.detail, result.ok);
});

if (document.getElementById("template")) placeCorners(root.dataset.page, document.getElementById("template"), say);
start();
showRules();
document.querySelector("tr[data-field] input")?.focus();
