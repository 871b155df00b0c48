// The template designer: the JSON of the template is the only state; what is on the screen follows from it.

import { get, post } from "./http.js";
import { start } from "./start.js";

const by = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const root = by("designer");
const base = `/templates/${root.dataset.name}`;
const sheet = by("sheet");
const HANDLE_MM = 2.2;
const STEP_MM = 0.5;
const LEAST_MM = 2;
let template = await get(`${base}/template`);
let chosen = -1;
let readings = {};

const round = (mm) => Math.round(mm * 100) / 100;
const fieldsOf = () => (template.fields ??= []);

function say(words, good = false) {
  by("message").textContent = words;
  by("message").classList.toggle("good", good);
}

// ---- drawing ----

function draw() {
  const [width, height] = template.page_mm;
  sheet.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const page = document.createElementNS(SVG, "image");
  set(page, { href: `${base}/page`, width, height });
  sheet.replaceChildren(page, ...rowBoxes().map(drawRowBox), ...fieldsOf().flatMap(drawField));
  showList();
  showForm();
  by("json").value = JSON.stringify(template, null, 1);
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function rectOf([x, y, width, height], attributes) {
  return set(document.createElementNS(SVG, "rect"), { x, y, width, height, rx: 0.6, ...attributes });
}

function drawField(field, at) {
  const here = at === chosen ? " here" : "";
  const box = rectOf(field.box_mm, { class: `box waits${here}`, "data-at": at, tabindex: 0, role: "button", "aria-label": field.label || field.name });
  const [x, y, w, h] = field.box_mm;
  const handle = rectOf([x + w - HANDLE_MM, y + h - HANDLE_MM, HANDLE_MM, HANDLE_MM], { class: "handle", "data-at": at, "data-resize": "" });
  return here ? [box, handle] : [box];
}

function rowBoxes() {
  return (template.rows ?? []).flatMap((rows) =>
    Array.from({ length: rows.count }, (_, i) => rows.fields.map(({ box_mm: [x, y, w, h] }) => [x, y + i * rows.pitch_mm, w, h])).flat(),
  );
}

const drawRowBox = (box) => rectOf(box, { class: "box accepted" });

function showList() {
  by("fields").replaceChildren(
    ...fieldsOf().map((field, at) => {
      const line = document.createElement("tr");
      line.classList.toggle("here", at === chosen);
      const name = document.createElement("th");
      name.scope = "row";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = field.label || field.name;
      button.addEventListener("click", () => choose(at));
      name.append(button);
      const kind = document.createElement("td");
      kind.textContent = `${field.kind ?? "code"}${field.cells ? `, ${field.cells} cells` : ""}`;
      const reads = document.createElement("td");
      reads.className = "reading";
      reads.textContent = readings[field.name] ?? "";
      line.append(name, kind, reads);
      return line;
    }),
  );
}

function showForm() {
  const field = fieldsOf()[chosen];
  by("one").hidden = !field;
  if (!field) return;
  by("f-name").value = field.name;
  by("f-label").value = field.label ?? "";
  by("f-kind").value = field.kind ?? "code";
  by("f-cells").value = field.cells ?? "";
  by("f-digits").value = typeof field.digits === "object" && field.digits ? `${field.digits.min}-${field.digits.max}` : (field.digits ?? "");
  by("f-verify").value = field.verify ?? "single";
  by("f-required").checked = field.optional === false;
}

function choose(at, { focus = false } = {}) {
  chosen = at;
  draw();
  if (focus) sheet.querySelector(`.box[data-at="${at}"]`)?.focus();
}

// ---- the chosen field's own form ----

by("one").addEventListener("input", () => {
  const field = fieldsOf()[chosen];
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
  put("optional", !by("f-required").checked, true);
  showList();
  by("json").value = JSON.stringify(template, null, 1);
});
by("one").addEventListener("submit", (event) => event.preventDefault());

function remove() {
  fieldsOf().splice(chosen, 1);
  choose(-1);
}
by("remove").addEventListener("click", remove);

// ---- boxes by mouse and by keys ----

function at(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(sheet.getScreenCTM().inverse());
  return [point.x, point.y];
}

sheet.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  const target = event.target.closest("[data-at]");
  const [fromX, fromY] = at(event);
  let index = target ? Number(target.dataset.at) : -1;
  const resize = !target || "resize" in target.dataset;
  if (!target) {
    index = fieldsOf().length;
    fieldsOf().push({ name: freeName(), box_mm: [round(fromX), round(fromY), 0, 0] });
  }
  const [x, y, w, h] = fieldsOf()[index].box_mm;
  choose(index);
  event.preventDefault();
  const move = (moved) => {
    const [toX, toY] = at(moved);
    fieldsOf()[index].box_mm = keepOn(resize ? [x, y, w + toX - fromX, h + toY - fromY] : [x + toX - fromX, y + toY - fromY, w, h]);
    draw();
  };
  const drop = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", drop);
    const [, , width, height] = fieldsOf()[index].box_mm;
    if (!target && (width < LEAST_MM || height < LEAST_MM)) {
      fieldsOf().pop();
      choose(-1);
    } else choose(index, { focus: true });
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", drop);
});

sheet.addEventListener("keydown", (event) => {
  const box = event.target.closest(".box[data-at]");
  if (!box) return;
  const index = Number(box.dataset.at);
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [x, y, w, h] = fieldsOf()[index].box_mm;
  if (event.key in steps) {
    const [dx, dy] = steps[event.key].map((step) => step * STEP_MM);
    fieldsOf()[index].box_mm = keepOn(event.shiftKey ? [x, y, w + dx, h + dy] : [x + dx, y + dy, w, h]);
    choose(index, { focus: true });
  } else if (event.key === "Delete") {
    chosen = index;
    remove();
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

function showProblems(problems) {
  by("problems").replaceChildren(
    ...problems.map((problem) => {
      const line = document.createElement("li");
      line.textContent = problem.field ? `${problem.field}: ${problem.words}` : problem.words;
      return line;
    }),
  );
}

by("read").addEventListener("click", async () => {
  by("read").disabled = true;
  say("Reading …", true);
  const result = await post(`${base}/read`, { template });
  by("read").disabled = false;
  if (!result.ok) return say(result.detail);
  showProblems(result.data.problems);
  const page = result.data.page;
  if (!page) return say("This cannot be read yet:");
  say(page.error ?? "This is what is read.", !page.error);
  readings = Object.fromEntries(page.fields.map((field) => [field.name, `${field.written || field.text || "–"} ${field.status === "review" ? "?" : ""}`]));
  showList();
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

start();
draw();
