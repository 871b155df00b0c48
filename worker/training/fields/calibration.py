"""Fit what a field's evidence is worth, and choose the threshold that keeps the promise."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from schemas.form_template import FieldSpec
from worker.calibration import FARTHEST, FieldCalibration, Promise, ReadersCalibration
from worker.fields.cell_rows import RowEvidence, gather_row_evidence, look_at_rows
from worker.fields.judging.evidence import FieldEvidence, gather_evidence
from worker.fields.judging.promise import choose_threshold
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
    names: tuple[str, ...]


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
        spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20), kind=kind_of(sample.text))
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


def kind_of(text: str) -> Literal["number", "amount", "date"]:
    """Return the kind of field in which a text would stand."""
    if text.isdigit():
        return "number"
    parts = re.split(r"[-/.]", text)
    is_date = len(parts) == 3 and all(part.isdigit() and len(part) <= 4 for part in parts) and "100" not in parts[2:]
    return "date" if is_date else "amount"


def collect_evidence(fields: Sequence[LabelledField], recognizers: Recognizers) -> Evidence:
    """Read free fields and gather their evidence; fields read as blank are left out."""
    return _collect(fields, lambda crops: transcribe(crops, recognizers), gather_evidence, FieldEvidence)


def collect_row_evidence(fields: Sequence[LabelledField], recognizers: Recognizers) -> Evidence:
    """Read rows of cells and gather their evidence; rows read as blank are left out."""
    return _collect(fields, lambda crops: look_at_rows(crops, recognizers), gather_row_evidence, RowEvidence)


def _collect(
    fields: Sequence[LabelledField],
    look: Callable[[list[FieldCrop]], Sequence[Any]],
    gather: Callable[[Any], FieldEvidence],
    kind: type[FieldEvidence],
) -> Evidence:
    rows, correct, sources = [], [], []
    for start in range(0, len(fields), BATCH):
        part = fields[start : start + BATCH]
        for labelled, seen in zip(part, look([f.crop for f in part]), strict=True):
            if seen.digits:
                rows.append(dataclasses.astuple(gather(seen)))
                correct.append(seen.text == labelled.truth)
                sources.append(labelled.source)
    return Evidence(np.array(rows), np.array(correct), tuple(sources), tuple(f.name for f in dataclasses.fields(kind)))


def fit_calibration(evidence: Evidence) -> FieldCalibration:
    """Fit the logistic model; every source weighs as the square root of its number of fields.

    Evidence that would speak the wrong way, as correlated evidence can, is left out and the rest fitted again:
    what is worse in every respect must not come out surer.
    """
    centre = evidence.rows.mean(axis=0)
    scale = np.maximum(evidence.rows.std(axis=0), 1e-3)
    standard = np.clip((evidence.rows - centre) / scale, -FARTHEST, FARTHEST)
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
    return FieldCalibration(evidence.names, centre, scale, weights, bias, fields=len(evidence.correct))


def choose_promises(
    calibration: FieldCalibration, evidence: Evidence, *, rates: Sequence[float] = PROMISED_RATES
) -> FieldCalibration:
    """Return the calibration with a threshold for each substitution rate.

    The thresholds are chosen on fields that did not fit the calibration. Where these cannot show a rate, only
    fields are accepted that are each as sure as the rate asks for, and the promise says that it is not shown.
    """
    confidences = confidences_of(calibration, evidence)
    promises: list[Promise] = []
    strictest = 0.0
    for rate in sorted(rates, reverse=True):
        promise = choose_threshold(confidences, evidence.correct, max_substitution_rate=rate)
        if promise.accept_threshold is None:
            promise = replace(promise, accept_threshold=max(1 - rate, strictest))
        strictest = max(strictest, promise.accept_threshold or 0.0)
        promises.append(promise)
    return replace(calibration, promises=tuple(promises))


def confidences_of(calibration: FieldCalibration, evidence: Evidence) -> NDArray[np.float64]:
    """Return the confidence of each of many fields, (n,) float64."""
    standard = np.clip((evidence.rows - calibration.centre) / calibration.scale, -FARTHEST, FARTHEST)
    return np.asarray(1 / (1 + np.exp(-standard @ calibration.weights - calibration.bias)), np.float64)


def calibrate_own(
    fields: Sequence[LabelledField], recognizers: Recognizers, *, max_substitution_rate: float, refit: bool
) -> ReadersCalibration:
    """Choose the thresholds from a user's labelled fields; return the calibration that the worker loads.

    With ``refit``, even rows fit what the evidence is worth and odd rows choose the threshold; without, all rows
    choose it. Free fields and rows of cells have each their own; where there are none of a kind, it stays as it was.
    """
    rates = sorted({*PROMISED_RATES, max_substitution_rate})

    def choose(part: Sequence[LabelledField], collect: Collector, known: FieldCalibration) -> FieldCalibration:
        if refit:
            known = fit_calibration(collect([f for f in part if f.development], recognizers))
            part = [f for f in part if not f.development]
        return choose_promises(known, collect(part, recognizers), rates=rates)

    written = [f for f in fields if f.truth]
    free = [f for f in written if f.crop.spec.layout == "free"]
    rows = [f for f in written if f.crop.spec.layout == "cells"]
    known = recognizers.calibration
    return ReadersCalibration(
        choose(free, collect_evidence, known.free) if free else known.free,
        choose(rows, collect_row_evidence, known.cells) if rows else known.cells,
    ).promising(max_substitution_rate)
