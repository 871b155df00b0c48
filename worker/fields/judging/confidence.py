"""What a field's reading is worth: evidence, one calibrated probability, doubts in words, and the promise.

Evidence is a short vector of what speaks for and against a reading; a logistic model, fitted on labelled
fields that never trained a reader, turns it into the probability that the whole field is right. The accept
threshold is chosen from such fields so that the promised substitution rate holds with a stated certainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.doubts import Doubt, DoubtKind
from worker.fields.judging.unread_ink import tallest_unread_stroke
from worker.fields.line_reader.transcription import Transcript
from worker.values import NOT_A_DIGIT

Floats = NDArray[np.float64]

EVIDENCE = (
    "best_string",
    "runner_up",
    "weakest_digit",
    "weakest_alone",
    "weakest_in_line",
    "strangest_digit",
    "readers_differ",
    "networks_differ",
    "least_agreed",
    "uncertainty",
    "other_marks",
    "length",
    "touching",
    "odd_size",
    "unread_ink",
    "unread_stroke",
    "left_out",
    "lone_slashes",
    "grammar",
)
"""The evidence of one field, in the order of ``gather_evidence``; log-odds are natural."""
CELL_EVIDENCE = (*EVIDENCE, "cells_agree", "cells_as_many", "cells_weakest", "as_the_line", "weakest_settled")
"""The evidence of a row of cells: that of its line, what its cells, read alone, say of it, and what was settled on."""

FLOOR = 1e-4
MANY_TRIES = 5
"""Starting points over which the certainty of ``choose_threshold`` is shared out."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldCalibration:
    """A fitted logistic model of the evidence, and the threshold that keeps a promise.

    ``accept_threshold`` is None where nothing may be accepted; ``promise`` says what is promised.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    bias: float
    accept_threshold: float | None
    promise: str = ""
    names: tuple[str, ...] = EVIDENCE

    @classmethod
    def from_mapping(cls, kept: Mapping[str, Any], names: tuple[str, ...] = EVIDENCE) -> FieldCalibration:
        """Read a calibration kept as JSON; the evidence is matched by name."""
        by_name = kept["evidence"]
        rows = np.array([by_name[name] for name in names], np.float64)
        threshold = kept["accept_threshold"]
        return cls(
            centre=rows[:, 0],
            scale=rows[:, 1],
            weights=rows[:, 2],
            bias=float(kept["bias"]),
            accept_threshold=None if threshold is None else float(threshold),
            promise=str(kept.get("promise", "")),
            names=names,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return what ``from_mapping`` reads: for each piece of evidence its centre, scale and weight."""
        rows = np.stack([self.centre, self.scale, self.weights], axis=1)
        evidence = {name: [round(float(v), 6) for v in row] for name, row in zip(self.names, rows, strict=True)}
        return {
            "evidence": evidence,
            "bias": round(self.bias, 6),
            "accept_threshold": self.accept_threshold,
            "promise": self.promise,
        }

    def confidence(self, evidence: Floats) -> float:
        """Return the probability that a field with this evidence is right as a whole."""
        standard = np.clip((evidence - self.centre) / self.scale, -6, 6)
        return float(1 / (1 + math.exp(-float(standard @ self.weights) - self.bias)))

    def is_enough(self, confidence: float) -> bool:
        """Tell whether a field of this confidence may be accepted."""
        return self.accept_threshold is not None and confidence >= self.accept_threshold


UNCALIBRATED = FieldCalibration(
    centre=np.zeros(len(EVIDENCE)),
    scale=np.ones(len(EVIDENCE)),
    weights=np.array([0.5, 0, 0.5, 0.2, 0, 0, -1.0, -1.0, 0.2, 0, -0.5, 0, 0, 0, 0, -0.5, -0.5, -0.5, -1.0]),
    bias=-1.5,
    accept_threshold=None,
    promise="not calibrated: nothing is accepted",
)
"""Stands in where a model comes without calibration: it orders fields, and accepts none."""
UNCALIBRATED_CELLS = replace(
    UNCALIBRATED,
    centre=np.zeros(len(CELL_EVIDENCE)),
    scale=np.ones(len(CELL_EVIDENCE)),
    weights=np.append(UNCALIBRATED.weights, [2.0, 0.5, 0.2, 1.0, 0.2]),
    names=CELL_EVIDENCE,
)


