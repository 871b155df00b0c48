"""The frozen values that flow along the line, from a scan to its readings.

Pixels: grey arrays are ``(H, W) uint8`` with 0 = ink and 255 = paper, origin at the top left, unless a name says
``ink`` (``white ink on black``, as the digit model wants it). Boxes are ``(x, y, w, h)``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from schemas.form_template import FieldGrammar, FieldSpec, FormTemplate
from worker.calibration import UNCALIBRATED, ReadersCalibration
from worker.doubts import Doubt
from worker.page_promises import NO_PAGE_PROMISES, PagePromises

if TYPE_CHECKING:  # 13 MB, which the server, whose values are numbers and texts, does without
    import numpy as np
    from numpy.typing import NDArray

Grey: TypeAlias = "NDArray[np.uint8]"
"""(H, W) uint8, 0 = ink, 255 = paper."""

NOT_A_DIGIT = 10
"""Index of the digit model's eleventh answer."""


class Box(NamedTuple):
    """An upright rectangle: left, top, width, height; pixels or millimetres as the name of the variable says."""

    x: float
    y: float
    w: float
    h: float

    def rounded(self) -> tuple[int, int, int, int]:
        """Return the box in whole units."""
        return round(self.x), round(self.y), round(self.w), round(self.h)


class Extent(NamedTuple):
    """An upright rectangle by its sides, in pixels of the picture that it lies on; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From side to side."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    @property
    def middle(self) -> tuple[float, float]:
        """The x and y of its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


A = TypeVar("A", bound="NDArray[np.generic]")


