"""Find the boxes, cell rows, tables, combs and rules on a level page, from which a template is drafted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.values import Box, Grey

Mask = NDArray[np.uint8]

FLAT_MM, UPRIGHT_MM = 6.0, 3.6
"""Least length of straight print; handwriting is seldom so straight, and then closes no box."""
ERASED_MM = 6.5
"""Straight runs of this length are not strokes of letters but lines, to be removed before letters are read."""
GAP_MM = 0.5
"""Breaks in a printed line that are closed."""
LEAST_SIDE_MM, LARGEST_SQUARE_MM = 2.8, 6.5
"""Smallest side of a box, and largest side of one that is looked for by itself because its lines are short."""
LEAST_TICK_MM, LARGEST_LETTER_MM = 2.2, 3.2
"""Smallest white inside of a tick box, whose lines are as long as the side of a box and take a part of it; and largest
box that may be the inside of a printed letter."""
RULE_MM = 25.0
ROW_GAP = 0.45
"""Largest gap between the cells of a row, in cell widths."""
LEVEL_MM = 0.8
TOOTH_MM = 0.9
MOST_TEETH = 24
COMB_MM = 12.0
COMB_PITCH_MM = (3.5, 14.0)
COMB_REACH_MM = 60.0
"""How far from a longer comb one of two cells may stand: day and month before a year. Alone it may be a letter's."""
TOUCHING_MM = 1.0
"""Cells of a table share their lines: the middles of a line, measured from both sides, differ by less than this."""
PAIR = 1.15
"""Two cells that share a line hold one digit each if they are no wider than this, in heights."""
NARROW = 0.95
"""Cells narrower than this share of their height hold one digit each; wider cells of a table hold a number."""
COMB_HEIGHT = 1.15
"""Height that people write above a comb without a box, in pitches of the comb."""


@dataclass(frozen=True, slots=True)
class PrintedBox:
    """A printed box in millimetres: ``inner`` is its white inside, ``outline`` runs in the middle of its lines.

    ``teeth`` is how many cells a comb's teeth make in it, 1 without any.
    """

    inner: Box
    outline: Box
    teeth: int = 1


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """A row of ``count`` like cells; ``boxes`` from left to right are fewer where writing hides a divider."""

    boxes: tuple[PrintedBox, ...]
    count: int


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """Boxes that share their lines, in two rows and two columns or more; ``cells`` by (row, column) from 1."""

    cells: dict[tuple[int, int], PrintedBox]


@dataclass(frozen=True, slots=True)
class FormLayout:
    """The print of a page: boxes, tables, rows of like cells, combs (``Box``, cells) without a box, other rules."""

    boxes: tuple[PrintedBox, ...]
    tables: tuple[PrintedTable, ...]
    rows: tuple[PrintedRow, ...]
    combs: tuple[tuple[Box, int], ...]
    rules: tuple[Box, ...]


def find_layout(grey: Grey, px_per_mm: float) -> FormLayout:
    """Find the print of a level page; boxes in reading order."""
    ink = _ink_of(grey, px_per_mm)
    flat = _straight(ink, px_per_mm, flat=True)
    upright = _straight(ink, px_per_mm, flat=False)
    boxes = _find_boxes(ink, flat | upright, px_per_mm)
    boxes += _find_squares(ink, boxes, px_per_mm)
    tables, others = _find_tables(boxes)
    rows, singles = _group_rows(others)
    lines = _find_rules(flat, boxes, px_per_mm)
    combs = [comb for line in lines if (comb := _comb_on(ink, line, px_per_mm)) is not None]
    longer = [comb for comb in combs if comb[1] > 2]
    combs = [comb for comb in combs if comb in longer or any(_is_like(comb, other) for other in longer)]
    rules = [line for line in lines if line.w >= RULE_MM]
    return FormLayout(tuple(singles), tuple(tables), tuple(rows), tuple(combs), tuple(rules))