def gather_evidence(seen: Transcript) -> Floats:
    """Return the evidence of one field, (len(EVIDENCE),) float64."""
    count = len(seen.digits)
    if not count:
        return np.zeros(len(EVIDENCE))
    best = seen.candidates[0].probability
    second = seen.candidates[1].probability if len(seen.candidates) > 1 else 0.0
    chosen = [d.digit for d in seen.digits]
    alone = seen.alone[np.arange(count), chosen]
    in_line = seen.sequence[np.arange(count), chosen]
    differ = float((seen.alone[:, :NOT_A_DIGIT].argmax(axis=1) != seen.sequence.argmax(axis=1)).sum())
    strings = [c.digits for c in seen.candidates[:1]]
    others = sum(reading != strings[0] for reading in seen.readings)
    least, most = seen.crop.spec.digit_range
    return np.array(
        [
            log_odds(best),
            log_odds(second),
            log_odds(min(d.confidence for d in seen.digits)),
            log_odds(float(alone.min())),
            math.log(max(float(in_line.min()), FLOOR)),
            log_odds(float(seen.alone[:, NOT_A_DIGIT].max())),
            min(differ, 3.0),
            float(others),
            log_odds(seen.least_agreed),
            seen.uncertainty,
            float("#" in seen.written),
            math.log(count),
            math.log1p(sum(cut.touching for cut in seen.cuts)),
            _odd_size(seen),
            _unread_ink(seen),
            min(tallest_unread_stroke(seen), 1.5),
            float(min(seen.line.left_out, 3)),
            float(min(seen.lone_slashes, 2)),
            float(count < least or (most is not None and count > most)),
        ]
    )


def judge(seen: Transcript, calibration: FieldCalibration) -> float:
    """Return the calibrated probability that a field's text is right; of a blank one, that it is empty."""
    if not seen.digits:
        return blank_confidence(seen)
    return calibration.confidence(gather_evidence(seen))


def blank_confidence(seen: Transcript) -> float:
    """Return how sure it is that a field without digits is empty: what the sequence reader makes of its marks."""
    return 0.999 if not seen.line.ink else float(seen.candidates[0].probability)


def list_doubts(seen: Transcript) -> tuple[Doubt, ...]:
    """Return, for a reviewer, what speaks against a reading."""
    if not seen.digits:
        return ()
    doubts = _runner_up(seen) + _differences(seen)
    joined = [i for i, cut in enumerate(seen.cuts) if cut.touching > 2]
    if joined:
        doubts.append(Doubt(DoubtKind.TOUCHING_DIGITS))
    strange = [i for i in range(len(seen.digits)) if seen.alone[i, NOT_A_DIGIT] > 0.5]
    doubts += [Doubt(DoubtKind.MAY_BE_NO_DIGIT, position=i + 1) for i in strange]
    if "#" in seen.written:
        doubts.append(Doubt(DoubtKind.UNREAD_MARK))
    return tuple(doubts)


def _runner_up(seen: Transcript) -> list[Doubt]:
    if len(seen.candidates) < 2 or seen.candidates[1].probability < 0.02:
        return []
    first, second = seen.candidates[:2]
    gap = max(0.0, first.probability - second.probability)
    return [Doubt(DoubtKind.CLOSE_READINGS, found=gap, readings=(first.digits, second.digits))]


def _differences(seen: Transcript) -> list[Doubt]:
    doubts = []
    for i, (whole, alone) in enumerate(zip(seen.sequence, seen.alone, strict=True)):
        a, b = int(whole.argmax()), int(alone[:NOT_A_DIGIT].argmax())
        if a != b:
            doubts.append(Doubt(DoubtKind.READERS_DIFFER, position=i + 1, readings=(str(a), str(b))))
    return doubts


def log_odds(probability: float) -> float:
    """Return the natural log-odds of a probability kept ``FLOOR`` away from 0 and 1."""
    p = min(max(probability, FLOOR), 1 - FLOOR)
    return math.log(p / (1 - p))


