// The field station: shows one field after the other and sends each decision while the next is on the screen.

import { get, isDoubtful, post } from "./http.js";
import { Outbox } from "./outbox.js";
import { Queue } from "./queue.js";
import { start } from "./start.js";
import { compose, looksLikeASlip } from "./typing.js";

const by = (id) => document.getElementById(id);
const root = by("station");
const input = by("answer");
const station = crypto.randomUUID?.() ?? `station-${Date.now()}-${Math.random().toString(36).slice(2)}`;
const { level, template, source, order } = root.dataset;
const ZOOMS = [1, 1.7, 2.6];
const SHORTCUTS = { b: "blank", u: "unreadable", s: "skip", e: "escalate", z: "zoom", p: "whole" };
const WORDS = { confirm: "confirmed", correct: "keyed", unreadable: "unreadable", skip: "skipped", escalate: "escalated", key: "first key" };

const outbox = new Outbox(); // before the queue: decisions leave before the leases are given back
const queue = new Queue({
  station,
  query: { level, template: template || null, source: source || null, order },
  leaseS: Number(root.dataset.lease),
  onItems: refresh,
});
const recent = [];
let shown = null; // the field on the screen
let since = 0;
let keys = 0;
let zoom = 0;
let slipFor = null; // the text for which Enter was asked a second time

// ---- what is on the screen ----

function refresh() {
  by("waiting").textContent = queue.waiting === null ? "–" : Math.max(0, queue.waiting).toLocaleString("en");
  by("waiting-words").textContent = queue.waiting === 1 ? "field waits" : "fields wait";
  if (shown && input.value && !queue.items.includes(shown)) {
    interrupt(`${shown.label} is in other hands by now, and goes from the screen. What you typed, ${input.value}, is not taken.`);
    input.value = "";
  }
  if (queue.current !== shown) show(queue.current);
  else if (!shown) showNothing();
}

// Keys that are meant for one field must never end up in another: where the field changes under somebody's fingers, a
// dialog takes them until it is closed.
function interrupt(words) {
  by("interruption-words").textContent = words;
  if (!by("interruption").open) by("interruption").showModal();
}

function show(item, { message = "", doubtful = false } = {}) {
  if (shown && shown !== item && input.value) shown.typed = input.value; // for when it is on the screen again
  const typed = item?.typed ?? "";
  shown = item;
  if (!item) return showNothing();
  keys = 0;
  since = performance.now();
  slipFor = null;
  by("label").textContent = item.label;
  by("place").textContent = [item.template, item.scan, `page ${item.page}`].filter(Boolean).join(" · ");
  by("empty").hidden = true;
  showPicture(item);
  input.disabled = false;
  input.value = typed;
  say(message, doubtful);
  update();
  if (!by("sheet").open) input.focus();
}

function showPicture(item) {
  const inner = by("crop-inner");
  for (const old of inner.querySelectorAll("img")) old.remove();
  inner.prepend(item.picture);
  by("outline").hidden = false;
  place(by("outline"), item.crop);
  setZoom(0);
  item.decoded.then((decoded) => {
    if (decoded || shown !== item) return;
    by("empty").hidden = false;
    by("empty").textContent = "The scan cannot be opened: skip the field, or escalate it.";
  });
}

function place(outline, picture) {
  const [x, y, w, h] = picture.box;
  const share = (part, whole) => `${((100 * part) / whole).toFixed(3)}%`;
  outline.style.left = share(x, picture.width);
  outline.style.top = share(y, picture.height);
  outline.style.width = share(w, picture.width);
  outline.style.height = share(h, picture.height);
}

// As large as fits into the room for the crop, then larger around the field's middle.
function setZoom(step) {
  zoom = step;
  if (!shown) return;
  const room = by("crop");
  const { width, height, box } = shown.crop;
  const fit = Math.min(room.clientWidth / width, room.clientHeight / height) * 0.98;
  const scale = fit * ZOOMS[zoom];
  const inner = by("crop-inner");
  inner.style.width = `${width * scale}px`;
  inner.style.height = `${height * scale}px`;
  room.scrollLeft = (box[0] + box[2] / 2) * scale - room.clientWidth / 2;
  room.scrollTop = (box[1] + box[3] / 2) * scale - room.clientHeight / 2;
}

