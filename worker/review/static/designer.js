// The template designer: the JSON of the template is the only state; what is on the screen follows from it.

import { get, post } from "./http.js";
import { readAlongWith, showProblems } from "./reading.js";
import { listenToRules, putFieldRule, showFieldRule, showRules } from "./rules.js";
import { MOST_ROWS, drawSpot, makeShape, rectOf, set } from "./shapes.js";
import { start } from "./start.js";

const by = (id) => document.getElementById(id);
const root = by("designer");
const base = `/templates/${root.dataset.name}`;
const sheet = by("sheet");
const STEP_MM = 0.5;
const LEAST_MM = 2;
const VERIFIED_FROM = ["number", "amount"];
let template = await get(`${base}/template`);
let chosen = -1;
let readings = {};
const selected = new Set();

const round = (mm) => Math.round(mm * 100) / 100;
const fieldsOf = () => (template.fields ??= []);

// Single fields first, then the fields of the first row of all repeated rows.
const spotsOf = () => [
  ...fieldsOf().map((field) => ({ field })),
  ...(template.rows ?? []).flatMap((rows) => rows.fields.map((field) => ({ field, rows }))),
];
const selectedPlaces = () => fieldsOf().flatMap((field, at) => (selected.has(field) ? [at] : []));
const nameOf = ({ field, rows }) => (rows ? `${rows.name ?? "row"} 1 to ${rows.count}: ${field.label || field.name}` : field.label || field.name);

function say(words, good = false) {
  by("message").textContent = words;
  by("message").classList.toggle("good", good);
}

// ---- drawing ----

function draw() {
  drawSheet();
  showList();
  showForm();
  showSelected();
  changed();
}

// What follows from every change, wherever the focus is.
function changed() {
  showRules(template, changed);
  showJson();
  readAlong();
}

function drawSheet() {
  const [width, height] = template.page_mm;
  sheet.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const page = makeShape("image", { href: `${base}/page`, width, height });
  sheet.replaceChildren(page, ...spotsOf().flatMap((spot, at) => drawSpot(spot, at, { label: nameOf(spot), isChosen: at === chosen })));
}

const showJson = () => (by("json").value = JSON.stringify(template, null, 1));

function readingOf({ field, rows }) {
  if (!rows) return readings[field.name] ?? "";
  const each = Array.from({ length: rows.count }, (_, i) => readings[`${rows.name ?? "row"}${i + 1}.${field.name}`] ?? "");
  return each.some(Boolean) ? each.join(", ") : "";
}

function showList() {
  by("fields").replaceChildren(
    ...spotsOf().map((spot, at) => {
      const { field, rows } = spot;
      const line = document.createElement("tr");
      line.classList.toggle("here", at === chosen);
      const tick = document.createElement("td");
      if (!rows) tick.append(selectBox(field, at));
      const name = document.createElement("th");
      name.scope = "row";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = nameOf(spot);
      button.addEventListener("click", () => {
        choose(at);
        by("f-name").focus();
      });
      name.append(button);
      const kind = document.createElement("td");
      kind.textContent = `${field.kind ?? "code"}${field.cells ? `, ${field.cells} cells` : ""}`;
      const reads = document.createElement("td");
      reads.className = "reading";
      reads.textContent = readingOf(spot);
      line.append(tick, name, kind, reads);
      return line;
    }),
  );
}

function selectBox(field, at) {
  const box = document.createElement("input");
  Object.assign(box, { type: "checkbox", checked: selected.has(field) });
  set(box, { "data-selects": at, "aria-label": `Select ${nameOf({ field })}` });
  box.addEventListener("change", () => select([at], box.checked));
  return box;
}

function showForm() {
  const { field, rows } = spotsOf()[chosen] ?? {};
  by("one").hidden = !field;
  by("repeat").hidden = !rows;
  if (!field) return;
  if (rows) {
    by("r-name").value = rows.name ?? "row";
    by("r-count").value = rows.count;
    by("r-pitch").value = rows.pitch_mm;
  }
  by("f-name").value = field.name;
  by("f-label").value = field.label ?? "";
  by("f-kind").value = field.kind ?? "code";
  by("f-cells").value = field.cells ?? "";
  by("f-digits").value = typeof field.digits === "object" && field.digits ? `${field.digits.min}-${field.digits.max}` : (field.digits ?? "");
  by("f-verify").value = field.verify ?? "single";
  by("f-from").value = field.verify_from ?? "";
  by("f-required").checked = field.optional === false;
  showFieldRule(field);
  showVerifyFrom(field);
}

const mayVerifyFrom = (field) => field.verify === "double" && VERIFIED_FROM.includes(field.kind);

