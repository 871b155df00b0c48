// Four corners of a form, placed over the scan of a page: by dragging, by pressing where one belongs, or by arrow keys.

import { get, post } from "./http.js";

const NAMES = ["Top left", "Top right", "Bottom right", "Bottom left"];
const SVG = "http://www.w3.org/2000/svg";

const scan = document.getElementById("scan");
const outline = document.getElementById("form-outline");
const canvas = scan?.parentElement;
const [, , width, height] = (scan?.getAttribute("viewBox") ?? "0 0 1 1").split(" ").map(Number);

let form = null;
let points = [];
let handles = [];
let chosen = 0;

// The map of the unit square onto four points (Heckbert, "Fundamentals of texture mapping", 1989).
function mapOf([a, b, c, d]) {
  const dx = [b[0] - c[0], d[0] - c[0], a[0] - b[0] + c[0] - d[0]];
  const dy = [b[1] - c[1], d[1] - c[1], a[1] - b[1] + c[1] - d[1]];
  const area = dx[0] * dy[1] - dx[1] * dy[0] || 1e-9;
  const g = (dx[2] * dy[1] - dx[1] * dy[2]) / area;
  const h = (dx[0] * dy[2] - dx[2] * dy[0]) / area;
  const row = (k) => [b[k] - a[k] + g * b[k], d[k] - a[k] + h * d[k], a[k]];
  const [x, y] = [row(0), row(1)];
  return (u, v) => [x, y].map((r) => (r[0] * u + r[1] * v + r[2]) / (g * u + h * v + 1));
}

function draw() {
  const map = mapOf(points);
  const [left, top, w, h] = form.box_mm;
  const shapes = [[form.box_mm], form.landmarks, form.fields].flatMap((boxes, i) => boxes.map((box) => [box, ["edge", "print", "field"][i]]));
  outline.replaceChildren(
    ...shapes.map(([box, kind]) => {
      const ring = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([i, j]) => map((box[0] + i * box[2] - left) / w, (box[1] + j * box[3] - top) / h));
      const shape = document.createElementNS(SVG, "polygon");
      shape.setAttribute("points", ring.join(" "));
      shape.setAttribute("class", `placed ${kind}`);
      return shape;
    }),
  );
  fit();
  const [x, y, w2, h2] = scan.getAttribute("viewBox").split(" ").map(Number);
  handles.forEach((handle, i) => {
    handle.style.left = `${(100 * (points[i][0] - x)) / w2}%`;
    handle.style.top = `${(100 * (points[i][1] - y)) / h2}%`;
    handle.setAttribute("aria-label", `${NAMES[i]} corner, ${Math.round(points[i][0])} across, ${Math.round(points[i][1])} down`);
    handle.setAttribute("aria-pressed", String(i === chosen));
  });
}

// The view holds the whole scan and all corners, with a margin in which a corner can be put farther out.
function fit() {
  if (handles.some((handle) => handle.dataset.held)) return; // the scan stays where it is under a pointer that drags
  const range = (k, side) => {
    const all = points.map((point) => point[k]);
    return [Math.min(0, ...all) - 0.1 * side, Math.max(side, ...all) + 0.1 * side];
  };
  const [x, y] = [range(0, width), range(1, height)];
  scan.setAttribute("viewBox", [x[0], y[0], x[1] - x[0], y[1] - y[0]].join(" "));
}

function move(i, x, y) {
  const within = (value, side) => Math.min(Math.max(value, -form.beyond * side), (1 + form.beyond) * side);
  chosen = i;
  points[i] = [within(x, width), within(y, height)];
  draw();
}

function at(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(scan.getScreenCTM().inverse());
  return [point.x, point.y];
}

function makeHandle(i) {
  const handle = document.createElement("button");
  handle.type = "button";
  handle.className = "corner";
  handle.addEventListener("focus", () => {
    chosen = i;
    draw();
  });
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.dataset.held = "yes";
    chosen = i;
  });
  handle.addEventListener("lostpointercapture", () => {
    delete handle.dataset.held;
    if (form) draw();
  });
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) move(i, ...at(event));
  });
  handle.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const step = (event.shiftKey ? 0.001 : 0.01) * Math.max(width, height);
    move(i, points[i][0] + way[0] * step, points[i][1] + way[1] * step);
  });
  return handle;
}

async function show(template) {
  form = await get(`/forms/${encodeURIComponent(template)}/outline`);
  if (!handles.length) {
    points = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]].map(([x, y]) => [x * width, y * height]);
    handles = NAMES.map((_, i) => makeHandle(i));
    canvas.append(...handles);
  }
  draw();
}

function hide() {
  form = null;
  outline.replaceChildren();
  for (const handle of handles) handle.remove();
  handles = [];
  scan.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

export function placeCorners(pageId, select, say) {
  const [open, panel] = ["place", "placing"].map((id) => document.getElementById(id));
  if (!open) return;
  const toggle = async (shown) => {
    panel.hidden = !shown;
    open.setAttribute("aria-expanded", String(shown));
    if (!shown) return hide();
    await show(select.value).catch(() => say("This form cannot be shown: choose another one."));
    handles[0]?.focus();
  };
  open.addEventListener("click", () => toggle(panel.hidden));
  document.getElementById("leave").addEventListener("click", async () => {
    await toggle(false);
    open.focus();
  });
  select.addEventListener("change", () => form && show(select.value).catch(() => toggle(false)));
  scan.addEventListener("click", (event) => form && move(chosen, ...at(event)));
  document.getElementById("placed").addEventListener("click", async () => {
    const result = await post(`/pages/${pageId}/corners`, { template: select.value, corners: points });
    say(result.ok ? result.data.words : result.detail, result.ok);
    if (result.ok) toggle(false);
  });
}
