"""The shipped digit model: calibrated, described by its card, and measured against its aims."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from worker.digits.normalization import normalize_digits
from worker.models.card import DataSetEntry, ModelCard
from worker.training import metrics
from worker.training.digits import data
from worker.training.digits.calibration import fit_shared_temperature
from worker.training.digits.data import EvaluationSet
from worker.training.splits import as_pixels, load_mnist_split
from worker.values import NOT_A_DIGIT, DigitClassifier

CLASSES = (*map(str, range(10)), "not a digit")
BATCH = 130
"""Digits to a batch where speed is measured: about the digits of one page."""

NOT_A_DIGIT_SHIFT = -2.0
"""Added to the logit of "not a digit": rarer in fields than in training (docs/lab-notebook/digit-model.md)."""

SVC_TRAINING = 5000
"""MNIST digits that the support vector machine of the speed comparison is trained on: enough for 98 %."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table of aims: ``value`` on the whole set, ``reporting`` on the half kept unseen.

    ``floor`` is what the model must reach, ``aim`` what it should; ``lower_is_better`` turns the comparison.
    """

    name: str
    value: float
    reporting: float | None
    floor: float
    aim: float
    unit: str = "%"
    lower_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Say whether the value reaches its aim, its floor, or neither."""
        sign = -1 if self.lower_is_better else 1
        if sign * self.value >= sign * self.aim:
            return "aim"
        return "floor" if sign * self.value >= sign * self.floor else "below"


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    odd: NDArray[np.bool_]

    def of(self, measure: Callable[..., float]) -> tuple[float, float]:
        """Return a measure in percent on the whole set and on its reporting half."""
        half = measure(self.probabilities[self.odd], self.labels[self.odd])
        return 100 * measure(self.probabilities, self.labels), 100 * half


def measure_production(classify: DigitClassifier, data_dir: Path, *, model_bytes: int) -> list[Measure]:
    """Ask the model about every set and return the table of aims."""
    accuracy, ece = metrics.digit_accuracy, metrics.digit_calibration_error
    mnist, cvl = (_answer(classify, s) for s in (data.load_mnist(data_dir)[2], data.load_cvl(data_dir)))
    usps, dida, car_a = (
        _answer(classify, load(data_dir)) for load in (data.load_usps, data.load_dida, data.load_car_a)
    )
    speed = digits_per_second(classify, data.load_usps(data_dir).images)
    return [
        Measure("MNIST test accuracy", mnist.of(accuracy)[0], None, 99.70, 99.85),
        Measure("cvl_eval accuracy", *cvl.of(accuracy), 97, 98.5),
        Measure("usps_eval accuracy", *usps.of(accuracy), 98.3, 99),
        Measure("dida_eval accuracy", *dida.of(accuracy), 78, 92),
        Measure("check_amounts_car_a, digits by their boxes", *car_a.of(accuracy), 95, 98),
        Measure("ECE, MNIST test", mnist.of(ece)[0], None, 0.3, 0.1, lower_is_better=True),
        Measure("ECE, cvl_eval", *cvl.of(ece), 1.5, 0.5, lower_is_better=True),
        Measure("cvl_eval accepted at 99.9 % precision", *cvl.of(metrics.accepted_at_precision), 70, 93),
        *_refusals(classify, data_dir, mnist.probabilities),
        Measure("digits a second, one thread, batch of 130", speed, None, 8000, 30000, "/s"),
        Measure("size of the .onnx", model_bytes / 2**20, None, 2, 0.5, "MB", lower_is_better=True),
    ]


def _answer(classify: DigitClassifier, digits: EvaluationSet) -> _Answers:
    odd = digits.row_numbers() % 2 == 1
    return _Answers(digits.labels, classify(digits.images), odd)


def _refusals(classify: DigitClassifier, data_dir: Path, passing: NDArray[np.float32]) -> list[Measure]:
    sources = {
        "omniglot held out": data.load_held_out_glyphs,
        "kmnist": data.load_kmnist,
        "empty cells": data.load_empty_cells,
    }
    answers = {name: classify(load(data_dir).images) for name, load in sources.items()}
    shares = {name: 100 * metrics.refused_while_passing(each, passing) for name, each in answers.items()}
    whole = float(np.mean(list(shares.values())))
    rows = [Measure(f"refused, {name}", share, None, 90, 99) for name, share in shares.items()]
    return [Measure("not-a-digit refused, mean of three sources", whole, None, 90, 99), *rows]