function showVerifyFrom(field) {
  for (const part of [by("f-from"), ...by("f-from").labels]) part.hidden = !mayVerifyFrom(field);
}

function choose(at, { focus = false } = {}) {
  chosen = at;
  draw();
  if (focus) sheet.querySelector(`.box[data-at="${at}"]`)?.focus();
}

// ---- the chosen field's own form ----

by("one").addEventListener("input", () => {
  const { field } = spotsOf()[chosen] ?? {};
  if (!field) return;
  const put = (key, value, without) => (value === without ? delete field[key] : (field[key] = value));
  field.name = by("f-name").value.trim();
  put("label", by("f-label").value.trim(), "");
  put("kind", by("f-kind").value, "code");
  const cells = Number(by("f-cells").value) || 0;
  put("cells", cells, 0);
  put("layout", cells ? "cells" : "free", "free");
  const [, least, most] = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(by("f-digits").value.trim()) ?? [];
  put("digits", most ? { min: Number(least), max: Number(most) } : Number(least) || 0, 0);
  put("verify", by("f-verify").value, "single");
  put("verify_from", (mayVerifyFrom(field) && Number(by("f-from").value)) || 0, 0);
  put("optional", !by("f-required").checked, true);
  putFieldRule(field);
  showVerifyFrom(field);
  showList();
  changed();
});
by("one").addEventListener("submit", (event) => event.preventDefault());

function remove() {
  const { field, rows } = spotsOf()[chosen];
  const list = rows ? rows.fields : fieldsOf();
  list.splice(list.indexOf(field), 1);
  if (rows && !list.length) template.rows.splice(template.rows.indexOf(rows), 1);
  choose(-1);
}
by("remove").addEventListener("click", remove);

// ---- fields that repeat down the page ----

function select(places, on) {
  for (const at of places) selected[on ? "add" : "delete"](fieldsOf()[at]);
  showSelected();
}

const toggle = (at) => at < fieldsOf().length && select([at], !selected.has(fieldsOf()[at]));

// What is shown of the selection changes in place, so that the focus stays where it is.
function showSelected() {
  const places = selectedPlaces();
  for (const box of sheet.querySelectorAll('.box[role="button"]')) {
    const at = Number(box.dataset.at);
    if (at < fieldsOf().length) box.setAttribute("aria-pressed", places.includes(at));
  }
  for (const box of by("fields").querySelectorAll("[data-selects]")) box.checked = places.includes(Number(box.dataset.selects));
  by("merge").disabled = places.length < 2;
  by("select-none").disabled = !places.length;
  by("selected").textContent = places.length ? `${places.length} selected` : "";
}

by("select-none").addEventListener("click", () => select(selectedPlaces(), false));

by("merge").addEventListener("click", async () => {
  const result = await post(`${base}/merge`, { template, selected: selectedPlaces() });
  if (!result.ok) return say(result.kind === "urn:icr:DifferentRows" ? `These are no rows: ${result.detail}.` : result.detail);
  template = result.data.template;
  selected.clear();
  const rows = template.rows.at(-1);
  choose(spotsOf().findIndex((spot) => spot.rows === rows), { focus: true });
  const each = rows.fields.length === 1 ? "1 field" : `${rows.fields.length} fields`;
  say(`Merged into ${rows.count} rows of ${each}, ${rows.pitch_mm} mm apart.`, true);
});

by("split").addEventListener("click", async () => {
  const single = fieldsOf().length;
  const number = template.rows.indexOf(spotsOf()[chosen].rows);
  const result = await post(`${base}/split`, { template, number });
  if (!result.ok) return say(result.detail);
  template = result.data.template;
  selected.clear();
  select(
    fieldsOf().flatMap((_, at) => (at >= single ? [at] : [])),
    true,
  );
  choose(single, { focus: true });
  say(`Split into ${fieldsOf().length - single} fields.`, true);
});

by("repeat").addEventListener("input", () => {
  const { rows } = spotsOf()[chosen];
  const name = by("r-name").value.trim();
  if (name && name !== "row") rows.name = name;
  else delete rows.name;
  const count = Math.round(Number(by("r-count").value));
  if (count >= 2 && count <= MOST_ROWS) rows.count = count;
  if (Number(by("r-pitch").value) > 0) rows.pitch_mm = Number(by("r-pitch").value);
  drawSheet();
  showSelected();
  showList();
  changed();
});
by("repeat").addEventListener("change", showForm);
by("repeat").addEventListener("submit", (event) => event.preventDefault());

// ---- boxes by mouse and by keys ----

function at(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(sheet.getScreenCTM().inverse());
  return [point.x, point.y];
}

