"""Read a free field whole: find its line, let unlike readers say what stands there, cut out and classify each digit.

The networks of the line reader see flattened ink, the general reader the grey crop, and the digit model every digit
alone, cut out by the networks' alignment. What they hold of every string is pooled, and where they differ the field is
doubted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FieldSpec
from worker.calibration import Pooling
from worker.digits.framing import frame_digits
from worker.digits.normalization import normalize_digits
from worker.doubts import UNNAMED_MARK
from worker.fields.cutting.cleaning import clean_field
from worker.fields.line_reader.alignment import Cut, cut_lines, to_page_box
from worker.fields.line_reader.decoding import (
    ALPHABET,
    Candidate,
    Symbol,
    align,
    entropy,
    find_lone_slashes,
    find_marks,
    keep_fitting,
    merge_marks,
    merge_symbols,
    prefer_days,
    resolve_slashes,
    spell_greedily,
)
from worker.fields.line_reader.general_line import cut_general_line
from worker.fields.line_reader.marks import ask_general, see_marks
from worker.fields.line_reader.normalization import Line, count_passed_over, normalize_line
from worker.fields.line_reader.pooling import Ballot, Seen, digits_say, hold_ballots
from worker.grammar.meaning import UNTOLD_SIGN
from worker.grammar.numbers import ANY_SIGN
from worker.imaging.currency_signs import tell_sign
from worker.values import NOT_A_DIGIT, Box, DigitReading, FieldCrop, Marks, Recognizers, RivalMarks

Floats = NDArray[np.float32]
Cells = Sequence[DigitReading | None]
"""What each cell of a row reads by itself; None is an empty cell."""

FLOOR = 1e-4
MAY_BE_SLASH = 0.3
"""A 1 to which a network gives this as a slash may be one (docs/lab-notebook/reading.md)."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One reader's say on a line: ``reading`` is its own best string, ``probability`` what it holds of the text.

    ``uncertainty`` is what it leaves open over all its columns, in nats.
    """

    reading: str
    probability: float
    uncertainty: float


@dataclass(frozen=True, slots=True, eq=False)
class Transcript:
    """What was seen in one field, before it is judged.

    ``text`` is the digits, ``written`` with the marks between them; ``candidates`` are the pooled strings with their
    shares, that of ``text`` first. ``networks`` are the votes of the line reader's networks, ``general`` that of the
    general reader, None where it was not asked. ``lone_slashes`` counts strokes like a slash that neither a dash behind
    them nor the kind of field explains, and ``slashed`` is the text with ``/`` where a 1 may be one.
    ``gap_marks`` are the marks among the digits, ``rival_marks`` what else a network may see there; ``sign`` is the
    currency sign among them, ``¤`` where it cannot be told from others, '' without one. ``marks`` are the cuts of what
    is no digit; ``cuts`` and ``digits`` run in step, one for each digit; ``alone`` (n, 11) are the probabilities of the
    digit model. ``passed_over`` counts the pieces of a tall crop that are as high as its digits and in no digit's box.
    ``altered`` (n,) is how much each digit of the text looks struck out or written over, from 0 to 1.
    """

    crop: FieldCrop
    line: Line
    text: str
    written: str
    candidates: tuple[Candidate, ...]
    networks: tuple[Vote, ...]
    general: Vote | None
    lone_slashes: int
    slashed: str
    gap_marks: Marks
    rival_marks: tuple[RivalMarks, ...]
    sign: str
    marks: tuple[Cut, ...]
    cuts: tuple[Cut, ...]
    digits: tuple[DigitReading, ...]
    alone: Floats
    passed_over: int
    altered: Floats

    @property
    def has_unnamed_mark(self) -> bool:
        """Whether a mark is seen that no reader can name."""
        return UNNAMED_MARK in self.written

    @property
    def digit_boxes(self) -> list[Box]:
        """The boxes of the digits, in pixels of the crop."""
        return [self.line.to_crop_box(cut.box) for cut in self.cuts]

    @property
    def mark_boxes(self) -> list[Box]:
        """The boxes of what is no digit, in pixels of the crop."""
        return [self.line.to_crop_box(cut.box) for cut in self.marks]


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """What the networks, (R, T, C), and the general reader, (T', C), make of a line over all classes.

    ``resolved`` are the networks' answers with lone slashes taken for 1s; ``merged``, (T, 11) each, and
    ``merged_general`` are the same over digits and no digit. Of a line without ink there are none.
    """

    networks: Floats
    general: Floats | None
    resolved: tuple[Floats, ...] = ()
    merged: tuple[Floats, ...] = ()
    merged_general: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """A line's decoding, before its digits are looked at one by one."""

    ballot: Ballot
    merged: tuple[Floats, ...]
    lone_slashes: int
    slashed: str
    symbols: tuple[Symbol, ...]
    gap_marks: Marks = ()
    rival_marks: tuple[RivalMarks, ...] = ()
    asked_general: bool = False
    cuts: tuple[Cut, ...] = ()


def transcribe(
    crops: Sequence[FieldCrop], recognizers: Recognizers, cells: Sequence[Cells] | None = None
) -> list[Transcript]:
    """Read every crop with all readers; all digits of all crops are classified in one batch.

    ``cells`` are what the cells of each crop read by themselves, where the crops are rows of cells. Print is removed
    from tall crops first; one that then reads as nothing is read as it is.
    """
    looks = [_look(crop, clean_field(crop) if _is_tall(crop) else crop) for crop in crops]
    transcripts = _transcribe(looks, recognizers, cells)
    emptied = [i for i, seen in enumerate(transcripts) if not seen.digits and _is_tall(crops[i])]
    rows = None if cells is None else [cells[i] for i in emptied]
    again = _transcribe([_look(crops[i], crops[i]) for i in emptied], recognizers, rows)
    for i, seen in zip(emptied, again, strict=True):
        if seen.digits:  # what was taken for print was the digit
            transcripts[i] = seen
    return transcripts


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A crop as it came, the same without its print, and the line that was found there."""

    raw: FieldCrop
    crop: FieldCrop
    line: Line


def _look(raw: FieldCrop, crop: FieldCrop) -> _Look:
    return _Look(raw, crop, normalize_line(crop.grey))


def _is_tall(crop: FieldCrop) -> bool:
    """Tell whether a crop is higher than wide: its line is a small part of it, to be found among print."""
    height, width = crop.grey.shape
    return bool(height > width)


def _transcribe(looks: Sequence[_Look], recognizers: Recognizers, cells: Sequence[Cells] | None) -> list[Transcript]:
    if not looks:
        return []
    pooling = recognizers.calibration.pooling
    networks = recognizers.transcribe_fields([look.line.image for look in looks])
    general = _ask_general(looks, recognizers)
    rows: Sequence[Cells | None] = [None] * len(looks) if cells is None else cells
    answers = [_resolve(*of_line) for of_line in zip(looks, networks, general, strict=True)]
    ballots = _hold_ballots(answers, rows, pooling)
    decoded = [_decode(*of_line) for of_line in zip(looks, answers, ballots, strict=True)]
    cuts = cut_lines([look.line.image for look in looks], [list(one.symbols) for one in decoded])
    decoded = [replace(one, cuts=tuple(own)) for one, own in zip(decoded, cuts, strict=True)]
    digits = [cut for one in decoded for cut in one.cuts if cut.symbol.character.isdigit()]
    inks = [cut.ink for cut in digits]
    alone = recognizers.classify_digits(normalize_digits(inks)) if inks else np.zeros((0, 11), np.float32)
    see_alterations = recognizers.see_alterations
    altered = np.zeros((len(inks), 10), np.float32)
    if inks and see_alterations:
        altered = see_alterations(frame_digits(inks, [cut.whole for cut in digits]))
    transcripts, at = [], 0
    for look, one in zip(looks, decoded, strict=True):
        length = sum(s.character.isdigit() for s in one.symbols)
        own = slice(at, at + length)
        transcripts.append(_join(look, one, alone[own], altered[own], pooling))
        at += length
    return transcripts


def _ask_general(looks: Sequence[_Look], recognizers: Recognizers) -> list[Floats | None]:
    """Return what the general reader makes of every line that has ink; None of the others, and without that reader."""
    ask = recognizers.transcribe_general
    if ask is None:
        return [None] * len(looks)
    asked = [i for i, look in enumerate(looks) if look.line.ink]
    lines = [cut_general_line(looks[i].raw, looks[i].crop, looks[i].line) for i in asked]
    answers = dict(zip(asked, ask(lines) if lines else (), strict=True))
    return [answers.get(i) for i in range(len(looks))]


def _resolve(look: _Look, networks: Floats, general: Floats | None) -> _Answers:
    """Take the lone slashes of what the networks, (R, T, C), and the general reader, (T', C), make of a line for 1s."""
    if not look.line.ink:
        return _Answers(networks, general)
    kind = look.crop.spec.kind
    resolved = [resolve_slashes(answer, kind) for answer in networks]
    merged = tuple(merge_marks(answer) for answer in resolved)
    of_general = None if general is None else merge_marks(resolve_slashes(general, kind))
    return _Answers(networks, general, tuple(resolved), merged, of_general)


def _hold_ballots(answers: Sequence[_Answers], rows: Sequence[Cells | None], pooling: Pooling) -> list[Ballot | None]:
    """Return the ballot of every line, None of those without ink."""
    inked = [i for i, answer in enumerate(answers) if answer.merged]
    seen = [Seen(np.stack(answers[i].merged), answers[i].merged_general, rows[i]) for i in inked]
    held = dict(zip(inked, hold_ballots(seen, pooling), strict=True))
    return [held.get(i) for i in range(len(answers))]


def _decode(look: _Look, seen: _Answers, ballot: Ballot | None) -> _Decoded:
    """Decode what was made of a line by the ballot of its strings; without one it is empty."""
    spec = look.crop.spec
    if ballot is None:
        nothing = Ballot(("",), np.zeros((1, len(seen.networks))), np.zeros(1))
        return _Decoded(nothing, (), 0, "", ())
    text = _fitting(ballot.candidates(), spec)[0].digits
    held = ballot.log_probabilities[ballot.strings.index(text)]
    surest = int(np.argmax(held[: len(seen.merged)]))
    aligned = [align(text, one) for one in seen.merged]
    gap_marks, rival_marks = see_marks(seen.resolved, aligned, surest)
    if seen.general is not None and seen.merged_general is not None:
        rival_marks = tuple(ask_general(rival_marks, gap_marks, seen.general, align(text, seen.merged_general)))
    return _Decoded(
        ballot,
        seen.merged if seen.merged_general is None else (*seen.merged, seen.merged_general),
        max(len(find_lone_slashes(answer, spec.kind)) for answer in seen.networks),
        text if spec.kind == "date" else _spell_slashes(aligned[surest], seen.networks),
        tuple(merge_symbols(aligned[surest], find_marks(seen.resolved[surest]))),
        gap_marks,
        rival_marks,
        asked_general=seen.merged_general is not None,
    )


def _fitting(candidates: list[Candidate], spec: FieldSpec) -> list[Candidate]:
    least, most = spec.digit_range
    fitting = keep_fitting(candidates, least=least, most=most)
    return prefer_days(fitting, spec.date_order) if spec.kind == "date" else fitting


def choose_string(ballot: Ballot, count: int, spec: FieldSpec) -> list[Candidate]:
    """Return the strings that a field may hold, before them the likeliest of ``count`` digits: as many were cut out.

    The digit model may lift strings of another length over what ``keep_fitting`` asks of them, and those that were
    cut out fall then: theirs comes first all the same.
    """
    listed = ballot.candidates()
    fitting = _fitting(listed, spec)
    best = next(c for c in (*fitting, *listed) if len(c.digits) == count)
    return [best, *(c for c in fitting if c is not best)]


def _join(look: _Look, seen: _Decoded, alone: Floats, altered: Floats, pooling: Pooling) -> Transcript:
    """Let the digit model have its say on the digits as they were cut; the likeliest string is the text.

    The text keeps the number of digits that were cut out.
    """
    crop, line, count = look.crop, look.line, len(alone)
    of_digits = digits_say(np.log(alone[:, :NOT_A_DIGIT].astype(np.float64) + FLOOR), seen.ballot.strings)
    ballot = replace(seen.ballot, scores=seen.ballot.scores + pooling.digits * of_digits)
    best, *others = choose_string(ballot, count, crop.spec)
    cuts = [cut for cut in seen.cuts if cut.symbol.character.isdigit()]
    page_boxes = [to_page_box(line.to_crop_box(cut.box), crop.page_from_crop) for cut in cuts]
    likely = _likely_digits(ballot, best.digits, alone)
    digits = tuple(DigitReading(i, likely[i], float(alone[i, NOT_A_DIGIT]), box) for i, box in enumerate(page_boxes))
    read = iter(best.digits)
    held = np.exp(np.minimum(ballot.log_probabilities[ballot.strings.index(best.digits)], 0.0))
    votes = [
        Vote(spell_greedily(merged), float(probability), entropy(merged))
        for merged, probability in zip(seen.merged, held, strict=False)
    ]
    of_networks = len(votes) - seen.asked_general
    return Transcript(
        crop=crop,
        line=line,
        text=best.digits,
        written="".join(next(read) if s.character.isdigit() else s.character for s in seen.symbols),
        candidates=(best, *others),
        networks=tuple(votes[:of_networks]),
        general=votes[-1] if seen.asked_general else None,
        lone_slashes=seen.lone_slashes,
        slashed=seen.slashed,
        gap_marks=seen.gap_marks,
        rival_marks=seen.rival_marks,
        sign=_tell_currency(seen.cuts),
        marks=tuple(cut for cut in seen.cuts if not cut.symbol.character.isdigit()),
        cuts=tuple(cuts),
        digits=digits,
        alone=alone,
        passed_over=_count_passed_over(look, seen.cuts),
        altered=altered[np.arange(count), [int(digit) for digit in best.digits]],
    )


def _spell_slashes(digits: Sequence[Symbol], networks: Floats) -> str:
    """Return the digits with ``/`` for each 1 among them on whose columns a network, (R, T, C), may see a slash."""
    slash = np.exp(networks[:, :, ALPHABET.index("/")]).max(axis=0)
    inner = range(1, len(digits) - 1)
    return "".join(
        "/" if i in inner and s.character == "1" and slash[s.start : s.stop].max() >= MAY_BE_SLASH else s.character
        for i, s in enumerate(digits)
    )


def _count_passed_over(look: _Look, cuts: Sequence[Cut]) -> int:
    """Count what a tall crop holds beside its digits: cleaning may have taken one of them for print."""
    if not cuts or not _is_tall(look.raw):
        return 0
    x, y = (np.linalg.inv(look.raw.page_from_crop) @ look.crop.page_from_crop)[:2, 2]
    boxes = [look.line.to_crop_box(cut.box) for cut in cuts]
    return count_passed_over(look.raw.grey, [box._replace(x=box.x + x, y=box.y + y) for box in boxes])


def _tell_currency(cuts: Sequence[Cut]) -> str:
    """Return the currency sign of a line by its ink; the networks have one class for all signs."""
    signs = [tell_sign(cut.ink) for cut in cuts if cut.symbol.character == ANY_SIGN]
    told = {sign.sign if sign else UNTOLD_SIGN for sign in signs}
    return "" if not told else told.pop() if len(told) == 1 else UNTOLD_SIGN


def _likely_digits(ballot: Ballot, text: str, alone: Floats) -> Floats:
    """Return (n, 10) probabilities of the text's digits: of each, that of the likeliest string that has it there."""
    likely = np.full((len(text), 10), FLOOR * FLOOR)
    likely += FLOOR * alone[:, :NOT_A_DIGIT]
    rows = likely.tolist()
    for string, share in zip(ballot.strings, ballot.probabilities().tolist(), strict=True):
        if len(string) == len(text):
            for row, digit in zip(rows, string, strict=True):
                row[int(digit)] = max(row[int(digit)], share)
    likely = np.array(rows, np.float64).reshape(-1, 10)
    return np.asarray(likely / likely.sum(axis=1, keepdims=True), np.float32)