def digits_per_second(answer: Callable[[NDArray[Any]], object], images: NDArray[Any]) -> float:
    """Return how many digits a second of processor time are answered in batches of 130: the best of five rounds.

    On one thread processor time is wall time, but for what else the machine is doing meanwhile.
    """
    batches = [images[at : at + BATCH] for at in range(0, 20 * BATCH, BATCH)]
    answer(batches[0])
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for batch in batches:
            answer(batch)
        rounds.append(time.process_time() - began)
    return len(batches) * BATCH / min(rounds)


def compare_speeds(classify: DigitClassifier, data_dir: Path) -> dict[str, float]:
    """Return digits a second of the model, of the model with normalization, and of scikit-learn's SVC."""
    split = load_mnist_split(data_dir).limited(SVC_TRAINING)
    svc = SVC(C=10, gamma=0.02).fit(as_pixels(split.x_train), split.y_train)
    images = normalize_digits(split.x_test[: 20 * BATCH])
    return {
        "model": digits_per_second(classify, images),
        "normalization and model": digits_per_second(lambda b: classify(normalize_digits(b)), split.x_test),
        f"SVC of scikit-learn, trained on {SVC_TRAINING:,}": digits_per_second(svc.predict, as_pixels(images)),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The temperature, and on what it was fitted; ``NOT_A_DIGIT_SHIFT`` goes before it."""

    temperature: float
    sets: tuple[DataSetEntry, ...]


def calibrate(logits_of: Callable[[NDArray[np.uint8]], NDArray[np.floating]], data_dir: Path) -> Calibration:
    """Fit one temperature on MNIST writers that never trained and on CVL's declared development half."""
    held_out = [data.load_mnist(data_dir)[1], data.load_cvl(data_dir).development()]
    temperature = fit_shared_temperature(
        [(shift_non_digits(np.asarray(logits_of(s.images), np.float64)), s.labels) for s in held_out]
    )
    lines = tuple(
        DataSetEntry(name=s.name, samples=len(s), used_for="calibration", licence=s.licence) for s in held_out
    )
    return Calibration(temperature, lines)


def shift_non_digits(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the logits with the prior of "not a digit" brought from the training's to the worker's."""
    shifted = logits.copy()
    shifted[:, NOT_A_DIGIT] += NOT_A_DIGIT_SHIFT
    return shifted


def calibrated(net: Any, temperature: float) -> Any:
    """Return a copy of a network whose last layer carries the shift and the temperature."""
    cooled = copy.deepcopy(net)
    cooled.head.bias.data[NOT_A_DIGIT] += NOT_A_DIGIT_SHIFT
    cooled.head.weight.data /= temperature
    cooled.head.bias.data /= temperature
    return cooled


def make_card(
    *,
    version: str,
    description: str,
    sources: Sequence[DataSetEntry],
    calibration: Calibration,
    settings: dict[str, Any],
) -> ModelCard:
    """Return the card of a digit model; its checksum is filled in when it is written."""
    return ModelCard(
        name="digits",
        version=version,
        sha256="",
        created=str(date.today()),
        description=description,
        classes=list(CLASSES),
        input="(N, 28, 28) uint8, white ink on black, as worker.digits.normalization makes it",
        output="(N, 11) float32 calibrated probabilities",
        training=[*sources, *calibration.sets],
        calibration={
            "method": "one temperature, after a shift of the not-a-digit logit",
            "temperature": round(calibration.temperature, 4),
            "not_a_digit_shift": NOT_A_DIGIT_SHIFT,
        },
        settings=settings,
    )


def as_metrics(table: Sequence[Measure]) -> dict[str, Any]:
    """Return the table of aims as a card keeps it."""
    return {
        row.name: {
            "value": round(row.value, 3),
            "reporting_half": None if row.reporting is None else round(row.reporting, 3),
            "unit": row.unit,
            "floor": row.floor,
            "aim": row.aim,
        }
        for row in table
    }
