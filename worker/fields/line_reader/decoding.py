"""The line reader's answers decoded: from log-probabilities over columns to strings of digits.

Connectionist temporal classification (Graves, Fernández, Gomez, Schmidhuber, "Connectionist temporal
classification", 2006): each column names a character or the blank, repeats collapse, blanks vanish. Marks
(points, commas, dashes, slashes, currency signs) have classes of their own; to a string of digits a mark is a
blank, so the digits' posterior is decoded over eleven classes and the marks are read beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.form_template import DateOrder
from worker.doubts import UNNAMED_MARK
from worker.grammar.numbers import ANY_SIGN
from worker.grammar.times import may_be_day

Floats = NDArray[np.float32]

MARKS = ".,-/=" + ANY_SIGN + UNNAMED_MARK
ALPHABET = "0123456789" + MARKS
"""The reader's classes in order, before the CTC blank."""
BLANK = 10
"""Index of "no digit here" once marks and blank are one."""

_DIGITS = "0123456789"

BEAM = 8
LEAST_DAY = 0.05
"""A day is possible whose share is at least this part of that of a string that is none."""
NEGLIGIBLE = 1e-3
"""A digit less likely than this in a column starts no prefix there."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A string of digits that a line may hold, with its share of the probability of all that were found."""

    digits: str
    probability: float


@dataclass(frozen=True, slots=True)
class Symbol:
    """One character on its columns ``start`` to ``stop`` (exclusive); the reader is surest at ``peak``."""

    character: str
    start: int
    stop: int
    peak: int


def merge_marks(log_probabilities: Floats) -> Floats:
    """Return (T, 11) log-probabilities of the ten digits and of no digit, from (T, C) over all classes."""
    merged = np.empty((len(log_probabilities), 11), np.float32)
    merged[:, :10] = log_probabilities[:, :10]
    merged[:, BLANK] = np.logaddexp.reduce(log_probabilities[:, 10:], axis=1)
    return merged


def entropy(merged: Floats) -> float:
    """Return the entropy of a line's columns (T, 11) together, in nats: how much a reader leaves open."""
    return float(-(np.exp(merged) * merged).sum())


def resolve_slashes(log_probabilities: Floats, kind: str) -> Floats:
    """Take a lone slash for the 1 that it looks like; one that ends an amount has lost its dash, and stays a slash.

    The ink stays what it is: no digit is added where the reader saw no stroke.
    """
    lone = find_lone_slashes(log_probabilities, kind)
    if kind == "amount" and lone and _ends_number(lone[-1], log_probabilities):
        lone.pop()
    if not lone:
        return log_probabilities
    resolved, slash = log_probabilities.copy(), ALPHABET.index("/")
    for symbol in lone:
        columns = resolved[symbol.start : symbol.stop]
        columns[:, 1] = np.logaddexp(columns[:, 1], columns[:, slash])
        columns[:, slash] = np.log(NEGLIGIBLE) + columns[:, slash]
    return resolved


def find_lone_slashes(log_probabilities: Floats, kind: str) -> list[Symbol]:
    """Return the slashes that nothing explains.

    A date may hold slashes anywhere, any other field only one that a dash or a lone hundred follows (5,000/-,
    23 50/100): nobody said of a lone crop whether it is an amount.
    """
    if kind == "date" or ALPHABET.index("/") not in np.argmax(log_probabilities, axis=1):
        return []
    symbols = find_marks(log_probabilities, everything=True)
    after = ["".join(s.character for s in symbols[i + 1 :]) for i in range(len(symbols))]
    explained = [rest[:1] in tuple("-=#") or rest == "100" for rest in after]
    return [s for s, known in zip(symbols, explained, strict=True) if s.character == "/" and not known]


def _ends_number(symbol: Symbol, log_probabilities: Floats) -> bool:
    """Tell whether there are digits before a symbol and none after it."""
    starts = [s.start for s in find_marks(log_probabilities, everything=True) if s.character.isdigit()]
    return bool(starts) and max(starts) < symbol.start


def find_candidates(merged: Floats) -> list[Candidate]:
    """Return the likeliest strings of digits by prefix beam search, best first.

    Parameters
    ----------
    merged
        (T, 11) float32 log-probabilities from ``merge_marks``.

    Notes
    -----
    Hannun, Maas, Jurafsky, Ng, "First-pass large vocabulary continuous speech recognition using
    bi-directional recurrent DNNs", 2014, algorithm 1, without a language model.
    """
    beams = {"": (1.0, 0.0)}  # prefix -> ends in blank, ends in its last digit
    columns = np.exp(merged.astype(np.float64))
    empty = columns[:, BLANK] > 1 - NEGLIGIBLE / 5
    was_empty = False
    for column, is_empty in zip(columns.tolist(), empty.tolist(), strict=True):
        if not is_empty:
            beams = _extend(beams, column)
        elif not was_empty:  # a second empty column changes nothing
            beams = {text: (b + d, 0.0) for text, (b, d) in beams.items()}
        was_empty = is_empty
    total = sum(b + d for b, d in beams.values())
    ranked = sorted(((b + d) / total, prefix) for prefix, (b, d) in beams.items())[::-1]
    return [Candidate(prefix, p) for p, prefix in ranked]


def keep_fitting(candidates: list[Candidate], *, least: int, most: int | None) -> list[Candidate]:
    """Return the strings of as many digits as the field may hold.

    All of them where none that fits has a thousandth of the probability: grammar adds no digit that no ink supports.
    """
    fitting = [c for c in candidates if least <= len(c.digits) <= (most or len(c.digits))]
    return fitting if fitting and fitting[0].probability > 1e-3 else candidates