function showNothing() {
  shown = null;
  for (const old of by("crop-inner").querySelectorAll("img")) old.remove();
  by("outline").hidden = true;
  input.value = "";
  input.disabled = true;
  by("label").textContent = level === "supervisor" ? "Nothing is escalated" : "Nothing waits";
  by("place").textContent = "";
  by("ghost").replaceChildren();
  by("slot").dataset.mode = "idle";
  by("empty").hidden = false;
  by("empty").textContent = queue.problem || "Every field is decided. New ones appear here by themselves.";
  by("hint").textContent = "";
  say("");
}

function update() {
  if (!shown) return;
  const answer = compose(shown, input.value);
  by("slot").dataset.mode = answer.kind;
  by("ghost").replaceChildren(
    ...answer.pieces.map((piece) => {
      const span = document.createElement("span");
      span.className = piece.as;
      span.textContent = piece.text;
      return span;
    }),
  );
  by("hint").textContent = hintFor(shown, answer);
  by("enter-words").textContent = answer.kind === "confirm" ? "confirm" : "take it";
}

function hintFor(item, answer) {
  const unit = item.unit ? ` (${item.unit})` : "";
  if (item.kind === "mark") return "Is the box ticked? 1 or X for ticked, 0 for empty.";
  if (answer.kind === "confirm") return `The machine reads ${item.text}${unit}. Enter confirms it, or type what stands there.`;
  if (answer.kind === "partial" && answer.left) {
    return answer.left === 1 ? "Type the missing digit." : `Type the ${answer.left} missing digits.`;
  }
  if (answer.kind === "partial") return "Enter takes it.";
  if (!input.value && item.why.includes("keyed twice")) return `Type what stands there${unit}. This field is keyed twice, unseen.`;
  if (!input.value) return `Type what stands there${unit}.`;
  return "Enter takes it.";
}

function say(message, doubtful = false) {
  by("message").textContent = message;
  by("overrule").hidden = !doubtful;
}

// ---- decisions ----

function enter({ overrule = false } = {}) {
  if (!shown) return;
  const answer = compose(shown, input.value);
  if (shown.kind === "mark" && answer.number) return decide("answer", { number: /^[1xX]$/.test(answer.number) ? "x" : "", overrule });
  if (!answer.ready) {
    say(answer.kind === "partial" ? "Digits are missing: type them, or key the whole number." : "Type the number, or press B if the field is blank.");
    return;
  }
  if (!overrule && looksLikeASlip(shown, answer) && slipFor !== input.value) {
    slipFor = input.value;
    say(`${input.value} is shorter or longer than what the machine sees (${shown.text.replaceAll("_", "▢")}): Enter again takes it.`);
    return;
  }
  decide(answer.kind === "confirm" ? "confirm" : "answer", { number: answer.number, overrule });
}

function decide(action, { number = null, overrule = false } = {}) {
  const item = shown;
  const typed = input.value;
  input.value = "";
  item.typed = "";
  const order = {
    field_id: item.field_id,
    version: item.version,
    token: item.token,
    action,
    number,
    overrule,
    shown: item.mode,
    shown_text: item.text,
    keys,
    seconds: (performance.now() - since) / 1000,
  };
  const entry = { item, action, words: wordsFor(action, number, item), reviewId: null };
  recent.unshift(entry);
  recent.length = Math.min(recent.length, Number(root.dataset.undoable));
  queue.shift();
  if (queue.waiting !== null && action !== "skip") queue.waiting -= 1;
  refresh();
  entry.sent = outbox.send(order).then((result) => settle(entry, result, typed));
  showRecent();
}

function settle(entry, result, typed) {
  if (result.ok) {
    entry.reviewId = result.data.review_id;
    showRecent();
    return;
  }
  recent.splice(recent.indexOf(entry), 1);
  showRecent();
  if (result.kind === "urn:icr:StaleReview") {
    queue.fill();
    say(typed ? `${result.detail} (${entry.item.label}: ${typed})` : result.detail);
    return;
  }
  const message = result.detail.replace("; --overrule takes it as it is", "");
  if (input.value) interrupt(`${entry.item.label} is back on the screen: ${message}. What you have begun to type for ${shown.label} is kept.`);
  entry.item.typed = typed;
  queue.unshift(entry.item);
  if (queue.waiting !== null && entry.action !== "skip") queue.waiting += 1;
  show(entry.item, { message, doubtful: isDoubtful(result) });
}