def _odd_size(seen: Transcript) -> float:
    """Return how far the least digit's height lies below the median: a mark read as a digit is small."""
    heights = np.array([cut.box.h for cut in seen.cuts])
    return float(math.log(max(np.median(heights), 1) / max(heights.min(), 1)))


def _unread_ink(seen: Transcript) -> float:
    """Return the share of a line's ink that lies in no digit's box, marks included."""
    image = seen.line.image
    total = float((image > 127).sum())
    read = sum(float((cut.ink > 127).sum()) for cut in seen.cuts)
    return max(0.0, 1 - read / total) if total else 0.0


def choose_threshold(
    confidences: Sequence[float] | Floats,
    correct: Sequence[bool] | NDArray[np.bool_],
    *,
    max_substitution_rate: float,
    delta: float = 0.05,
) -> tuple[float | None, str]:
    """Choose the confidence from which fields may be accepted; return it with the promise in words.

    With certainty ``1 - delta`` over the draw of the labelled fields, the substitution rate among accepted
    fields of the same kind is at most ``max_substitution_rate``: learn-then-test (Angelopoulos, Bates,
    Candès, Jordan, Lei 2021, arXiv:2110.01052) with fixed-sequence testing from several starting points and
    exact
    binomial p-values. Candidate thresholds are the labelled fields' own confidences in falling order, which
    their labels do not influence; a starting point is a number of accepted fields.

    The confidence is None, and nothing may be accepted, with too few labelled fields, or too many errors among them.
    """
    order = np.argsort(-np.asarray(confidences, np.float64), kind="stable")
    scores = np.asarray(confidences, np.float64)[order]
    errors = np.cumsum(~np.asarray(correct, bool)[order])
    level = delta / MANY_TRIES
    fewest = math.ceil(math.log(level) / math.log1p(-max_substitution_rate))
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, int)
    best = -1
    for start in np.geomspace(fewest, max(fewest, len(scores)), MANY_TRIES):
        best = max(best, _test_downwards(errors, ends[ends + 1 >= int(start)], level, max_substitution_rate))
    if best < 0:
        return None, (
            f"no promise: {len(scores)} labelled fields cannot show a substitution rate of "
            f"{max_substitution_rate:.2%} or less with {1 - delta:.0%} certainty (at least {fewest} needed)"
        )
    return float(scores[best]), (
        f"at most {max_substitution_rate:.2%} of accepted fields are wrong, with {1 - delta:.0%} certainty, "
        f"on fields like the {len(scores)} labelled ones ({errors[best]} wrong of {best + 1} accepted)"
    )


def choose_promise(kept: Mapping[str, Any], max_substitution_rate: float) -> dict[str, Any]:
    """Return a kept calibration with the threshold of the promise that is wanted.

    ``kept["promises"]`` lists rates with their thresholds; the largest rate within the wanted one counts.
    Where none is strict enough, nothing is accepted.
    """
    if "cells" in kept:
        kept = {**kept, "cells": choose_promise(kept["cells"], max_substitution_rate)}
    within = [p for p in kept.get("promises", ()) if p["rate"] <= max_substitution_rate + 1e-12]
    if not within:
        words = f"no promise: nothing is known of a substitution rate of {max_substitution_rate:.2%}"
        return {**kept, "accept_threshold": None, "promise": words}
    best = max(within, key=lambda p: float(p["rate"]))
    return {**kept, "accept_threshold": best["accept_threshold"], "promise": best["promise"]}


def _test_downwards(errors: NDArray[np.intp], ends: NDArray[np.intp], level: float, rate: float) -> int:
    """Return the last of ``ends`` that refutes too high a rate before the first that does not, or -1."""
    passed = -1
    for end in ends:
        if binomial_tail(int(errors[end]), int(end) + 1, rate) > level:
            break
        passed = int(end)
    return passed


def binomial_tail(errors: int, count: int, rate: float) -> float:
    """Return P(at most ``errors`` of ``count``) at a true rate: the exact p-value of "the rate is higher"."""
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    total = -math.inf
    for k in range(errors + 1):
        choose = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        total = float(np.logaddexp(total, choose + k * log_rate + (count - k) * log_rest))
    return min(1.0, math.exp(total))
