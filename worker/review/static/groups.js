// One screen of digits that were read alike: arrows and a digit correct one, Enter confirms the rest.

import { isPassing, post } from "./http.js";
import { forgetPictures, loadPicture } from "./pictures.js";
import { start } from "./start.js";

const by = (id) => document.getElementById(id);
const tiles = by("tiles");
let group = null;
let corrections = {};
let keys = 0;
let since = 0;
let chosen = null; // the digit that somebody asked for, null for the one with the most to check

function say(words, good = false) {
  by("message").textContent = words;
  by("message").classList.toggle("good", good);
}

async function take() {
  const result = await post("/groups/take", { digit: chosen });
  if (!result.ok) return say(result.detail);
  group = result.data;
  corrections = {};
  keys = 0;
  const counts = Object.values(group.left);
  const left = counts.reduce((sum, count) => sum + count, 0);
  const orMore = (count) => (count >= group.most ? "+" : "");
  by("left").textContent = `${left.toLocaleString("en")}${orMore(Math.max(0, ...counts))} doubtful digits to check`;
  for (const button of by("digits").children) {
    const count = group.left[button.dataset.digit] ?? 0;
    button.querySelector("small").textContent = `${count}${orMore(count)}`;
    button.setAttribute("aria-pressed", String(Number(button.dataset.digit) === group.digit));
  }
  by("confirm").disabled = !group.group_id;
  by("title").textContent = group.group_id ? `Read as ${group.digit}` : "No doubtful digit is left";
  tiles.replaceChildren(...group.pictures.map((_, at) => makeTile(at)));
  forgetPictures();
  const mine = group;
  await Promise.all(group.pictures.map((url, at) => loadPicture(tiles.children[at].firstElementChild, url)));
  if (mine !== group) return;
  since = performance.now();
  tiles.firstElementChild?.focus();
}

function makeTile(at) {
  const tile = document.createElement("button");
  tile.type = "button";
  tile.className = "tile";
  tile.tabIndex = at ? -1 : 0;
  tile.dataset.at = at;
  const picture = new Image();
  picture.alt = "";
  const answer = document.createElement("span");
  answer.className = "answer-digit";
  tile.append(picture, answer);
  label(tile);
  return tile;
}

function label(tile) {
  const answer = corrections[tile.dataset.at];
  tile.setAttribute("aria-label", `Digit ${Number(tile.dataset.at) + 1} of ${group.pictures.length}, ${answer ? `corrected to ${answer}` : `read as ${group.digit}`}`);
  tile.classList.toggle("corrected", Boolean(answer));
  tile.querySelector(".answer-digit").textContent = answer ?? "";
}

function move(tile, step) {
  const next = tiles.children[Number(tile.dataset.at) + step];
  if (!next) return;
  tile.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

const columns = () => {
  const [first] = tiles.children;
  return [...tiles.children].filter((tile) => tile.offsetTop === first.offsetTop).length;
};

async function confirm() {
  if (!group?.group_id) return;
  by("confirm").disabled = true;
  const seconds = (performance.now() - since) / 1000;
  const result = await post(`/groups/${group.group_id}`, { corrections, keys, seconds });
  if (!result.ok) {
    say(result.detail);
    if (!isPassing(result)) return take();
    by("confirm").disabled = false; // the corrections stay
    return;
  }
  const { shown, planted, missed, corrected, decided } = result.data;
  if (missed) say(`${missed} of ${planted} known wrong ones were missed, so that the others are shown again.`);
  else say(`${shown - corrected} confirmed, ${corrected} corrected; ${decided} ${decided === 1 ? "field is" : "fields are"} decided.`, true);
  take();
}

tiles.addEventListener("keydown", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
  if (event.key in steps) move(tile, steps[event.key]);
  else if (event.key === "Enter") confirm();
  else if (/^[0-9?]$/.test(event.key)) correct(tile, event.key);
  else if (event.key === "Backspace" || event.key === "Delete") correct(tile, null);
  else return;
  keys += 1;
  event.preventDefault();
});

function correct(tile, answer) {
  if (answer === null || answer === String(group.digit)) delete corrections[tile.dataset.at];
  else corrections[tile.dataset.at] = answer;
  label(tile);
}

by("digits").addEventListener("click", (event) => {
  const button = event.target.closest("[data-digit]");
  if (!button) return;
  chosen = Number(button.dataset.digit);
  say("");
  take();
});
by("confirm").addEventListener("click", confirm);
start();
take();
