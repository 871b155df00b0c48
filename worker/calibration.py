"""What a reader's evidence is worth, and which confidence keeps which promise: parsed once, at the edge.

A calibration is fitted by ``worker.training.fields.calibration``, kept as JSON in the model's card or in a file of
``icr calibrate``, and read back by ``parse_calibration``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

CERTAINTY = 0.95
"""With which a promise is shown: the chance that the labelled fields were not lucky ones."""
STRANGER_DOUBT = 1 / 3
"""Of a source of which no promise is shown, a field may be left with this share of the doubt that others are accepted
with. It is a margin, and promises nothing: only the source's own labelled fields do."""
FARTHEST = 6.0
"""Standard deviations beyond which more of a piece of evidence says no more."""


@dataclass(frozen=True, slots=True)
class Promise:
    """At most ``rate`` of the accepted fields are wrong, where ``accept_threshold`` is the least confidence accepted.

    ``is_shown`` tells whether labelled fields show that with ``CERTAINTY``: of ``labelled`` ones it accepts
    ``accepted``, of which ``wrong`` are wrong. Without a threshold nothing is accepted.
    """

    rate: float
    accept_threshold: float | None
    is_shown: bool = False
    labelled: int = 0
    accepted: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FieldCalibration:
    """A logistic model of a reader's evidence, and what it promises at which threshold.

    ``names`` are the pieces of evidence; each weighs ``weights`` (k,) for every ``scale`` (k,) beyond ``centre`` (k,).
    ``promise`` is the one that is held to; ``fields`` counts those that the model was fitted on.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    promises: tuple[Promise, ...] = ()
    promise: Promise = Promise(0.0, None)
    fields: int = 0

    @property
    def accept_threshold(self) -> float | None:
        """The least confidence that is accepted; None where nothing may be."""
        return self.promise.accept_threshold

    def confidence(self, evidence: object) -> float:
        """Return the probability that a field is right whose evidence has these attributes."""
        logit = self.bias
        for name, centre, scale, weight in zip(self.names, self.centre, self.scale, self.weights, strict=True):
            standard = (float(getattr(evidence, name)) - centre) / scale
            logit += weight * min(FARTHEST, max(-FARTHEST, standard))
        return 1 / (1 + math.exp(-logit))

    @property
    def stranger_threshold(self) -> float | None:
        """The least confidence that is accepted of a source of which no promise is shown; None where nothing may be."""
        own = self.promise.accept_threshold
        return None if own is None else 1 - (1 - own) * STRANGER_DOUBT

    def is_enough(self, confidence: float) -> bool:
        """Tell whether a field of this confidence may be accepted."""
        return self.accept_threshold is not None and confidence >= self.accept_threshold

    def promising(self, max_substitution_rate: float) -> FieldCalibration:
        """Return the calibration held to the laxest of its promises that is strict enough; else nothing is accepted."""
        within = [p for p in self.promises if p.rate <= max_substitution_rate + 1e-12]
        chosen = max(within, key=lambda p: p.rate, default=Promise(max_substitution_rate, None))
        return replace(self, promise=chosen)


@dataclass(frozen=True, slots=True)
class Pooling:
    """What each reader's log-probability of a string weighs beside the others': a weighted geometric mean.

    The networks of the line reader share what ``general``, the general reader, leaves of 1. ``digits`` weighs the digit
    model on the digits as they are cut out of the line, ``cells`` the same model on the digits cut at a row's dividers.
    ``full_row`` is added to a string that has a digit for every cell of its row. docs/lab-notebook/confidence.md has
    the measurements.

    Genest, Zidek, "Combining probability distributions", Statistical Science 1(1), 1986.
    """

    general: float = 0.75
    digits: float = 0.1
    cells: float = 0.25
    full_row: float = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class ReadersCalibration:
    """How strings are pooled, and the calibrations of free fields and of rows of cells.

    ``knows_source`` tells whether the promises were shown on the fields of this site, by ``icr calibrate``.
    """

    free: FieldCalibration
    cells: FieldCalibration
    pooling: Pooling = Pooling()
    knows_source: bool = False

    def of_layout(self, layout: str) -> FieldCalibration:
        """Return the calibration of ``free`` fields or of rows of ``cells``."""
        return self.cells if layout == "cells" else self.free

    def promising(self, max_substitution_rate: float) -> ReadersCalibration:
        """Return both held to a promise."""
        rate = max_substitution_rate
        return replace(self, free=self.free.promising(rate), cells=self.cells.promising(rate))


def _weigh(**weights: float) -> FieldCalibration:
    zeros, ones = (0.0,) * len(weights), (1.0,) * len(weights)
    return FieldCalibration(tuple(weights), zeros, ones, tuple(weights.values()), bias=-1.5)


_OF_LINES = {"text": 0.5, "weakest_alone": 0.5, "alone_differs": -1, "networks_differ": -1}
UNCALIBRATED = ReadersCalibration(_weigh(**_OF_LINES), _weigh(**_OF_LINES, cells_differ=-2))
"""Stands in for models that come without a calibration: it orders fields, and accepts none."""


def parse_calibration(kept: Mapping[str, Any]) -> ReadersCalibration:
    """Read a calibration as ``keep_calibration`` wrote it.

    Raises
    ------
    ValueError, KeyError, TypeError
        It is none.
    """
    pooling = Pooling(**{name: float(weight) for name, weight in kept.get("pooling", {}).items()})
    return ReadersCalibration(_parse_fields(kept["free"]), _parse_fields(kept["cells"]), pooling)


def keep_calibration(calibration: ReadersCalibration) -> dict[str, Any]:
    """Return a calibration as JSON holds it: for each piece of evidence its centre, scale and weight."""
    return {
        "pooling": dataclasses.asdict(calibration.pooling),
        "free": _keep_fields(calibration.free),
        "cells": _keep_fields(calibration.cells),
    }


def _parse_fields(kept: Mapping[str, Any]) -> FieldCalibration:
    rows = [(float(centre), float(scale), float(weight)) for centre, scale, weight in kept["evidence"].values()]
    return FieldCalibration(
        names=tuple(kept["evidence"]),
        centre=tuple(centre for centre, _, _ in rows),
        scale=tuple(scale for _, scale, _ in rows),
        weights=tuple(weight for _, _, weight in rows),
        bias=float(kept["bias"]),
        promises=tuple(Promise(**promise) for promise in kept["promises"]),
        fields=int(kept["fields"]),
    )


def _keep_fields(calibration: FieldCalibration) -> dict[str, Any]:
    rows = zip(calibration.centre, calibration.scale, calibration.weights, strict=True)
    rounded = [[round(value, 6) for value in row] for row in rows]
    return {
        "evidence": dict(zip(calibration.names, rounded, strict=True)),
        "bias": round(calibration.bias, 6),
        "promises": [dataclasses.asdict(promise) for promise in calibration.promises],
        "fields": calibration.fields,
    }


def describe_promise(promise: Promise) -> str:
    """Return a promise in words, as one line for a person."""
    shown = (
        f"at most {promise.rate:.2%} of accepted fields are wrong, with {CERTAINTY:.0%} certainty, on fields like the "
        f"{promise.labelled} labelled ones ({promise.wrong} wrong of {promise.accepted} accepted)"
    )
    if promise.is_shown:
        return shown
    if promise.accept_threshold is None:
        return f"no promise: nothing is known of a substitution rate of {promise.rate:.2%}"
    return (
        f"no promise: {promise.labelled} labelled fields cannot show a substitution rate of {promise.rate:.2%} or less "
        f"with {CERTAINTY:.0%} certainty; until they do, fields of confidence {promise.accept_threshold:.3f} and more "
        f"are accepted ({promise.wrong} wrong of {promise.accepted})"
    )
