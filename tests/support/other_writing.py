"""Writing that is no number, in hands that train nothing: letters, words, signs, other scripts, and what people draw.

Letters, words and signs are of UNIPEN's writers that are kept out of all training; glyphs of other scripts are of the
alphabets of Omniglot that are, and of KMNIST.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.synthesis.glyphs import Shape, segments_of, shape_from_strokes, warp
from worker.synthesis.marks import MARKS, draw_scribble
from worker.synthesis.pen import shape_of_image
from worker.synthesis.pens import WrittenNumber, trace_stroke
from worker.training.digits.data import HELD_OUT_ALPHABETS
from worker.training.general.pens import LEAST_HEIGHT, WRONG_DIGITS, is_held_out, read_rows, strokes_of

ALIKE = "OoDQlIiJjzZsSbBGgq"
"""Letters of which nobody could say, alone in a field, that they are no digit."""
CLEAR = "ACEFHKLMNPRTUVWXYacdefhkmnprtuvwxy"
"""The others."""
CLEAR_SIGNS, ALIKE_SIGNS = "?&#@+<>*!=~^", "()[]{}|/"
DESCENDING, X_HIGH = "gjpqy", "acemnorsuvwxz"
EASILY_DRAWN = " .-/"
FEWEST_LETTERS = 40
"""Different letters of a hand that writes whole words."""
PHRASES = "nil none void idem ibid do. n/a s.o. k.A. N.N. nein ja no yes see tbd same keine entf. x X"
ROMAN, ALIKE_ROMAN = "IV V VI VII IX X XI XII XIV XV XX iv vi vii ix xi", "I II III i ii iii"
UNITS = "kg km cm mm m t h th nd rd st min ml EUR Fr x a c d e f k A C E F H K P"
LEADS = "A x No Nr K A- P M V T C E H F N R"
ALIKE_UNITS, ALIKE_LEADS = "b g l s o I B S Z q", "B S Z O I l b G"
"""Words, Roman numerals, units and what stands before an id; of those that are ``ALIKE`` each letter is."""

DRAWN = {
    "ditto": "8,20 4,50 | 26,20 22,50",
    "arrow": "0,50 130,46 | 100,20 132,46! 104,76",
    "arrow down": "30,0 30,110 | 4,80 30,112! 58,78",
    "check": "0,60 18,96! 60,0",
    "cross": "0,0 70,100 | 70,4 0,98",
    "wave": "0,55 20,35 45,60 70,75 95,50 120,30 145,55",
    "smiley": "50,0 10,20 0,60 30,98 75,95 98,55 85,15 50,0 | 34,32 35,40 | 66,32 66,40 | 26,64 48,80 74,62",
    "brace": "0,0 18,6 20,40 34,50! 20,60 18,94 0,100",
    "star": "30,20 30,80 | 6,36 54,66 | 54,34 6,64",
    "box": "0,0 90,2! 88,98! 2,96! 0,0",
}
ARABIC = {
    "2": "4,10 10,30! 10,4 34,14 50,2! 12,34 14,100",
    "3": "4,6 10,26! 22,10! 30,26! 46,4 44,30 12,36! 14,100",
    "4": "44,4 10,24 34,46! 6,72 46,96",
    "6": "4,4 44,4! 46,100",
    "7": "4,2 28,98! 54,2",
    "8": "4,98 28,2! 54,98",
}
HAN = {
    "2": "12,20 60,18 | 0,90 76,86",
    "3": "10,6 64,4 | 16,48 58,46 | 0,94 76,90",
    "5": "6,6 70,4 | 34,6 26,94 | 12,46 62,44! 58,94 | 0,96 80,94",
    "6": "38,0 42,18 | 2,36 78,32 | 28,54 4,96 | 50,52 76,96",
    "7": "0,50 80,38 | 36,2 36,90 84,86!",
    "8": "28,20 20,60 0,98 | 48,10 60,60 84,98",
    "10": "0,46 84,44 | 42,0 42,100",
}


@dataclass(frozen=True, slots=True, eq=False)
class Letters:
    """What one writer wrote sign by sign: shapes in heights of the writer's digits, on the line from 0 to 1."""

    shapes: dict[str, list[Shape]]

    def has(self, text: str) -> bool:
        """Tell whether the writer wrote every letter, digit and sign of a text; ``EASILY_DRAWN`` ones may lack."""
        return all(sign in self.shapes or sign in EASILY_DRAWN for sign in text)

    def write(self, rng: np.random.Generator, text: str) -> WrittenNumber:
        """Write a text sign by sign; points, dashes and slashes are drawn."""
        shapes, x, apart = [], 0.0, 0.0
        for sign in text:
            if sign == " ":
                apart = float(rng.uniform(0.2, 0.6))
                continue
            own = self.shapes.get(sign)
            shape = warp(own[int(rng.integers(len(own)))], rng, 0.01) if own else MARKS[sign](rng)
            left, right = float(shape[..., 0].min()), float(shape[..., 0].max())
            x += apart + float(rng.uniform(0.08, 0.3)) if shapes else 0.0
            shapes.append(shape + np.array([x - left, 0], np.float32))
            x, apart = x + right - left, 0.0
        return WrittenNumber(text, tuple(shapes))


