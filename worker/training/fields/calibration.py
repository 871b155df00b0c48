"""Fit what a field's evidence is worth, and choose the threshold that keeps the promise."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from schemas.form_template import FieldSpec
from worker.fields.cell_rows import gather_row_evidence, look_at_rows
from worker.fields.judging.confidence import (
    CELL_EVIDENCE,
    EVIDENCE,
    UNCALIBRATED_CELLS,
    FieldCalibration,
    choose_promise,
    choose_threshold,
    gather_evidence,
)
from worker.fields.line_reader.transcription import transcribe
from worker.synthesis.fields import draw_field
from worker.synthesis.glyphs import GlyphSource
from worker.training.fields.truth import LabelledField
from worker.values import Box, FieldCrop, Recognizers

BATCH = 32
SPEAKS_FOR = {
    **dict.fromkeys(("best_string", "weakest_digit", "weakest_alone", "weakest_in_line", "least_agreed"), 1),
    **dict.fromkeys(("cells_agree", "cells_as_many", "cells_weakest", "as_the_line", "weakest_settled"), 1),
    "length": 0,
}
"""Evidence of which more is better; of the length it is not known; more of any other is worse."""
PROMISED_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The evidence (n, k) of labelled fields, whether each was read right, and whose set it is of."""

    rows: NDArray[np.float64]
    correct: NDArray[np.bool_]
    sources: tuple[str, ...]
    names: tuple[str, ...] = EVIDENCE


Collector = Callable[[Sequence[LabelledField], Recognizers], Evidence]


def draw_labelled(count: int, seed: int, glyphs: GlyphSource | None = None) -> list[LabelledField]:
    """Draw fields that never trained: another seed. Those without digits, and spoilt ones, are left out."""
    rng = np.random.default_rng([seed, 77])
    found: list[LabelledField] = []
    while len(found) < count:
        sample = draw_field(rng, glyphs=glyphs)
        truth = "".join(c for c in sample.text if c.isdigit())
        if not truth or "#" in sample.text:
            continue
        height, width = sample.grey.shape
        spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20), kind=_kind_of(sample.text))
        crop = FieldCrop(spec, sample.grey, Box(0, 0, width, height), np.eye(3))
        found.append(LabelledField("drawn", crop, truth, True))
    return found


def draw_labelled_cells(count: int, seed: int, glyphs: GlyphSource | None = None) -> list[LabelledField]:
    """Draw rows of 3 to 10 cells, each with a digit, that never trained: another seed."""
    rng = np.random.default_rng([seed, 79])
    found: list[LabelledField] = []
    while len(found) < count:
        cells = int(rng.integers(3, 11))
        truth = "".join(map(str, rng.integers(0, 10, cells)))
        sample = draw_field(rng, truth, glyphs=glyphs, in_cells=True)
        height, width = sample.grey.shape
        spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20), layout="cells", cells=cells)
        crop = FieldCrop(spec, sample.grey, Box(0, 0, width, height), np.eye(3))
        found.append(LabelledField("drawn cells", crop, truth, True))
    return found


def _kind_of(text: str) -> Literal["number", "amount", "date"]:
    """Return the kind of field in which a text would stand."""
    if text.isdigit():
        return "number"
    parts = re.split(r"[-/.]", text)
    is_date = len(parts) == 3 and all(part.isdigit() and len(part) <= 4 for part in parts) and "100" not in parts[2:]
    return "date" if is_date else "amount"


def collect_evidence(fields: Sequence[LabelledField], recognizers: Recognizers) -> Evidence:
    """Read free fields and gather their evidence; fields read as blank are left out."""
    return _collect(fields, lambda crops: transcribe(crops, recognizers), gather_evidence, EVIDENCE)


def collect_row_evidence(fields: Sequence[LabelledField], recognizers: Recognizers) -> Evidence:
    """Read rows of cells and gather their evidence; rows read as blank are left out."""
    return _collect(fields, lambda crops: look_at_rows(crops, recognizers), gather_row_evidence, CELL_EVIDENCE)


