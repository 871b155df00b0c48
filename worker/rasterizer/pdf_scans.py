"""Tell a page of a PDF that shows one picture and nothing else, as scanners write them, from one that must be drawn.

Whatever is not known to leave the picture as it is (masks, transparency, other marks, a picture that does not fill the
page) means that the page is drawn. Names and operators are those of ISO 32000-1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from pypdf import PageObject
from pypdf.generic import ContentStream, DictionaryObject, NullObject, StreamObject

Matrix: TypeAlias = tuple[float, float, float, float, float, float]

MOST_CONTENT = 200_000
"""Bytes of operators that are looked through: a page of recognized text has some 50,000."""
DEEPEST_FORM = 3
SLACK_POINTS = 1.0
"""How far the picture may end from the sides of the page, 0.35 mm: producers round its size."""
LEVEL = 0.01
"""Largest share of a picture's side by which it may be askew."""

_STATES = ("w", "J", "j", "M", "d", "ri", "i")
_COLOURS = ("g", "G", "rg", "RG", "k", "K", "cs", "CS", "sc", "SC", "scn", "SCN")
_MARKED = ("BMC", "BDC", "EMC", "MP", "DP", "BX", "EX")
_TEXT = ("BT", "ET", "Tc", "Tw", "Tz", "TL", "Tf", "Ts", "Td", "TD", "Tm", "T*")
_HARMLESS = frozenset((*_STATES, *_COLOURS, *_MARKED, *_TEXT))
"""Operators that paint nothing."""
_SHOWS_TEXT = frozenset(("Tj", "TJ", "'", '"'))
_INVISIBLE = 3
"""The text rendering mode of text that was recognized behind a scan (9.3.6)."""
_QUARTER_TURNS: dict[tuple[int, int, int, int], int] = {
    (1, 0, 0, 1): 0,
    (0, -1, 1, 0): 1,
    (-1, 0, 0, -1): 2,
    (0, 1, -1, 0): 3,
}
"""Signs of the matrix of a picture, and the quarter turns clockwise by which it is shown."""


class PagePicture(NamedTuple):
    """The picture of a page, how often it is turned clockwise to be shown, and its own width and height in points."""

    stream: StreamObject
    turns: int
    points: tuple[float, float]


class _NotOnePictureError(Exception):
    """The page shows something else, or what it shows is not certain."""


@dataclass(frozen=True, slots=True)
class _State:
    matrix: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    text_mode: int = 0


@dataclass(slots=True)
class _Walk:
    """A walk through the operators of a page, and the pictures met on the way."""

    box: tuple[float, float, float, float]
    pictures: list[tuple[StreamObject, Matrix]] = field(default_factory=list)


def find_picture(page: PageObject) -> PagePicture | None:
    """Return the picture of a page that shows it whole, on the whole page, and nothing else; None of any other page."""
    box = tuple(float(v) for v in page.cropbox)
    left, bottom, right, top = (float(v) for v in page.mediabox)
    inside = left <= box[0] < box[2] <= right and bottom <= box[1] < box[3] <= top
    if not inside or page.get("/UserUnit", 1) != 1 or _has_annotations(page) or page.rotation % 90:
        return None
    walk = _Walk((box[0], box[1], box[2], box[3]))
    content = page.get_contents()
    try:
        if content is None:
            return None
        _walk_through(content, _resolved(page.get("/Resources")), _State(), walk, depth=0)
        ((stream, matrix),) = walk.pictures
        return _placed(stream, matrix, walk.box, page.rotation)
    except (_NotOnePictureError, ValueError):
        return None


def _has_annotations(page: PageObject) -> bool:
    """Tell whether anything lies on the page that a viewer may show; bare links do not."""
    found = [_resolved(one) for one in _resolved(page.get("/Annots")) or ()]
    return any(one.get("/Subtype") != "/Link" or "/AP" in one or "/C" in one for one in found)


def _walk_through(content: ContentStream, resources: Any, state: _State, walk: _Walk, *, depth: int) -> None:
    if len(content.get_data()) > MOST_CONTENT:
        raise _NotOnePictureError
    stack: list[_State] = []
    path: list[tuple[float, float, float, float]] = []
    for operands, operator in content.operations:
        name = operator.decode("latin-1")
        if name == "q":
            stack.append(state)
        elif name == "Q":
            state = stack.pop() if stack else state
        elif name == "cm":
            state = replace(state, matrix=_multiply(_matrix(operands), state.matrix))
        elif name == "Tr":
            state = replace(state, text_mode=int(operands[0]))
        elif name == "gs":
            _check_state(_entry(resources, "/ExtGState", operands[0]))
        elif name == "re":
            path.append(_rectangle(operands, state.matrix))
        elif name in ("W", "W*", "n"):  # a clip that leaves the whole page; a path that is not painted
            if any(not _covers(one, walk.box) for one in path) or len(path) > 1:
                raise _NotOnePictureError
            path = path if name != "n" else []
        elif name == "Do":
            _show(_entry(resources, "/XObject", operands[0]), state, walk, depth=depth)
        elif name not in _HARMLESS and not (name in _SHOWS_TEXT and state.text_mode == _INVISIBLE):
            raise _NotOnePictureError