@dataclass(frozen=True, slots=True, eq=False)
class OtherWriting:
    """Everything that the groups are drawn from."""

    hands: Sequence[Letters]
    words: Sequence[WrittenNumber]
    lines: Sequence[WrittenNumber]
    omniglot: NDArray[np.uint8]
    kmnist: NDArray[np.uint8]
    _full: list[Letters] = field(init=False)

    def __post_init__(self) -> None:
        full = [hand for hand in self.hands if sum(sign.isalpha() for sign in hand.shapes) >= FEWEST_LETTERS]
        object.__setattr__(self, "_full", full)

    def write(self, rng: np.random.Generator, text: str) -> WrittenNumber:
        """Write a text in one hand that has all of it."""
        able = [hand for hand in (self.hands if len(text) == 1 else self._full) if hand.has(text)]
        return able[int(rng.integers(len(able)))].write(rng, text)


def load_other_writing(data_dir: Path) -> OtherWriting:
    """Load the letters, words and glyphs of hands and alphabets that train nothing."""
    unipen = data_dir / "pens" / "unipen"
    rows = {
        name: [(i, row) for i, row in enumerate(read_rows(unipen / f"{name}.jsonl.gz")) if is_held_out(row["writer"])]
        for name in ("digits", "letters", "symbols", "words", "lines_with_numbers")
    }
    digits = [row for i, row in rows["digits"] if i not in WRONG_DIGITS and row["h"] >= LEAST_HEIGHT]
    single = [*digits, *(row for name in ("letters", "symbols") for _, row in rows[name])]
    by_writer: dict[str, list[dict[str, Any]]] = {}
    for row in single:
        by_writer.setdefault(row["writer"], []).append(row)
    hands = [hand for own in by_writer.values() if (hand := _learn_hand(own))]
    words = [_lay_whole(row) for _, row in rows["words"] if len(row["label"]) > 1 and row["label"].isalpha()]
    lines = [_lay_whole(row) for _, row in rows["lines_with_numbers"] if any(c.isalpha() for c in row["label"])]
    with np.load(data_dir / "digits" / "omniglot_ood.npz", allow_pickle=False) as stored:
        alphabets = np.array([str(label).partition("/")[0] for label in stored["labels"]])
        omniglot = stored["images"][np.isin(alphabets, HELD_OUT_ALPHABETS)]
    with np.load(data_dir / "digits" / "kmnist_test_ood.npz", allow_pickle=False) as stored:
        kmnist = stored["images"]
    return OtherWriting(hands, words, lines, omniglot, kmnist)


def _learn_hand(rows: Sequence[dict[str, Any]]) -> Letters | None:
    """Return a writer's signs in heights of its digits; None of one whose digits are not known."""
    heights = [row["h"] for row in rows if row["label"].isdigit()]
    if not heights or not any(row["label"].isalpha() for row in rows):
        return None
    height = float(np.median(heights))
    low = [row["h"] for row in rows if row["label"] in X_HIGH]
    x_height = float(np.median(low)) / height if low else 0.6
    shapes: dict[str, list[Shape]] = {}
    for row in rows:
        sign = row["label"].lstrip("\\")
        if len(sign) == 1 and row["label"] != "\\@" and 0.15 * height < row["h"] < 2.5 * height:
            shape = _trace(row, height)
            top = 1 - x_height if sign in DESCENDING else 1 - row["h"] / height
            shapes.setdefault(sign, []).append(shape + np.array([0, top], np.float32))
    return Letters(shapes)


def _lay_whole(row: dict[str, Any]) -> WrittenNumber:
    return WrittenNumber(row["label"], (_trace(row, max(float(row["h"]), 1.0)),))


def _trace(row: dict[str, Any], height: float) -> Shape:
    """Return an ink in units of ``height``, its corner at 0."""
    shape = np.concatenate([trace_stroke(stroke / np.float32(height)) for stroke in strokes_of(row)])
    return np.asarray(shape - shape.reshape(-1, 2).min(axis=0), np.float32)


Drawer = Callable[[np.random.Generator, OtherWriting], WrittenNumber]


def _choose(rng: np.random.Generator, texts: Sequence[str]) -> str:
    return texts[int(rng.integers(len(texts)))]


def _number(rng: np.random.Generator) -> str:
    return str(rng.integers(1, 10 ** int(rng.integers(1, 5))))


def _write(make: Callable[[np.random.Generator], str]) -> Drawer:
    """Return a drawer of texts that ``make`` chooses, each in one hand."""
    return lambda rng, source: source.write(rng, make(rng))


def _one_of(texts: Sequence[str]) -> Drawer:
    return _write(lambda rng: _choose(rng, texts))


def _pair(rng: np.random.Generator) -> str:
    pair = [_choose(rng, CLEAR), _choose(rng, CLEAR + ALIKE)]
    return "".join(rng.permutation(pair))