async function back(entry = recent[0]) {
  if (!entry) {
    say("There is nothing to go back to.");
    return;
  }
  await entry.sent;
  if (entry.reviewId === null) return;
  const result = await post("/review/undo", { station, review_id: entry.reviewId });
  if (!result.ok) {
    say(result.detail);
    return;
  }
  const at = recent.indexOf(entry);
  if (at >= 0) recent.splice(at, 1);
  if (queue.waiting !== null && entry.action !== "skip") queue.waiting += 1;
  for (const item of result.data.items.reverse()) queue.unshift(item);
  refresh();
  showRecent();
  say("Taken back: decide it again.");
}

function wordsFor(action, number, item) {
  if (action === "confirm") return item.text;
  if (action !== "answer") return WORDS[action] ?? action;
  return number || (item.kind === "mark" ? "empty" : "blank");
}

function showRecent() {
  by("recent").replaceChildren(
    ...recent.map((entry) => {
      const line = document.createElement("li");
      const words = document.createElement("span");
      words.className = "decided";
      words.textContent = entry.words;
      const name = document.createElement("span");
      name.className = "of";
      name.textContent = entry.item.label;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = "undo";
      button.setAttribute("aria-label", `undo ${entry.words}, ${entry.item.label}`);
      button.disabled = entry.reviewId === null;
      button.addEventListener("click", () => back(entry));
      line.append(words, name, button);
      return line;
    }),
  );
}

// ---- the whole page ----

function showWhole() {
  if (!shown) return;
  const inner = by("sheet-inner");
  for (const old of inner.querySelectorAll("img")) old.remove();
  const picture = new Image();
  picture.alt = "The whole page, the field outlined";
  picture.src = shown.whole.url;
  inner.prepend(picture);
  place(by("sheet-outline"), shown.whole);
  by("sheet").showModal();
  picture.decode().then(() => by("sheet-outline").scrollIntoView({ block: "center", inline: "center" }), () => {});
}

// ---- keys ----

const ACTS = {
  enter: () => enter(),
  overrule: () => enter({ overrule: true }),
  blank: () => decide("answer", { number: "" }),
  unreadable: () => decide("unreadable"),
  skip: () => decide("skip"),
  escalate: () => decide("escalate"),
  zoom: () => setZoom((zoom + 1) % ZOOMS.length),
  whole: showWhole,
  back: () => back(),
};

function act(name) {
  if (shown || name === "back") ACTS[name]();
}

input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (!["Shift", "Control", "Alt", "Meta"].includes(event.key)) keys += 1;
  if (event.key === "Enter") {
    event.preventDefault();
    act(event.ctrlKey || event.metaKey ? "overrule" : "enter");
  } else if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key === "Backspace" && !input.value) {
    event.preventDefault();
    if (!event.repeat) act("back");
  } else if (/^[a-z]$/i.test(event.key) && !(shown?.kind === "mark" && event.key.toLowerCase() === "x")) {
    event.preventDefault();
    const name = SHORTCUTS[event.key.toLowerCase()];
    if (name && !event.repeat) act(name);
  }
});
input.addEventListener("input", () => {
  if (by("message").textContent) say("");
  update();
});
by("form").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  act(button.dataset.act);
  if (!by("sheet").open) input.focus();
});
by("order").addEventListener("change", () => {
  const query = new URLSearchParams(location.search);
  query.set("order", by("order").value);
  location.assign(`/review?${query}`);
});
for (const id of ["sheet", "interruption"]) by(id).addEventListener("close", () => input.focus());
addEventListener("beforeunload", (event) => {
  if (!outbox.isEmpty || queue.items.some((item) => item.typed)) event.preventDefault(); // the browser asks first
});
addEventListener("resize", () => setZoom(zoom));

// ---- begin ----

start();
for (const row of await get("/review/recent").catch(() => [])) {
  recent.push({
    item: { label: row.name },
    action: row.action,
    words: row.action === "correct" || row.action === "confirm" ? row.after || "blank" : (WORDS[row.action] ?? row.action),
    reviewId: row.review_id,
  });
}
showRecent();
queue.fill();
