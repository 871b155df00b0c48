"""Read a free field whole: normalize its line, transcribe it by two networks, cut out and classify each digit.

Unlike readers look at every digit: the networks of the sequence reader, which see it among its neighbours, and the
digit model, which sees it alone, cut out by the sequence reader's alignment. Where they differ the field is
doubted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.digits.normalization import normalize_digits
from worker.fields.cutting.cleaning import clean_field
from worker.fields.line_reader.alignment import Cut, cut_lines, to_crop_box, to_page_box
from worker.fields.line_reader.decoding import (
    BLANK,
    Candidate,
    Symbol,
    align,
    entropy,
    find_candidates,
    find_lone_slashes,
    find_marks,
    keep_fitting,
    merge_marks,
    merge_symbols,
    pool_candidates,
    resolve_slashes,
    spell_greedily,
)
from worker.fields.line_reader.marks import see_marks
from worker.fields.line_reader.normalization import Line, normalize_line
from worker.grammar.meaning import UNTOLD_SIGN
from worker.imaging.currency_signs import tell_sign
from worker.values import NOT_A_DIGIT, DigitReading, FieldCrop, Marks, Recognizers, RivalMarks

Floats = NDArray[np.float32]

DIGIT_MODEL_SHARE = 0.25
"""Weight of the digit model's log-probabilities beside the line reader's (measured: docs/lab-notebook/reading.md)."""
FLOOR = 1e-4


def _no_digits() -> Floats:
    return np.zeros((0, 10), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Transcript:
    """What was seen in one field, before it is judged.

    ``text`` is the digits, ``written`` with the marks between them; ``readings`` are the strings of digits that each
    network reads by itself; ``least_agreed`` is the best string's probability in the network that doubts it most;
    ``uncertainty`` is what the networks leave open over all columns, in nats; ``lone_slashes`` counts
    strokes like a slash that neither a dash behind them nor the kind of field explains. ``gap_marks`` are the marks
    among the digits, ``rival_marks`` what else a network may see there; ``sign`` is the currency sign among them, ``¤``
    where it cannot be told from others, '' without one. ``marks`` are the cuts of what is no digit;
    ``cuts`` and ``digits`` run in step, one for each digit; ``sequence`` (n, 10) and ``alone`` (n, 11) are the
    probabilities of the sequence reader and of the digit model.
    """

    crop: FieldCrop
    line: Line
    text: str
    written: str
    candidates: tuple[Candidate, ...]
    readings: tuple[str, ...]
    least_agreed: float
    uncertainty: float
    lone_slashes: int
    gap_marks: Marks
    rival_marks: tuple[RivalMarks, ...]
    sign: str
    marks: tuple[Cut, ...]
    cuts: tuple[Cut, ...]
    digits: tuple[DigitReading, ...]
    sequence: Floats
    alone: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A line's decoding, before its digits are looked at one by one."""

    candidates: list[Candidate]
    readings: tuple[str, ...] = ("",)
    least_agreed: float = 1.0
    uncertainty: float = 0.0
    lone_slashes: int = 0
    gap_marks: Marks = ()
    rival_marks: tuple[RivalMarks, ...] = ()
    sequence: Floats = field(default_factory=_no_digits)
    symbols: tuple[Symbol, ...] = ()
    cuts: tuple[Cut, ...] = ()


