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

from worker.calibration import FARTHEST, FieldCalibration, Promise, ReadersCalibration
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.cell_rows import CellRowReading, RowEvidence, describe_row, gather_row_evidence, look_at_rows
from worker.fields.judging.evidence import FieldEvidence, gather_evidence
from worker.fields.line_reader.reading import describe_reading
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.training.fields.truth import LabelledField
from worker.training.promise import choose_threshold
from worker.values import FieldCrop, FieldStatus, RawReading, Recognizers

BATCH = 32
SPEAKS_FOR = {
    **dict.fromkeys(("text", "network", "other_network", "general", "weakest_alone"), 1),
    **dict.fromkeys(("cells_weakest", "full_row", "text_surplus", "general_surplus"), 1),
    **dict.fromkeys(("length", "lone_digit"), 0),
}
"""Evidence of which more is better; of the length it is not known; more of any other is worse."""
_SURE = FieldCalibration(("length",), (0.0,), (1.0,), (0.0,), bias=10.0, promise=Promise(1.0, 0.0))
"""Finds every reading sure: what is doubted all the same, it is doubted whatever its confidence."""
PROMISED_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The evidence (n, k) of labelled fields, whether each was read right, and whose set it is of.

    ``acceptable`` (n,) tells which fields a person sees only if their confidence is too low: of these alone a
    threshold promises something.
    """

    rows: NDArray[np.float64]
    correct: NDArray[np.bool_]
    acceptable: NDArray[np.bool_]
    sources: tuple[str, ...]
    names: tuple[str, ...]


Collector = Callable[[Sequence[LabelledField], Recognizers], Evidence]


def kind_of(text: str) -> Literal["number", "amount", "date"]:
    """Return the kind of field in which a text would stand."""
    if text.isdigit():
        return "number"
    return "date" if re.fullmatch(r"\d\d?([-/.])\d\d?\1(\d\d|\d{4})|\d{4}([-/.])\d\d?\3\d\d?", text) else "amount"


def collect_evidence(fields: Sequence[LabelledField], recognizers: Recognizers) -> Evidence:
    """Read free fields and gather their evidence; fields read as blank are left out."""
    return _collect(fields, lambda crops: transcribe(crops, recognizers), _of_free, FieldEvidence)


def collect_row_evidence(fields: Sequence[LabelledField], recognizers: Recognizers) -> Evidence:
    """Read rows of cells and gather their evidence; rows read as blank are left out."""
    return _collect(fields, lambda crops: look_at_rows(crops, recognizers), _of_rows, RowEvidence)


def _of_free(seen: Transcript) -> tuple[FieldEvidence, RawReading]:
    return gather_evidence(seen), describe_reading(seen, _SURE)


def _of_rows(seen: CellRowReading) -> tuple[FieldEvidence, RawReading]:
    return gather_row_evidence(seen), describe_row(seen, _SURE)


def _collect(
    fields: Sequence[LabelledField],
    look: Callable[[list[FieldCrop]], Sequence[Any]],
    judge: Callable[[Any], tuple[FieldEvidence, RawReading]],
    kind: type[FieldEvidence],
) -> Evidence:
    rows, correct, acceptable, sources = [], [], [], []
    for start in range(0, len(fields), BATCH):
        part = fields[start : start + BATCH]
        for labelled, seen in zip(part, look([f.crop for f in part]), strict=True):
            if seen.digits:
                evidence, read = judge(seen)
                rows.append(dataclasses.astuple(evidence))
                correct.append(seen.text == labelled.truth)
                decided = decide_field(labelled.crop.spec, read, AcceptPolicy(accept_threshold=0.0))
                acceptable.append(decided.status is FieldStatus.ACCEPTED)
                sources.append(labelled.source)
    names = tuple(f.name for f in dataclasses.fields(kind))
    return Evidence(np.array(rows), np.array(correct), np.array(acceptable), tuple(sources), names)


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
    centres, scales, weighed = (tuple(map(float, each)) for each in (centre, scale, weights))
    return FieldCalibration(evidence.names, centres, scales, weighed, bias, fields=len(evidence.correct))


def choose_promises(
    calibration: FieldCalibration, evidence: Evidence, *, rates: Sequence[float] = PROMISED_RATES
) -> FieldCalibration:
    """Return the calibration with a threshold for each substitution rate.

    The thresholds are chosen on fields that did not fit the calibration. Where these cannot show a rate, the promise
    says so; where not even they themselves keep it, only fields are accepted that are as sure as the rate asks for.
    """
    confidences = confidences_of(calibration, evidence)[evidence.acceptable]
    correct = evidence.correct[evidence.acceptable]
    promises: list[Promise] = []
    strictest = 0.0
    for rate in sorted(rates, reverse=True):
        promise = choose_threshold(confidences, correct, max_substitution_rate=rate)
        if promise.accept_threshold is None:
            promise = replace(promise, accept_threshold=max(1 - rate, strictest))
        elif not promise.is_shown:
            promise = replace(promise, accept_threshold=max(promise.accept_threshold, strictest))
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
        known.pooling,
    ).promising(max_substitution_rate)
