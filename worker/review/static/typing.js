// What is shown of a reading and what was typed make one answer. No DOM here.

export const GAP = "_";
const DIGIT = /[0-9]/;

export const gapsOf = (text) => [...text].filter((c) => c === GAP).length;

// The state of an answer: its pieces as they stand on the screen, the number, and whether Enter takes it.
//   confirm: nothing typed, the reading stands; partial: typed digits fill the gaps; whole: keyed from scratch.
export function compose(item, typed) {
  if (item.mode === "confirm" && !typed) {
    return { kind: "confirm", pieces: piecesOf(item.text, []), number: null, ready: true };
  }
  const gaps = item.mode === "partial" ? gapsOf(item.text) : 0;
  const fills = gaps && [...typed].length <= gaps && [...typed].every((c) => DIGIT.test(c));
  if (fills) {
    const filled = [...typed];
    const pieces = piecesOf(item.text, filled);
    const ready = filled.length === gaps;
    return { kind: "partial", pieces, number: ready ? pieces.map((p) => p.text).join("") : null, ready, left: gaps - filled.length };
  }
  return { kind: "whole", pieces: [], number: typed, ready: Boolean(typed) };
}

// Keyed from scratch where only gaps were asked for, and not as long as the reading: it may be a slip of the fingers.
export function looksLikeASlip(item, answer) {
  if (item.mode !== "partial" || answer.kind !== "whole") return false;
  const digits = (text) => [...text].filter((c) => DIGIT.test(c) || c === GAP).length;
  return digits(answer.number) !== digits(item.text);
}

function piecesOf(text, filled) {
  let next = 0;
  return [...text].map((c) => {
    if (c !== GAP) return { text: c, as: "read" };
    const typed = filled[next];
    const piece = typed === undefined ? { text: "\u00a0", as: next === filled.length ? "gap now" : "gap" } : { text: typed, as: "typed" };
    next += 1;
    return piece;
  });
}