def prefer_days(candidates: list[Candidate], order: DateOrder | None) -> list[Candidate]:
    """Return a date's strings with the likeliest day first, where the best one is no day of the calendar.

    Only a day that the readers hold for possible comes first. Its share stays what it is, so that no date is surer for
    being one. ``order`` is None where nobody says it.
    """
    best = candidates[0]
    if may_be_day(best.digits, order):
        return candidates
    days = [c for c in candidates if len(c.digits) == len(best.digits) and may_be_day(c.digits, order)]
    if not days or days[0].probability < LEAST_DAY * best.probability:
        return candidates
    return [days[0], *(c for c in candidates if c is not days[0])]


def _extend(beams: dict[str, tuple[float, float]], column: list[float]) -> dict[str, tuple[float, float]]:
    likely = [(_DIGITS[d], p) for d, p in enumerate(column[:BLANK]) if p > NEGLIGIBLE]
    in_blank: dict[str, float] = {}
    in_digit: dict[str, float] = {}
    nothing = column[BLANK]
    for prefix, (blank, digit) in beams.items():
        both, last = blank + digit, prefix[-1:]
        in_blank[prefix] = both * nothing
        if last:
            in_digit[prefix] = in_digit.get(prefix, 0.0) + digit * column[int(last)]
        for d, p in likely:
            longer = prefix + d
            in_digit[longer] = in_digit.get(longer, 0.0) + (blank if d == last else both) * p
    grown = [(in_blank.get(prefix, 0.0) + share, prefix) for prefix, share in in_digit.items()]
    if "" in in_blank:
        grown.append((in_blank[""], ""))
    ranked = sorted(grown, reverse=True)[:BEAM]
    scale = sum(weight for weight, _ in ranked)
    return {prefix: (in_blank.get(prefix, 0.0) / scale, in_digit.get(prefix, 0.0) / scale) for _, prefix in ranked}


def align(digits: str, merged: Floats) -> list[Symbol]:
    """Return the columns of each digit of a string on its likeliest path (Viterbi).

    States are blank, digit, blank, digit, ..., blank; a blank between unlike digits may be skipped.
    """
    if not digits:
        return []
    greedily = read_greedily(merged)
    if "".join(symbol.character for symbol in greedily) == digits:  # the likeliest path of all is the string's, too
        return greedily
    labels = np.full(2 * len(digits) + 1, BLANK)
    labels[1::2] = [int(d) for d in digits]
    skippable = np.zeros(len(labels), bool)
    skippable[3::2] = labels[3::2] != labels[1:-2:2]
    states = _viterbi(merged[:, labels], skippable)
    symbols = []
    for i, character in enumerate(digits):
        columns = np.flatnonzero(states == 2 * i + 1)
        peak = columns[np.argmax(merged[columns, int(character)])]
        symbols.append(Symbol(character, int(columns[0]), int(columns[-1]) + 1, int(peak)))
    return symbols


def read_greedily(merged: Floats) -> list[Symbol]:
    """Return the digits of the likeliest path: the likeliest class of every column, (T, 11), repeats collapsed."""
    return [
        Symbol(_DIGITS[kind], start, stop, _peak(merged, kind, start, stop))
        for kind, start, stop in _runs(merged)
        if kind < BLANK
    ]


def spell_greedily(merged: Floats) -> str:
    """Return the string of ``read_greedily``."""
    return "".join(_DIGITS[kind] for kind, _, _ in _runs(merged) if kind < BLANK)


def _runs(log_probabilities: Floats) -> list[tuple[int, int, int]]:
    """Return (class, start, stop) of the runs of columns in which one class is likeliest."""
    best = log_probabilities.argmax(axis=1)
    edges = [0, *((best[1:] != best[:-1]).nonzero()[0] + 1).tolist(), len(best)]
    return list(zip(best[edges[:-1]].tolist(), edges[:-1], edges[1:], strict=True))


def _peak(log_probabilities: Floats, kind: int, start: int, stop: int) -> int:
    """Return the first of the columns in which a class is likeliest."""
    return start if stop == start + 1 else start + int(log_probabilities[start:stop, kind].argmax())


def _viterbi(emission: Floats, skippable: NDArray[np.bool_]) -> NDArray[np.int64]:
    steps, count = emission.shape
    never = np.float32(-1e30)
    score = np.full(count, never)
    score[:2] = emission[0, :2]
    back = np.zeros((steps, count), np.int8)
    for t in range(1, steps):
        one, two = np.full(count, never), np.full(count, never)
        one[1:] = score[:-1]
        two[2:] = np.where(skippable[2:], score[:-2], never)
        options = np.stack([score, one, two])
        back[t] = np.argmax(options, axis=0)
        score = np.max(options, axis=0) + emission[t]
    state = count - 1 if score[-1] >= score[-2] else count - 2
    states = np.empty(steps, np.int64)
    for t in range(steps - 1, -1, -1):
        states[t] = state
        state -= back[t, state]
    return states


def find_marks(log_probabilities: Floats, *, everything: bool = False) -> list[Symbol]:
    """Return the marks that the reader sees, each on the run of columns where it is the likeliest class.

    With ``everything``, the digits too.
    """
    first = 0 if everything else 10
    return [
        Symbol(ALPHABET[kind], start, stop, _peak(log_probabilities, kind, start, stop))
        for kind, start, stop in _runs(log_probabilities)
        if first <= kind < len(ALPHABET)
    ]


def merge_symbols(digits: list[Symbol], marks: list[Symbol]) -> list[Symbol]:
    """Return digits and marks from left to right; a mark on a digit's own columns is dropped."""
    taken = {column for s in digits for column in range(s.start, s.stop)}
    free = [s for s in marks if s.peak not in taken]
    return sorted(digits + free, key=lambda s: s.peak)