def _behind(units: Sequence[str]) -> Drawer:
    return _write(lambda rng: _number(rng) + _choose(rng, ("", " ")) + _choose(rng, units))


def _before(leads: Sequence[str]) -> Drawer:
    return _write(lambda rng: _choose(rng, leads) + _choose(rng, ("", "", " ")) + _number(rng))


def _signs(parts: Sequence[Shape], gap: float = 0.2) -> WrittenNumber:
    """Lay shapes side by side."""
    shapes, x = [], 0.0
    for part in parts:
        shapes.append(part + np.array([x - part[..., 0].min(), 0], np.float32))
        x += float(np.ptp(part[..., 0])) + gap
    return WrittenNumber("", tuple(shapes))


def _row_of(glyphs: Callable[[OtherWriting], NDArray[np.uint8]]) -> Drawer:
    def draw(rng: np.random.Generator, source: OtherWriting) -> WrittenNumber:
        images = glyphs(source)
        shapes = [shape_of_image(images[int(rng.integers(len(images)))]) for _ in range(int(rng.integers(2, 5)))]
        return _signs([shape for shape in shapes if len(shape)])

    return draw


def _foreign(table: dict[str, str]) -> Drawer:
    def draw(rng: np.random.Generator, _: OtherWriting) -> WrittenNumber:
        chosen = [_choose(rng, list(table.values())) for _ in range(int(rng.integers(1, 5)))]
        return _signs([shape_from_strokes(strokes, rng, 0.03) for strokes in chosen])

    return draw


def _tally(rng: np.random.Generator, crossed: bool) -> WrittenNumber:
    groups = []
    for _ in range(int(rng.integers(1, 4)) if crossed else 1):
        count = 4 if crossed else int(rng.integers(2, 5))
        ends = [[(0.22 * i, rng.normal(0, 0.05)), (0.22 * i + rng.normal(0, 0.03), 1.0)] for i in range(count)]
        if crossed:
            ends.append([(-0.15, 0.8), (0.85, 0.2)])
        groups.append(np.concatenate([segments_of(np.array(end, np.float32)) for end in ends]))
    return _signs(groups)


def _drawn(rng: np.random.Generator, _: OtherWriting) -> WrittenNumber:
    return _signs([warp(shape_from_strokes(_choose(rng, list(DRAWN.values())), rng, 0.03), rng, 0.03)])


def _scribbled(rng: np.random.Generator, _: OtherWriting) -> WrittenNumber:
    return _signs([draw_scribble(rng, float(rng.uniform(0.6, 3.5)))])


def _signature(rng: np.random.Generator, _: OtherWriting) -> WrittenNumber:
    t = np.linspace(0, 1, 90, dtype=np.float32)
    length, turns = rng.uniform(2, 5), rng.uniform(5, 12)
    swing = np.interp(t, np.linspace(0, 1, 7), rng.uniform(0.05, 0.5, 7))
    x = length * t + 0.12 * np.cos(2 * np.pi * turns * t)
    y = 0.6 + swing * np.sin(2 * np.pi * turns * t) - 0.2 * t
    return _signs([segments_of(np.stack([x, y], axis=1).astype(np.float32))])


GROUPS: dict[str, Drawer] = {
    "a letter": _one_of(CLEAR),
    "two letters": _write(_pair),
    "words": lambda rng, source: source.words[int(rng.integers(len(source.words)))],
    "nil, n/a, s.o.": _one_of(PHRASES.split()),
    "Roman numerals": _one_of(ROMAN.split()),
    "lines with numbers": lambda rng, source: source.lines[int(rng.integers(len(source.lines)))],
    "digits, then letters": _behind(UNITS.split()),
    "letters, then digits": _before(LEADS.split()),
    "% alone": _one_of("%"),
    "digits, then %": _behind("%"),
    "another sign": _one_of(CLEAR_SIGNS),
    "tallies of five": lambda rng, _: _tally(rng, crossed=True),
    "arrows, ditto, checks": _drawn,
    "scribbles": _scribbled,
    "signatures": _signature,
    "Arabic digits": _foreign(ARABIC),
    "Chinese digits": _foreign(HAN),
    "Omniglot": _row_of(lambda source: source.omniglot),
    "KMNIST": _row_of(lambda source: source.kmnist),
    "ALIKE: a letter": _one_of(ALIKE),
    "ALIKE: two letters": _write(lambda rng: _choose(rng, ALIKE) + _choose(rng, ALIKE)),
    "ALIKE: I, II, III": _one_of(ALIKE_ROMAN.split()),
    "ALIKE: strokes in a row": lambda rng, _: _tally(rng, crossed=False),
    "ALIKE: a sign": _one_of(ALIKE_SIGNS),
    "ALIKE: digits, then a letter": _behind(ALIKE_UNITS.split()),
    "ALIKE: a letter, then digits": _before(ALIKE_LEADS.split()),
}
"""What is written in a field that expects a number; of ``ALIKE`` nobody could say that it is none."""