def erase_lines(grey: Grey, px_per_mm: float) -> Grey:
    """Return the page with its printed straight lines painted over with the paper beside them."""
    ink = _ink_of(grey, px_per_mm)
    flat, upright = (_straight(ink, px_per_mm, flat=is_flat, least_mm=ERASED_MM) for is_flat in (True, False))
    lines = flat | upright
    reach = round(0.35 * px_per_mm) * 2 + 1
    thick = np.asarray(cv2.dilate(lines, np.ones((reach, reach), np.uint8)), np.uint8)
    window = round(8 * px_per_mm) | 1
    return np.where(thick > 0, cv2.dilate(grey, np.ones((window, window), np.uint8)), grey).astype(np.uint8)


def find_print(grey: Grey, px_per_mm: float) -> Mask:
    """Return the ink of a level page, (h, w) uint8 of 0 and 1, without its straight lines."""
    return _ink_of(erase_lines(grey, px_per_mm), px_per_mm)


def _ink_of(grey: Grey, px_per_mm: float) -> Mask:
    window = round(8 * px_per_mm) | 1
    paper = cv2.blur(grey, (window, window))
    return (np.asarray(cv2.subtract(paper, grey)) > 25).astype(np.uint8)


def _straight(ink: Mask, px_per_mm: float, *, flat: bool, least_mm: float | None = None) -> Mask:
    """Keep the flat, or the upright, straight runs of ink, with short breaks closed."""
    length, gap = round((least_mm or (FLAT_MM if flat else UPRIGHT_MM)) * px_per_mm), round(GAP_MM * px_per_mm) | 1
    shape = (1, -1) if flat else (-1, 1)
    thick = np.ones((3, 1) if flat else (1, 3), np.uint8)  # a line that is a little off level steps by a pixel
    pieces = _opened(np.asarray(cv2.dilate(ink, thick), np.uint8), length // 2, shape)
    whole = cv2.morphologyEx(pieces, cv2.MORPH_CLOSE, np.ones(gap, np.uint8).reshape(shape))
    return _opened(np.asarray(whole, np.uint8), length, shape)


def _opened(mask: Mask, length: int, shape: tuple[int, int]) -> Mask:
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones(length, np.uint8).reshape(shape)), np.uint8)


