// What is drawn over a form that is being designed: boxes in mm, as shapes of SVG.

const SVG = "http://www.w3.org/2000/svg";
const HANDLE_MM = 2.2;
export const MOST_ROWS = 200;

export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export const makeShape = (kind, attributes) => set(document.createElementNS(SVG, kind), attributes);

export const rectOf = ([x, y, width, height], attributes) => makeShape("rect", { x, y, width, height, rx: 0.6, ...attributes });

// The box of a field, those of the rows below it, and of the chosen one the corner that resizes it.
export function drawSpot({ field, rows }, at, { label, isChosen }) {
  const here = isChosen ? " here" : "";
  const box = rectOf(field.box_mm, { class: `box waits${here}`, "data-at": at, tabindex: 0, role: "button", "aria-label": label });
  const [x, y, w, h] = field.box_mm;
  const below = Array.from({ length: Math.min(rows?.count ?? 1, MOST_ROWS) - 1 }, (_, i) =>
    rectOf([x, y + (i + 1) * rows.pitch_mm, w, h], { class: `box accepted${here}`, "data-at": at }),
  );
  const handle = rectOf([x + w - HANDLE_MM, y + h - HANDLE_MM, HANDLE_MM, HANDLE_MM], { class: "handle", "data-at": at, "data-resize": "" });
  return isChosen ? [box, ...below, handle] : [box, ...below];
}