def _show(shown: Any, state: _State, walk: _Walk, *, depth: int) -> None:
    if not isinstance(shown, StreamObject) or "/OC" in shown:
        raise _NotOnePictureError
    if shown.get("/Subtype") == "/Image":
        walk.pictures.append((shown, state.matrix))
        return
    if shown.get("/Subtype") != "/Form" or depth >= DEEPEST_FORM:
        raise _NotOnePictureError
    inner = replace(state, matrix=_multiply(_matrix(shown.get("/Matrix", (1, 0, 0, 1, 0, 0))), state.matrix))
    left, bottom, right, top = (float(v) for v in _resolved(shown["/BBox"]))
    before = len(walk.pictures)
    resources = _resolved(shown.get("/Resources"))
    _walk_through(ContentStream(shown, None), resources, inner, walk, depth=depth + 1)
    clip = _rectangle((left, bottom, right - left, top - bottom), inner.matrix)
    if len(walk.pictures) > before and not _covers(clip, walk.box):
        raise _NotOnePictureError


def _check_state(state: Any) -> None:
    """Refuse a graphics state that makes what follows transparent, or blends it."""
    plain = isinstance(state, DictionaryObject)
    if plain:
        plain = all(state.get(name, 1) == 1 for name in ("/ca", "/CA"))
        plain = plain and state.get("/BM", "/Normal") in ("/Normal", "/Compatible")
        plain = plain and state.get("/SMask", "/None") == "/None" and not {"/TR", "/TR2", "/HT"} & set(state)
    if not plain:
        raise _NotOnePictureError


def _placed(
    stream: StreamObject, matrix: Matrix, box: tuple[float, float, float, float], rotation: int
) -> PagePicture | None:
    """Return the picture with its turns if it fills the page, neither askew nor mirrored."""
    a, b, c, d, _, _ = matrix
    largest = max(abs(v) for v in (a, b, c, d))
    signs = tuple(int(math.copysign(1, v)) if abs(v) > LEVEL * largest else 0 for v in (a, b, c, d))
    turns = _QUARTER_TURNS.get((signs[0], signs[1], signs[2], signs[3]))
    shown = _rectangle((0, 0, 1, 1), matrix)
    if turns is None or not _covers(shown, box) or not _covers(box, shown):
        return None
    return PagePicture(stream, (turns + rotation // 90) % 4, (math.hypot(a, b), math.hypot(c, d)))


def _covers(outer: tuple[float, float, float, float], inner: tuple[float, float, float, float]) -> bool:
    low = all(o <= i + SLACK_POINTS for o, i in zip(outer[:2], inner[:2], strict=True))
    return low and all(o >= i - SLACK_POINTS for o, i in zip(outer[2:], inner[2:], strict=True))


def _rectangle(operands: Any, matrix: Matrix) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top of a rectangle (x, y, width, height) after a matrix; one askew is refused."""
    x, y, w, h = (float(v) for v in operands)
    a, b, c, d, e, f = matrix
    upright, on_side = abs(b) + abs(c), abs(a) + abs(d)
    if min(upright, on_side) > LEVEL * max(upright, on_side):
        raise _NotOnePictureError
    xs = [a * p + c * q + e for p in (x, x + w) for q in (y, y + h)]
    ys = [b * p + d * q + f for p in (x, x + w) for q in (y, y + h)]
    return min(xs), min(ys), max(xs), max(ys)


def _matrix(values: Any) -> Matrix:
    a, b, c, d, e, f = (float(v) for v in values)
    return a, b, c, d, e, f


def _multiply(first: Matrix, then: Matrix) -> Matrix:
    """Return the matrix that applies ``first``, then ``then`` (8.3.4)."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = then
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _entry(resources: Any, kind: str, name: Any) -> Any:
    group = _resolved(resources.get(kind)) if isinstance(resources, DictionaryObject) else None
    if not isinstance(group, DictionaryObject) or name not in group:
        raise _NotOnePictureError
    return _resolved(group[name])


def _resolved(value: Any) -> Any:
    found = value.get_object() if hasattr(value, "get_object") else value
    return None if isinstance(found, NullObject) else found