sheet.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const target = event.target.closest("[data-at]");
  const [fromX, fromY] = at(event);
  if (event.shiftKey) return selectByMouse(event, target, fromX, fromY);
  let index = target ? Number(target.dataset.at) : -1;
  const resize = !target || "resize" in target.dataset;
  if (!target) {
    index = fieldsOf().length;
    fieldsOf().push({ name: freeName(), box_mm: [round(fromX), round(fromY), 0, 0] });
  }
  const { field } = spotsOf()[index];
  const [x, y, w, h] = field.box_mm;
  choose(index);
  event.preventDefault();
  const move = (moved) => {
    const [toX, toY] = at(moved);
    field.box_mm = keepOn(resize ? [x, y, w + toX - fromX, h + toY - fromY] : [x + toX - fromX, y + toY - fromY, w, h]);
    draw();
  };
  const drop = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", drop);
    const [, , width, height] = field.box_mm;
    if (!target && (width < LEAST_MM || height < LEAST_MM)) {
      fieldsOf().pop();
      choose(-1);
    } else choose(index, { focus: true });
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", drop);
});

function selectByMouse(event, target, fromX, fromY) {
  event.preventDefault();
  const frame = rectOf([fromX, fromY, 0, 0], { class: "placed" });
  sheet.append(frame);
  const spanTo = (moved) => {
    const [toX, toY] = at(moved);
    return [Math.min(fromX, toX), Math.min(fromY, toY), Math.abs(toX - fromX), Math.abs(toY - fromY)];
  };
  const move = (moved) => {
    const [x, y, width, height] = spanTo(moved);
    set(frame, { x, y, width, height });
  };
  const drop = (dropped) => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", drop);
    frame.remove();
    const [x, y, width, height] = spanTo(dropped);
    const isIn = ({ box_mm: [left, top, w, h] }) => left + w / 2 > x && left + w / 2 < x + width && top + h / 2 > y && top + h / 2 < y + height;
    const inside = fieldsOf().flatMap((field, at) => (isIn(field) ? [at] : []));
    if (inside.length) select(inside, true);
    else if (target) toggle(Number(target.dataset.at));
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", drop);
}

sheet.addEventListener("keydown", (event) => {
  const box = event.target.closest(".box[data-at]");
  if (!box) return;
  const index = Number(box.dataset.at);
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const { field } = spotsOf()[index];
  const [x, y, w, h] = field.box_mm;
  if (event.key in steps) {
    const [dx, dy] = steps[event.key].map((step) => step * STEP_MM);
    field.box_mm = keepOn(event.shiftKey ? [x, y, w + dx, h + dy] : [x + dx, y + dy, w, h]);
    choose(index, { focus: true });
  } else if (event.key === "Delete") {
    chosen = index;
    remove();
  } else if (event.key === " " && event.shiftKey) {
    toggle(index);
  } else if (event.key === "Enter" || event.key === " ") {
    choose(index);
    by("f-name").focus();
  } else return;
  event.preventDefault();
});

function keepOn([x, y, w, h]) {
  const [width, height] = template.page_mm;
  const left = Math.min(Math.max(0, x), width - LEAST_MM);
  const top = Math.min(Math.max(0, y), height - LEAST_MM);
  return [left, top, Math.min(Math.max(0.1, w), width - left), Math.min(Math.max(0.1, h), height - top)].map(round);
}

function freeName() {
  const taken = new Set(fieldsOf().map((field) => field.name));
  let number = fieldsOf().length + 1;
  while (taken.has(`field_${number}`)) number += 1;
  return `field_${number}`;
}

// ---- the server ----

const readAlong = readAlongWith(base, () => template, {
  say,
  take: (fields) => {
    readings = Object.fromEntries(fields.map((field) => [field.name, `${field.written || field.text || "–"} ${field.status === "review" ? "?" : ""}`]));
    showList();
  },
});

by("save").addEventListener("click", async () => {
  const result = await post(`${base}/save`, { template });
  if (!result.ok) return say(result.detail);
  showProblems(result.data.problems);
  if (result.data.problems.length) return say("This cannot be saved yet:");
  say(result.data.words, true);
  for (const button of root.querySelectorAll("button")) button.disabled = true;
});

by("discard").addEventListener("click", async () => {
  if (!confirm("Forget this template and its scan?")) return;
  const result = await post(`${base}/discard`, {});
  if (result.ok) location.assign("/templates");
  else say(result.detail);
});

by("apply").addEventListener("click", () => {
  try {
    template = JSON.parse(by("json").value);
    choose(-1);
    say("Taken.", true);
  } catch (error) {
    say(`This is no JSON: ${error.message}`);
  }
});

listenToRules(() => template, changed);
start();
draw();