def freeze(array: A) -> A:
    """Mark an array read-only and return it."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class Scan:
    """One file as it came in; ``sha256`` is of its raw bytes."""

    id: str
    uri: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One page of a scan: ``grey`` is (H, W) uint8, 0 = ink, 255 = paper; ``number`` counts from 0.

    ``dpi`` is None where the file does not say. ``damage`` says what the decoder complained of, where it made up the
    pixels that it could not decode.
    """

    scan_id: str
    number: int
    grey: Grey
    dpi: float | None = None
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class UnreadablePage:
    """One page that cannot be decoded, of a scan that has others: ``problem`` says why, as one line for a person.

    ``incomplete`` tells that its bytes end too early: whoever writes the file may not be done yet.
    """

    scan_id: str
    number: int
    problem: str
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class FormPages:
    """A page of one of these templates: of all that are known, or of the form that somebody named.

    ``form`` is that form's name, None where the page has to be identified; ``others`` are the templates that a page of
    a named form may turn out to be of instead.
    """

    pages: tuple[FormTemplate, ...]
    form: str | None = None
    others: tuple[FormTemplate, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """Where a form template lies on a page.

    ``page_from_mm`` is the (3, 3) float64 homography from template millimetres to page pixels; ``quality`` is in
    [0, 1]; ``template`` and ``version`` name the template. ``print_mm`` (R, 2) are places on the template's printed
    lines, ``print_found`` (R,) tells which of them the page shows: how well a field lies is told by those around it.
    """

    template: str
    version: str
    page_from_mm: NDArray[np.float64]
    quality: float
    print_mm: NDArray[np.float64] | None = None
    print_found: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FieldCrop:
    """One field cut from its page, upright: (h, w) uint8 grey, 0 = ink.

    ``page_from_crop`` is the (3, 3) homography from crop pixels back to page pixels, ``box_px`` the field's upright
    bounding box on the page. ``registration`` is the quality of the registration around the field, or None without a
    template. ``complete`` is False where ink that may belong to the number lies beside what was cut, or where what was
    cut looks like no digits: such a field is never accepted. Neither is one that is not ``upright`` for sure, because 6
    and 9 turn into each other, nor one that is not a ``single`` number for sure.
    """

    spec: FieldSpec
    grey: Grey
    box_px: Box
    page_from_crop: NDArray[np.float64]
    registration: float | None = None
    complete: bool = True
    upright: bool = True
    single: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class DigitCrop:
    """One digit candidate: ``ink`` is (h, w) uint8, white ink on black, ``box_px`` its place on the page."""

    position: int
    ink: NDArray[np.uint8]
    box_px: Box


@dataclass(frozen=True, slots=True, eq=False)
class DigitReading:
    """One digit read: ``probabilities`` (10,) float32, calibrated; ``outlier`` is the not-a-digit probability."""

    position: int
    probabilities: NDArray[np.float32]
    outlier: float
    box_px: Box

    @property
    def digit(self) -> int:
        """The likeliest digit."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self) -> float:
        """The probability that the likeliest digit is right."""
        return float(self.probabilities.max())

    def top(self, count: int) -> list[tuple[int, float]]:
        """Return the likeliest digits with their probabilities, best first."""
        order = self.probabilities.argsort()[::-1][:count]
        return [(int(d), float(self.probabilities[d])) for d in order]


class FieldStatus(StrEnum):
    """What becomes of a field; one of text is shown to people and never read."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    BLANK = "blank"
    NOT_READ = "not_read"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A runner-up reading of a field."""

    text: str
    confidence: float


DEFAULT_ACCEPT_THRESHOLD = 0.995
"""Asked of a reader without a calibration of its own: one wrong field in 200 if its confidences are honest."""


Marks = tuple[str, ...]
"""What stands among the digits of a text: one string before the first, between each two and after the last."""


@dataclass(frozen=True, slots=True)
class RivalMarks:
    """Other marks among the same digits, with the probability that one network gives to them."""

    marks: Marks
    probability: float


def spell_marks(text: str, marks: Marks) -> str:
    """Return digits with the marks among them; the digits alone where no marks are told."""
    if not marks:
        return text
    return marks[0] + "".join(digit + mark for digit, mark in zip(text, marks[1:], strict=True))


@dataclass(frozen=True, slots=True)
class RawReading:
    """What a reader made of one field, before it is decided what becomes of it.

    ``text`` holds digits only, '' where nothing was read; ``confidence`` is the calibrated probability that it is
    right as a whole or, if ``blank``, that the field is empty. ``marks`` are what was seen among the
    digits, and ``rival_marks`` what a network may see there instead, the likeliest first; ``sign`` is
    the currency sign among them, ``¤`` where it cannot be told. ``doubts`` are the reader's
    own reasons for a review; ``accept_threshold`` is the confidence from which the reader may be believed, None where
    none is enough.
    """

    text: str
    confidence: float
    box_px: Box
    blank: bool = False
    digits: tuple[DigitReading, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    registration: float | None = None
    accept_threshold: float | None = DEFAULT_ACCEPT_THRESHOLD
    marks: Marks = ()
    rival_marks: tuple[RivalMarks, ...] = ()
    sign: str = ""

    @property
    def written(self) -> str:
        """The digits with the marks that were seen among them, over the line reader's alphabet."""
        return spell_marks(self.text, self.marks)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount as an integer of the currency's minor units; ``currency`` is its ISO 4217 code."""

    minor_units: int
    currency: str


class Tick(StrEnum):
    """What a tick box says."""

    TICKED = "ticked"
    EMPTY = "empty"


CODE = FieldGrammar()
"""The grammar of digits that name something: that of every field of which nothing else is said."""

Value = Money | Decimal | int | dt.date | dt.time | Tick | str
"""What a field means: money, a number with decimals or a whole one, a date, a time of day, a tick, a code's digits."""


@dataclass(frozen=True, slots=True)
class FieldReading:
    """One field read: ``confidence`` is the calibrated probability that ``text`` is right as a whole.

    ``doubts`` say why a field needs a person (empty when accepted); ``alternatives`` are the runners-up.
    ``accept_threshold`` is the confidence that this field needed, None where no confidence decides.
    ``validation_sources`` name what spoke for the reading beside its reader; ``value`` is what ``text`` means where a
    grammar tells it.
    """

    name: str
    text: str
    confidence: float
    status: FieldStatus
    box_px: Box
    digits: tuple[DigitReading, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    accept_threshold: float | None = None
    validation_sources: tuple[str, ...] = ()
    value: Value | None = None
    written: str = ""
    grammar: FieldGrammar = CODE


@dataclass(frozen=True, slots=True)
class Separator:
    """What a page says of the document that begins: its reference, and the template to read its pages by.

    A sheet (``is_sheet``) lies before the document; a page with a barcode is the first one of it.
    """

    template: str | None = None
    reference: str | None = None
    is_sheet: bool = True


@dataclass(frozen=True, slots=True)
class PageReading:
    """All that was read on one page; ``problem`` says why a page could not be read, as one line for a person.

    ``doubts`` say why a person should look at a page that was read: nothing was found on it, or it is damaged.
    ``blank`` tells empty paper: no stroke, however faint. A page with a ``separator`` begins a document, or is
    the sheet before one, which has no fields.
    """

    page: int
    width_px: int
    height_px: int
    fields: tuple[FieldReading, ...] = ()
    template: str | None = None
    template_version: str | None = None
    registration: float | None = None
    model_versions: dict[str, str] = field(default_factory=dict)
    problem: str | None = None
    doubts: tuple[Doubt, ...] = ()
    blank: bool = False
    separator: Separator | None = None


DigitClassifier: TypeAlias = "Callable[[NDArray[np.uint8]], NDArray[np.float32]]"
"""(N, H, W) uint8 normalized digit images, white ink on black -> (N, 11) float32 calibrated probabilities."""

LineTranscriber: TypeAlias = "Callable[[list[NDArray[np.uint8]]], list[NDArray[np.float32]]]"
"""Normalized field images (40, W_i) uint8 -> for each (R, T_i, C) float32: what each of R networks holds for likely, as
log-probabilities of the reader's classes."""

GeneralTranscriber: TypeAlias = "Callable[[list[NDArray[np.uint8]]], list[NDArray[np.float32]]]"
"""Raw grey lines of ``worker.fields.line_reader.general_line``, (48, W_i) uint8, 0 = ink -> for each (W_i / 8, C)
float32: what the general reader holds for likely, as log-probabilities of the line reader's classes."""

AlterationWitness: TypeAlias = "Callable[[NDArray[np.uint8]], NDArray[np.float32]]"
"""(N, 32, 32) uint8 digits of ``worker.digits.framing`` -> (N, 10) float32: from 0.5, what is read as that digit may be
struck out or written over."""


@dataclass(frozen=True, slots=True)
class Recognizers:
    """The models as plain functions, so that the pure rooms need not know what runs them.

    ``calibration`` turns the evidence of a reading into a confidence, and says which confidence is accepted;
    ``page_promises`` say which one is accepted on a page without a form.
    """

    classify_digits: DigitClassifier
    transcribe_fields: LineTranscriber
    versions: dict[str, str] = field(default_factory=dict)
    calibration: ReadersCalibration = UNCALIBRATED
    transcribe_general: GeneralTranscriber | None = None
    page_promises: PagePromises = NO_PAGE_PROMISES
    see_alterations: AlterationWitness | None = None
