"""Tell digits that are printed on a form from digits that somebody wrote into it.

A template that was not drafted from the blank form does not know what is printed inside its boxes. Digits that all
stand on one line, of one height, each in the shape of a printed one, may be such print.
"""

from __future__ import annotations

import functools
import statistics

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.fields.line_reader.transcription import Transcript
from worker.fields.locating.extraction import inner_box_px

ALIKE, ALIKE_ALONE = 0.69, 0.85
"""Least correlation of every digit with a printed one, of two digits and more and of a lone one.

Of 235 drawn handwritten numbers the most alike reaches 0.63, and lone digits 0.77;
numbers printed in five fonts 0.70 to 0.99.
"""
LEVEL = 0.05
"""Tops and feet of printed digits differ by no more of their height."""
LIKE_SHAPE = 0.35
"""Largest natural logarithm between the proportions of a digit and a printed one; those of 1s differ more."""
SMALL, UPPER, CORNER = 0.3, 0.45, 0.1
"""Digits that are lower than this share of their box, above this share of its height, and so near to a side of it, are
the number of a box: printed where nobody writes."""
_SIZE = (24, 36)

Shape = NDArray[np.float32]


def look_printed(seen: Transcript) -> bool:
    """Tell whether all digits of a line have the shape of print, on one line and of one height."""
    boxes = [cut.box for cut in seen.cuts]
    if not boxes:
        return False
    height = float(statistics.median(box.h for box in boxes))
    tops, feet = [box.y for box in boxes], [box.y + box.h for box in boxes]
    spreads = (max(tops) - min(tops), max(feet) - min(feet))
    needed = ALIKE if len(boxes) > 1 else ALIKE_ALONE
    return max(spreads) <= LEVEL * height and all(
        _likeness(cut.ink, int(digit)) >= needed for cut, digit in zip(seen.cuts, seen.text, strict=True)
    )


def look_like_box_number(seen: Transcript) -> bool:
    """Tell whether all digits of a field are small and stand in an upper corner of its box, as printed numbers do."""
    if not seen.digits:
        return False
    inner, crop_from_page = inner_box_px(seen.crop), np.linalg.inv(seen.crop.page_from_crop)
    corners = [(x, y, 1.0) for b in (d.box_px for d in seen.digits) for x, y in ((b.x, b.y), (b.x + b.w, b.y + b.h))]
    places = (np.array(corners) @ crop_from_page.T)[:, :2]
    (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
    at_side = min(left - inner.x, inner.x + inner.w - right) < CORNER * inner.w
    return bool(at_side and bottom - top < SMALL * inner.h and bottom < inner.y + UPPER * inner.h)


def are_cell_numbers(text: str, cells: int) -> bool:
    """Tell whether a text is the numbers from 1 to that of a row's cells, as forms print them under the cells."""
    return cells > 1 and text == _numbers_of(cells)


def _numbers_of(cells: int) -> str:
    return "".join(map(str, range(1, cells + 1)))


def shows_cell_numbers(seen: Transcript) -> bool:
    """Tell whether what a reader sees of a row is the numbers of its cells, and all of it lies in its lower half.

    Of four cells and more it may miss two numbers at the ends, but three are there.
    """
    cells = seen.crop.spec.cells or 0
    texts = (seen.text, *(vote.reading for vote in seen.networks))
    fewest = min(cells, max(3, cells - 2))
    return any(len(text) >= fewest > 1 and text in _numbers_of(cells) for text in texts) and all(
        box.y > seen.crop.grey.shape[0] / 2 for box in seen.digit_boxes
    )


def _likeness(ink: NDArray[np.uint8], digit: int) -> float:
    """Return the correlation of a digit's ink with the printed digit that is most like it."""
    shape, proportion = _normalize(ink)
    alike = [
        float((shape * printed).sum())
        for printed, other in _printed_digits()[digit]
        if digit == 1 or abs(np.log(proportion / other)) < LIKE_SHAPE
    ]
    return max(alike, default=0.0)


@functools.lru_cache(maxsize=1)
def _printed_digits() -> list[list[tuple[Shape, float]]]:
    """Return every digit in Pillow's own font and in one of OpenCV's, each with its width over its height."""
    font = ImageFont.load_default(80)
    printed = []
    for digit in range(10):
        image = Image.new("L", (120, 140), 0)
        ImageDraw.Draw(image).text((20, 10), str(digit), fill=255, font=font)
        plotted = np.zeros((140, 120), np.uint8)
        cv2.putText(plotted, str(digit), (20, 110), cv2.FONT_HERSHEY_SIMPLEX, 3, 255, 8, cv2.LINE_AA)
        printed.append([_normalize(np.asarray(image)), _normalize(plotted)])
    return printed


def _normalize(ink: NDArray[np.uint8]) -> tuple[Shape, float]:
    """Return ink (white on black) cut to its box, of one size, mean 0 and norm 1, and its width over its height."""
    x, y, w, h = cv2.boundingRect(np.asarray(ink > ink.max() / 2, np.uint8))
    cut = ink[y : y + h, x : x + w].astype(np.float32)
    sized = cv2.GaussianBlur(cv2.resize(cut, _SIZE, interpolation=cv2.INTER_AREA), (0, 0), 1.2)
    centred = sized - sized.mean()
    return np.asarray(centred / (np.linalg.norm(centred) + 1e-6), np.float32), max(w, 1) / max(h, 1)