def _collect(
    fields: Sequence[LabelledField],
    look: Callable[[list[FieldCrop]], Sequence[Any]],
    gather: Callable[[Any], NDArray[np.float64]],
    names: tuple[str, ...],
) -> Evidence:
    rows, correct, sources = [], [], []
    for start in range(0, len(fields), BATCH):
        part = fields[start : start + BATCH]
        for labelled, seen in zip(part, look([f.crop for f in part]), strict=True):
            if seen.digits:
                rows.append(gather(seen))
                correct.append(seen.text == labelled.truth)
                sources.append(labelled.source)
    return Evidence(np.array(rows), np.array(correct), tuple(sources), names)


def fit_calibration(evidence: Evidence) -> FieldCalibration:
    """Fit the logistic model; every source weighs as the square root of its number of fields.

    Evidence that would speak the wrong way, as correlated evidence can, is left out and the rest fitted again:
    what is worse in every respect must not come out surer.
    """
    centre = evidence.rows.mean(axis=0)
    scale = np.maximum(evidence.rows.std(axis=0), 1e-3)
    standard = np.clip((evidence.rows - centre) / scale, -6, 6)
    names, counts = np.unique(evidence.sources, return_counts=True)
    share = dict(zip(names, 1 / np.sqrt(counts), strict=True))
    shares = np.array([share[s] for s in evidence.sources])
    signs = np.array([SPEAKS_FOR.get(name, -1) for name in evidence.names])
    used = np.ones(len(evidence.names), bool)
    model = LogisticRegression(C=1.0, max_iter=2000)
    while True:
        model.fit(standard * used, evidence.correct, sample_weight=shares * len(shares) / shares.sum())
        wrong = used & (model.coef_[0] * signs < 0)
        if not wrong.any():
            break
        used &= ~wrong
    weights, bias = model.coef_[0] * used, float(model.intercept_[0])
    return FieldCalibration(centre, scale, weights, bias, None, names=evidence.names)


def keep_promises(
    calibration: FieldCalibration, evidence: Evidence, *, rates: Sequence[float] = PROMISED_RATES
) -> dict[str, Any]:
    """Return the calibration as it is kept, with the threshold for each substitution rate.

    The thresholds are chosen on fields that did not fit the calibration. Where these cannot show a rate, only
    fields are accepted that are each as sure as the rate asks for, and the words say that this is no promise.
    """
    confidences = np.array([calibration.confidence(row) for row in evidence.rows])
    promises: list[dict[str, Any]] = []
    strictest = 0.0
    for rate in sorted(rates, reverse=True):
        threshold, words = choose_threshold(confidences, evidence.correct, max_substitution_rate=rate)
        if threshold is None:
            threshold = max(1 - rate, strictest)
            words += f"; until they do, fields of confidence {threshold:.3f} and more are accepted"
        strictest = max(strictest, threshold)
        promises.append({"rate": rate, "accept_threshold": threshold, "promise": words})
    return {**calibration.to_mapping(), "promises": promises}


def calibrate_own(
    fields: Sequence[LabelledField], recognizers: Recognizers, *, max_substitution_rate: float, refit: bool
) -> dict[str, Any]:
    """Choose the thresholds from a user's labelled fields; return the calibration that the worker loads.

    With ``refit``, even rows fit what the evidence is worth and odd rows choose the threshold; without, all rows
    choose it. Free fields and rows of cells have each their own; where there are none of a kind, it stays as it was.
    """
    kept = dict(recognizers.field_calibration)
    rates = sorted({*PROMISED_RATES, max_substitution_rate})

    def choose(part: Sequence[LabelledField], collect: Collector, known: FieldCalibration) -> dict[str, Any]:
        if refit:
            known = fit_calibration(collect([f for f in part if f.development], recognizers))
            part = [f for f in part if not f.development]
        return keep_promises(known, collect(part, recognizers), rates=rates)

    written = [f for f in fields if f.truth]
    free = [f for f in written if f.crop.spec.layout == "free"]
    rows = [f for f in written if f.crop.spec.layout == "cells"]
    if free:
        chosen = choose(free, collect_evidence, FieldCalibration.from_mapping(kept))
        kept = chosen | ({"cells": kept["cells"]} if "cells" in kept else {})
    if rows:
        known = FieldCalibration.from_mapping(kept["cells"], CELL_EVIDENCE) if "cells" in kept else UNCALIBRATED_CELLS
        kept["cells"] = choose(rows, collect_row_evidence, known)
    return choose_promise(kept, max_substitution_rate) | {"models": recognizers.versions}