def _find_boxes(ink: Mask, lines: Mask, px_per_mm: float, *, least_mm: float = LEAST_SIDE_MM) -> list[PrintedBox]:
    contours, hierarchy = cv2.findContours(lines, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour, tree in zip(contours, hierarchy[0] if len(contours) else (), strict=True):
        x, y, w, h = cv2.boundingRect(contour)
        full = cv2.contourArea(contour) > 0.85 * w * h
        if tree[3] >= 0 and full and min(w, h) > least_mm * px_per_mm:
            boxes.append(_measure(ink, (x + 1, y + 1, w - 2, h - 2), px_per_mm))
    return sorted(boxes, key=lambda b: (b.outline.y, b.outline.x))


def _find_squares(ink: Mask, boxes: Sequence[PrintedBox], px_per_mm: float) -> list[PrintedBox]:
    """Return the boxes beside ``boxes`` whose lines are no longer than a large letter's: tick boxes."""
    sides = [_straight(ink, px_per_mm, flat=flat, least_mm=LEAST_SIDE_MM) for flat in (True, False)]
    found = _find_boxes(ink, sides[0] | sides[1], px_per_mm, least_mm=LEAST_TICK_MM)
    return [box for box in found if _is_square(box.outline) and not any(_overlap(box, other) for other in boxes)]


def _is_square(outline: Box) -> bool:
    """Tell whether a box is a tick box's; the inside of a bold M is as small as the smallest, and less square."""
    side, longer = min(outline[2:]), max(outline[2:])
    return longer <= LARGEST_SQUARE_MM and side > (0.8 if side > LARGEST_LETTER_MM else 0.9) * longer


def _overlap(one: PrintedBox, other: PrintedBox) -> bool:
    a, b = one.outline, other.outline
    return a.x < b.x + b.w and b.x < a.x + a.w and a.y < b.y + b.h and b.y < a.y + a.h


def _measure(ink: Mask, hole: tuple[int, int, int, int], px_per_mm: float) -> PrintedBox:
    """Find the middles of the four lines around a hole, each by the ink across it."""
    x, y, w, h = hole
    left, thick_left = _line_middle(ink[y + h // 5 : y + h - h // 5], x, -1, px_per_mm)
    right, thick_right = _line_middle(ink[y + h // 5 : y + h - h // 5], x + w, 1, px_per_mm)
    across = ink[:, x + w // 10 : x + w - w // 10].T
    top, thick_top = _line_middle(across, y, -1, px_per_mm)
    bottom, thick_bottom = _line_middle(across, y + h, 1, px_per_mm)
    outline = Box(left, top, right - left, bottom - top)
    inner = Box(
        left + thick_left / 2,
        top + thick_top / 2,
        right - left - (thick_left + thick_right) / 2,
        bottom - top - (thick_top + thick_bottom) / 2,
    )
    return PrintedBox(_in_mm(inner, px_per_mm), _in_mm(outline, px_per_mm), _count_teeth(ink, hole, px_per_mm))


def _line_middle(rows: Mask, edge: int, outward: int, px_per_mm: float) -> tuple[float, float]:
    """Return the middle and thickness of the line at a hole's edge, by the columns that are mostly ink."""
    inward, reach = round(0.5 * px_per_mm), round(1.2 * px_per_mm)
    low, high = (edge - reach, edge + inward) if outward < 0 else (edge - inward, edge + reach)
    low, high = max(0, low), min(rows.shape[1], high)
    share = rows[:, low:high].mean(0) if rows.size else np.zeros(0)
    dark = np.flatnonzero(share > 0.5)
    if not len(dark):
        return edge + 0.5 * outward, 1.0
    runs = np.split(dark, np.flatnonzero(np.diff(dark) > 1) + 1)
    line = runs[-1] if outward < 0 else runs[0]
    return low + float(line[0] + line[-1] + 1) / 2, float(len(line))


def _count_teeth(ink: Mask, hole: tuple[int, int, int, int], px_per_mm: float) -> int:
    """Return how many even cells the short uprights on a box's bottom line make."""
    x, y, w, h = hole
    tooth = max(2, round(TOOTH_MM * px_per_mm))
    inset = max(1, round(0.4 * px_per_mm))
    foot = ink[y + h - tooth - 1 : y + h - 1, x + inset : x + w - inset]
    above = ink[y + h // 5 : y + h // 2, x + inset : x + w - inset]
    if not foot.size or not above.size:
        return 1
    is_tooth = (foot.min(0) > 0) & (above.mean(0) < 0.5)
    starts = np.flatnonzero(np.diff(is_tooth.astype(np.int8), prepend=0) == 1) + inset
    pitch = np.diff(np.r_[0, starts, w])
    even = len(starts) >= 2 and pitch.max() - pitch.min() < 0.25 * pitch.mean()
    return len(starts) + 1 if even else 1


def _find_tables(boxes: Sequence[PrintedBox]) -> tuple[list[PrintedTable], list[PrintedBox]]:
    """Separate boxes that share lines in rows and columns from the others; stacked rows of digit cells are no table."""
    beside = {i: [j for j, b in enumerate(boxes) if _lies_beside(a.outline, b.outline)] for i, a in enumerate(boxes)}
    below = {i: [j for j, b in enumerate(boxes) if _lies_below(a.outline, b.outline)] for i, a in enumerate(boxes)}
    group = list(range(len(boxes)))
    for i in range(len(boxes)):
        for j in beside[i] + below[i]:
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    tables, taken = [], set()
    for name in sorted(set(group)):
        members = [i for i, g in enumerate(group) if g == name]
        in_rows, in_columns = any(beside[i] for i in members), any(below[i] for i in members)
        shapes = [boxes[i].outline.w / boxes[i].outline.h for i in members]
        if in_rows and in_columns and len(members) >= 4 and float(np.median(shapes)) > NARROW:
            tables.append(_number_cells([boxes[i] for i in members]))
            taken.update(members)
    return tables, [box for i, box in enumerate(boxes) if i not in taken]


def _lies_beside(a: Box, b: Box) -> bool:
    """Tell whether ``b`` is the cell to the right of ``a``."""
    level = abs(a.y - b.y) < TOUCHING_MM and abs(a.y + a.h - b.y - b.h) < TOUCHING_MM
    return level and abs(a.x + a.w - b.x) < TOUCHING_MM


def _lies_below(a: Box, b: Box) -> bool:
    """Tell whether ``b`` is the cell below ``a``."""
    in_column = abs(a.x - b.x) < TOUCHING_MM and abs(a.x + a.w - b.x - b.w) < TOUCHING_MM
    return in_column and abs(a.y + a.h - b.y) < TOUCHING_MM


def _number_cells(boxes: Sequence[PrintedBox]) -> PrintedTable:
    """Give each cell of a table its row and its column."""
    rows = _cluster([b.outline.y for b in boxes], [b.outline.h for b in boxes])
    columns = _cluster([b.outline.x for b in boxes], [b.outline.w for b in boxes])
    return PrintedTable({(r, c): box for r, c, box in zip(rows, columns, boxes, strict=True)})


def _cluster(starts: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Return for each start the number, from 1, of its row or column: starts within half the least size are one."""
    near, ordered = min(sizes) / 2, sorted(starts)
    firsts = [s for i, s in enumerate(ordered) if i == 0 or s - ordered[i - 1] > near]
    return [sum(s > first - near for first in firsts) for s in starts]


def _group_rows(boxes: Sequence[PrintedBox]) -> tuple[list[PrintedRow], list[PrintedBox]]:
    """Join three or more like boxes side by side to rows, or two that share a line; the others stay single."""
    left = sorted(boxes, key=lambda b: b.outline.x)
    chains, singles = [], []
    while left:
        chain = [left.pop(0)]
        while (following := next((b for b in left if _continues(chain[-1], b)), None)) is not None:
            left.remove(following)
            chain.append(following)
        if len(chain) >= 3 or _is_pair(chain):
            chains.append(chain)
        else:
            singles += chain
    rows = _joined([_complete(chain, singles) for chain in chains])
    rows.sort(key=lambda r: (r.boxes[0].outline.y, r.boxes[0].outline.x))
    return rows, sorted(singles, key=lambda b: (b.outline.y, b.outline.x))


def _is_pair(chain: Sequence[PrintedBox]) -> bool:
    """Tell whether boxes are two cells for a digit each that share a line, as those for a day or a month."""
    if len(chain) != 2:
        return False
    a, b = (box.outline for box in chain)
    return a.w <= PAIR * a.h and abs(b.x - a.x - a.w) < TOUCHING_MM


def _continues(a: PrintedBox, b: PrintedBox) -> bool:
    """Tell whether ``b`` is the next cell of the row of ``a``; a stroke across a cell may have cut its height."""
    p, q = a.outline, b.outline
    alike = abs(p.w - q.w) < 0.2 * p.w and abs(p.h - q.h) < 0.4 * max(p.h, q.h) and p.w < 2.0 * p.h
    gap = q.x - p.x - p.w
    return alike and _on_one_line(p, q) and -0.1 * p.w < gap < ROW_GAP * p.w


def _on_one_line(a: Box, b: Box) -> bool:
    """Tell whether two boxes share the line of their tops or of their bottoms."""
    return min(abs(a.y - b.y), abs(a.y + a.h - b.y - b.h)) < LEVEL_MM


def _complete(chain: list[PrintedBox], singles: list[PrintedBox]) -> PrintedRow:
    """Add, from ``singles``, the boxes at the ends of a chain that are one or more of its cells wide."""
    pitch = float(np.median(np.diff([b.outline.x for b in chain])))
    count, grown = len(chain), True
    while grown:
        grown = False
        for box in singles:
            cells = _cells_beside(box.outline, chain, pitch)
            if cells:
                singles.remove(box)
                chain = sorted([*chain, box], key=lambda b: b.outline.x)
                count, grown = count + cells, True
                break
    return PrintedRow(tuple(chain), count)


def _joined(rows: list[PrintedRow]) -> list[PrintedRow]:
    """Join rows that lie end to end, because a hidden divider had separated them."""
    joined: list[PrintedRow] = []
    for row in sorted(rows, key=lambda r: r.boxes[0].outline.x):
        before = next((r for r in joined if _lie_end_to_end(r, row)), None)
        if before is not None:
            joined.remove(before)
            row = PrintedRow((*before.boxes, *row.boxes), before.count + row.count)
        joined.append(row)
    return joined


def _lie_end_to_end(a: PrintedRow, b: PrintedRow) -> bool:
    first, end, start, last = (box.outline for row in (a, b) for box in (row.boxes[0], row.boxes[-1]))
    pitch_a, pitch_b = (end.x + end.w - first.x) / a.count, (last.x + last.w - start.x) / b.count
    alike = _on_one_line(end, start) and abs(pitch_a - pitch_b) < 0.12 * pitch_a
    return alike and abs(start.x - end.x - end.w) < ROW_GAP * pitch_a


def _cells_beside(box: Box, chain: Sequence[PrintedBox], pitch: float) -> int:
    """Return how many cells of a row a box at its end holds; 0 if it is no part of the row."""
    first, last = chain[0].outline, chain[-1].outline
    gap = min(abs(box.x - last.x - last.w), abs(first.x - box.x - box.w))
    level = _on_one_line(box, first) and abs(box.h - first.h) < 0.4 * first.h
    cells = round(box.w / pitch)
    whole = abs(box.w + (pitch - first.w if gap > 0.1 * pitch else 0) - cells * pitch) < 0.25 * pitch
    return cells if level and whole and gap < ROW_GAP * pitch and cells <= 4 else 0


def _find_rules(flat: Mask, boxes: Sequence[PrintedBox], px_per_mm: float) -> list[Box]:
    """Return long flat lines that are no side of a box, as boxes of little height around their middle."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=8)
    rules = []
    for x, y, w, h, area in stats[1:].tolist():
        thickness = area / w
        if w < 2 * COMB_PITCH_MM[0] * px_per_mm or h > 2 * thickness + 0.02 * w:
            continue
        line = _in_mm(Box(x, y + h / 2 - 0.5, w, 1), px_per_mm)
        if not any(_is_side(line, box.outline) for box in boxes):
            rules.append(line)
    return rules


def _comb_on(ink: Mask, line: Box, px_per_mm: float) -> tuple[Box, int] | None:
    """Return the cells that even teeth make on a line, as the box over it and their number; None without teeth.

    A line that is too short for a comb by itself holds two cells at most.
    """
    x, y, w, _ = (side * px_per_mm for side in line)
    top, bottom = round(y - 1.6 * px_per_mm), round(y - 0.5 * px_per_mm)
    reach = max(1, round(0.5 * px_per_mm))
    band = ink[max(0, top) : max(0, bottom), max(0, round(x) - reach) : round(x + w) + reach + 1]
    if not band.size:
        return None
    stands = np.asarray(cv2.dilate(band.min(0)[None], np.ones((1, 2 * reach + 1), np.uint8)))[0]
    for cells in range(MOST_TEETH if line.w >= COMB_MM else 2, 1, -1):
        pitch = line.w / cells
        places = np.rint(reach + np.arange(cells + 1) * w / cells).astype(np.intp)
        if COMB_PITCH_MM[0] < pitch < COMB_PITCH_MM[1] and stands[np.clip(places, 0, len(stands) - 1)].all():
            height = COMB_HEIGHT * pitch
            return Box(line.x, line.y - height, line.w, height), cells
    return None


def _is_like(comb: tuple[Box, int], other: tuple[Box, int]) -> bool:
    """Tell whether two combs stand on one line, near each other, with cells of one width."""
    (a, cells), (b, others) = comb, other
    pitch, level = b.w / others, abs(a.y + a.h - b.y - b.h) < LEVEL_MM
    near = max(b.x - a.x - a.w, a.x - b.x - b.w) < COMB_REACH_MM
    return level and near and abs(a.w / cells - pitch) < 0.12 * pitch


def _is_side(line: Box, box: Box) -> bool:
    beside = line.x < box.x + box.w and box.x < line.x + line.w
    return beside and min(abs(line.y - box.y), abs(line.y - box.y - box.h)) < 1.0


def _in_mm(box: Box, px_per_mm: float) -> Box:
    return Box(*(side / px_per_mm for side in box))