def transcribe(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[Transcript]:
    """Read every crop with both readers; all digits of all crops are classified in one batch.

    Print is removed from tall crops first; one that then reads as nothing is read as it is.
    """
    transcripts = _transcribe([clean_field(crop) if _is_tall(crop) else crop for crop in crops], recognizers)
    emptied = [i for i, seen in enumerate(transcripts) if not seen.digits and _is_tall(crops[i])]
    for i, seen in zip(emptied, _transcribe([crops[i] for i in emptied], recognizers), strict=True):
        if seen.digits:  # what was taken for print was the digit
            transcripts[i] = seen
    return transcripts


def _transcribe(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[Transcript]:
    if not crops:
        return []
    lines = [normalize_line(crop.grey) for crop in crops]
    answers = recognizers.transcribe_fields([line.image for line in lines])
    seen = _decode_all(lines, answers, [crop.spec for crop in crops])
    inks = [cut.ink for one in seen for cut in one.cuts if cut.symbol.character.isdigit()]
    alone = recognizers.classify_digits(normalize_digits(inks)) if inks else np.zeros((0, 11), np.float32)
    transcripts, at = [], 0
    for crop, line, one in zip(crops, lines, seen, strict=True):
        length = sum(s.character.isdigit() for s in one.symbols)
        transcripts.append(_join(crop, line, one, alone[at : at + length]))
        at += length
    return transcripts


def _is_tall(crop: FieldCrop) -> bool:
    """Tell whether a crop is higher than wide: its line is a small part of it, to be found among print."""
    height, width = crop.grey.shape
    return bool(height > width)


def _decode_all(lines: list[Line], answers: list[Floats], specs: Sequence[FieldSpec]) -> list[_Seen]:
    """Decode every line, and cut all lines at once."""
    seen = [_decode(line, own, spec) for line, own, spec in zip(lines, answers, specs, strict=True)]
    cuts = cut_lines([line.image for line in lines], [list(one.symbols) for one in seen])
    return [replace(one, cuts=tuple(own)) for one, own in zip(seen, cuts, strict=True)]


def _decode(line: Line, answers: Floats, spec: FieldSpec) -> _Seen:
    """Decode what every network makes of a line, (R, T, C).

    Two networks name a digit in columns of their own, so that their strings are brought together, not their columns.
    """
    if not line.ink:
        return _Seen([Candidate("", 1.0)])
    least, most = spec.digit_range
    resolved = [resolve_slashes(answer, spec.kind) for answer in answers]
    merged = [merge_marks(answer) for answer in resolved]
    votes = [find_candidates(one) for one in merged]
    candidates = keep_fitting(pool_candidates(votes), least=least, most=most)
    text = candidates[0].digits
    agreed = [next((c.probability for c in vote if c.digits == text), 0.0) for vote in votes]
    aligned = [align(text, one) for one in merged]
    surest = int(np.argmax(agreed))
    gap_marks, rival_marks = see_marks(resolved, aligned, surest)
    return _Seen(
        candidates,
        readings=tuple(spell_greedily(one) for one in merged),
        least_agreed=min(agreed),
        uncertainty=sum(map(entropy, merged)),
        lone_slashes=max(len(find_lone_slashes(answer, spec.kind)) for answer in answers),
        gap_marks=gap_marks,
        rival_marks=rival_marks,
        sequence=np.mean([_digit_posteriors(a, m) for a, m in zip(aligned, merged, strict=True)], axis=0),
        symbols=tuple(merge_symbols(aligned[surest], find_marks(resolved[surest]))),
    )


def _join(crop: FieldCrop, line: Line, seen: _Seen, alone: Floats) -> Transcript:
    """Put both readers' probabilities of each digit together; the likeliest digits make the text."""
    cuts = [cut for cut in seen.cuts if cut.symbol.character.isdigit()]
    both = fuse(seen.sequence, alone)
    page_boxes = [to_page_box(to_crop_box(cut.box, line), crop.page_from_crop) for cut in cuts]
    digits = tuple(DigitReading(i, both[i], float(alone[i, NOT_A_DIGIT]), box) for i, box in enumerate(page_boxes))
    read = iter(digits)
    symbols = [
        Symbol(str(next(read).digit), s.start, s.stop, s.peak) if s.character.isdigit() else s for s in seen.symbols
    ]
    return Transcript(
        crop=crop,
        line=line,
        text="".join(s.character for s in symbols if s.character.isdigit()),
        written="".join(s.character for s in symbols),
        candidates=tuple(seen.candidates),
        readings=seen.readings,
        least_agreed=seen.least_agreed,
        uncertainty=seen.uncertainty,
        lone_slashes=seen.lone_slashes,
        gap_marks=seen.gap_marks,
        rival_marks=seen.rival_marks,
        sign=_tell_currency(seen.cuts),
        marks=tuple(cut for cut in seen.cuts if not cut.symbol.character.isdigit()),
        cuts=tuple(cuts),
        digits=digits,
        sequence=seen.sequence,
        alone=alone,
    )


def _tell_currency(cuts: Sequence[Cut]) -> str:
    """Return the currency sign of a line by its ink; the networks have one class for all signs."""
    signs = [tell_sign(cut.ink) for cut in cuts if cut.symbol.character == "$"]
    told = {sign.sign if sign else UNTOLD_SIGN for sign in signs}
    return "" if not told else told.pop() if len(told) == 1 else UNTOLD_SIGN


def _digit_posteriors(symbols: Sequence[Symbol], merged: Floats) -> Floats:
    """Return the sequence reader's (n, 10) probabilities of digits: its best over each symbol's columns.

    The columns beside a symbol may lift what its own ones hold for impossible, by ``FLOOR`` at most.
    """
    if not symbols:
        return _no_digits()
    likely = np.exp(merged[:, :BLANK])
    own = np.stack([likely[s.start : s.stop].max(axis=0) for s in symbols])
    wide = np.stack([likely[max(0, s.start - 1) : s.stop + 1].max(axis=0) for s in symbols])
    best = np.where(own > FLOOR, own, np.minimum(wide, own + FLOOR)) + FLOOR
    return np.asarray(best / best.sum(axis=1, keepdims=True), np.float32)


def fuse(sequence: Floats, alone: Floats) -> Floats:
    """Return (n, 10) probabilities from both readers', as their weighted geometric mean.

    Genest, Zidek, "Combining probability distributions", Statistical Science 1(1), 1986.
    """
    other = alone[:, :10] + FLOOR
    logs = np.log(sequence + FLOOR) + DIGIT_MODEL_SHARE * np.log(other)
    pooled = np.exp(logs - logs.max(axis=1, keepdims=True)) if len(logs) else logs
    return np.asarray(pooled / pooled.sum(axis=1, keepdims=True), np.float32)
