"""The handwriting sets, and what each may be used for: training takes only what is marked for training.

The folder is the one that ``--data-dir`` or ``ICR_DATA_DIR`` names. A set is either a ``TrainingSet`` or an
``EvaluationSet``: two types, so that handing the wrong one to a training function is an error, not an
oversight.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.digits.normalization import normalize_digits
from worker.errors import PermanentError
from worker.training.scanned_digits import HELD_OUT_SCANS, read_exams, read_swiss
from worker.values import NOT_A_DIGIT

HELD_OUT_ALPHABETS = ("Korean", "Tagalog")
"""Omniglot alphabets that never train; they test the answer "not a digit"."""

HELD_OUT_CELLS = 5
"""Every fifth empty cell of the printed digits is kept out of training, for the same test."""

CALIBRATION_WRITERS = 10
"""Every tenth MNIST training writer is kept out of training, for calibration and early looks."""

Uint8 = NDArray[np.uint8]
Labels = NDArray[np.int64]


class DataUseError(PermanentError):
    """A set was about to be used for something that it may not be used for."""


@dataclass(frozen=True, slots=True, eq=False)
class _LabelledDigits:
    """Normalized images (N, 28, 28) uint8, labels (N,) int64 with 10 = not a digit.

    ``writers`` and ``rows`` (of the set's ``labels.csv``) are (N,) int64, or None where the set names none.
    """

    name: str
    licence: str
    images: Uint8
    labels: Labels
    writers: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Self:
        """Return the chosen rows."""
        writers = None if self.writers is None else self.writers[chosen]
        rows = None if self.rows is None else self.rows[chosen]
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], writers=writers, rows=rows)


class TrainingSet(_LabelledDigits):
    """A set whose terms allow training."""


class EvaluationSet(_LabelledDigits):
    """A set that measures and never trains; ``development`` is the part that may choose hyper-parameters."""

    def development(self) -> EvaluationSet:
        """Return the even rows, the development half."""
        return self.take(self.row_numbers() % 2 == 0)

    def reporting(self) -> EvaluationSet:
        """Return the odd rows, at whose failures nobody looks."""
        return self.take(self.row_numbers() % 2 == 1)

    def row_numbers(self) -> NDArray[np.int64]:
        """Return the 0-based row of each image in the array or in ``labels.csv``."""
        return np.arange(len(self)) if self.rows is None else self.rows


def require_training(sets: Sequence[TrainingSet]) -> Sequence[TrainingSet]:
    """Return the sets; raise ``DataUseError`` if one of them is not for training."""
    for each in sets:
        if not isinstance(each, TrainingSet):
            raise DataUseError(f"{each.name} measures and never trains: it is marked 'evaluate only'")
    return sets


def _arrays(data_dir: Path, file: str) -> dict[str, NDArray[np.generic]]:
    path = data_dir / "digits" / file
    if not path.exists():
        raise PermanentError(f"no {path}: name the folder of handwriting sets by --data-dir or ICR_DATA_DIR")
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def _grey(image: NDArray[np.generic] | None) -> Uint8:
    if image is None:
        raise PermanentError("an image of the handwriting sets cannot be read: fetch the folder anew")
    return image.astype(np.uint8, copy=False)


def _labels(values: NDArray[np.generic]) -> Labels:
    return values.astype(np.int64)


def load_mnist(data_dir: Path) -> tuple[TrainingSet, TrainingSet, EvaluationSet]:
    """Return MNIST as training writers, calibration writers (never trained on) and the public test set."""
    stored = _arrays(data_dir, "mnist.npz")
    writers = _labels(stored["writer_train"])
    whole = TrainingSet(
        "mnist", "public (NIST)", normalize_digits(stored["x_train"]), _labels(stored["y_train"]), writers
    )
    test = EvaluationSet(
        "mnist_test",
        "public (NIST)",
        normalize_digits(stored["x_test"]),
        _labels(stored["y_test"]),
        _labels(stored["writer_test"]),
    )
    ranks = np.unique(writers, return_inverse=True)[1]
    held_out = ranks % CALIBRATION_WRITERS == 0
    return whole.take(~held_out), replace(whole.take(held_out), name="mnist_calibration"), test


def load_optdigits(data_dir: Path) -> TrainingSet:
    """Return UCI optdigits: Turkish writers."""
    stored = _arrays(data_dir, "optdigits32.npz")
    return TrainingSet("optdigits32", "CC BY 4.0", normalize_digits(stored["x_train"]), _labels(stored["y_train"]))


def load_semeion(data_dir: Path) -> TrainingSet:
    """Return UCI Semeion: Italian writers, stretched to the box."""
    stored = _arrays(data_dir, "semeion.npz")
    return TrainingSet("semeion", "CC BY 4.0", normalize_digits(stored["images"]), _labels(stored["labels"]))


def load_hwd1000(data_dir: Path) -> TrainingSet:
    """Return a thousand digits drawn on screen by one person."""
    stored = _arrays(data_dir, "hwd1000.npz")
    return TrainingSet("hwd1000", "MIT", normalize_digits(stored["images"]), _labels(stored["labels"]))


def load_swiss(data_dir: Path) -> tuple[TrainingSet, EvaluationSet]:
    """Return scanned digits of Swiss writers, and every tenth of them, which never trains."""
    images, labels, writers = read_swiss(data_dir / "digits" / "swiss_numbers")
    every = TrainingSet("swiss_numbers", "CC0 1.0", normalize_digits(images), labels, writers)
    held_out = np.arange(len(labels)) % HELD_OUT_SCANS == 0
    kept = every.take(held_out)
    return every.take(~held_out), EvaluationSet("swiss_held_out", kept.licence, kept.images, kept.labels, kept.writers)


def load_exams(data_dir: Path) -> TrainingSet:
    """Return thin, faint digits of exam papers from Taiwan."""
    images, labels = read_exams(data_dir / "digits" / "nsysu_digits" / "nsysu.npz")
    return TrainingSet("nsysu_digits", "ODbL 1.0, contents DbCL 1.0", normalize_digits(images), labels)


def _printed(data_dir: Path) -> tuple[Uint8, Labels, NDArray[np.bool_]]:
    """Return images, labels, and which rows are empty cells that never train: every fifth of class 0."""
    stored = _arrays(data_dir, "printed_digits.npz")
    labels = _labels(stored["labels"])
    empty = labels == 0
    labels[empty] = NOT_A_DIGIT
    return normalize_digits(stored["images"]), labels, empty & (np.cumsum(empty) % HELD_OUT_CELLS == 0)


def load_printed(data_dir: Path) -> TrainingSet:
    """Return machine-printed 1-9; class 0 holds empty cells with remnants of lines: not digits."""
    images, labels, held_out = _printed(data_dir)
    return TrainingSet("printed_digits", "MIT", images[~held_out], labels[~held_out])


def load_empty_cells(data_dir: Path) -> EvaluationSet:
    """Return the empty cells that never train."""
    images, labels, held_out = _printed(data_dir)
    return EvaluationSet("empty_cells", "MIT", images[held_out], labels[held_out])


def _omniglot(data_dir: Path) -> tuple[Uint8, NDArray[np.bool_]]:
    stored = _arrays(data_dir, "omniglot_ood.npz")
    alphabets = np.array([str(label).partition("/")[0] for label in stored["labels"]])
    return normalize_digits(stored["images"]), np.isin(alphabets, HELD_OUT_ALPHABETS)


def load_glyphs(data_dir: Path) -> TrainingSet:
    """Return Omniglot's glyphs as non-digits, without the alphabets held out for the test."""
    images, held_out = _omniglot(data_dir)
    images = images[~held_out]
    return TrainingSet("omniglot", "MIT", images, np.full(len(images), NOT_A_DIGIT))


def load_held_out_glyphs(data_dir: Path) -> EvaluationSet:
    """Return the glyphs of the alphabets that never train."""
    images, held_out = _omniglot(data_dir)
    images = images[held_out]
    return EvaluationSet("omniglot_held_out", "MIT", images, np.full(len(images), NOT_A_DIGIT))


def load_kmnist(data_dir: Path) -> EvaluationSet:
    """Return old Japanese cursive: none of it digits."""
    images = normalize_digits(_arrays(data_dir, "kmnist_test_ood.npz")["images"])
    return EvaluationSet("kmnist", "CC BY-SA 4.0", images, np.full(len(images), NOT_A_DIGIT))


def load_cvl(data_dir: Path) -> EvaluationSet:
    """Return CVL's single digits: Vienna students."""
    stored = _arrays(data_dir, "cvl_eval.npz")
    images, writers = normalize_digits(stored["images"]), _labels(stored["writer"])
    return EvaluationSet("cvl_eval", "research", images, _labels(stored["labels"]), writers)


def load_usps(data_dir: Path) -> EvaluationSet:
    """Return USPS zip code digits."""
    stored = _arrays(data_dir, "usps_eval.npz")
    return EvaluationSet("usps_eval", "unknown", normalize_digits(stored["images"]), _labels(stored["labels"]))


def load_dida(data_dir: Path) -> EvaluationSet:
    """Return digits of Swedish registers, dark ink turned white: neighbours intrude."""
    stored = _arrays(data_dir, "dida_eval.npz")
    ends = stored["offset"].astype(np.int64)
    jpeg = stored["jpeg"].astype(np.uint8)
    crops = [_grey(cv2.imdecode(jpeg[a:b], cv2.IMREAD_GRAYSCALE)) for a, b in pairwise(ends)]
    images = normalize_digits(255 - crop for crop in crops)
    return EvaluationSet("dida_eval", "research", images, _labels(stored["labels"]))


def load_car_a(data_dir: Path) -> EvaluationSet:
    """Return the digits of ORAND-CAR-A's check amounts, cut by their boxes, ambiguous amounts left out."""
    folder = data_dir / "fields" / "check_amounts_car_a"
    boxes = json.loads((folder / "boxes.json").read_text(encoding="utf-8"))
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as rows:
        files = [(n, row["file"]) for n, row in enumerate(csv.DictReader(rows)) if row["audit"] != "ambiguous"]
    crops, labels, rows_of = [], [], []
    for row, file in files:
        grey = _grey(cv2.imread(str(folder / file), cv2.IMREAD_GRAYSCALE))
        for digit in boxes.get(file, ()):
            x, y, w, h = digit["bbox_xywh"]
            crops.append(255 - grey[max(0, y) : y + h, max(0, x) : x + w])
            labels.append(int(digit["digit"]))
            rows_of.append(row)
    images = normalize_digits(crops)
    return EvaluationSet("car_a_boxes", "research", images, np.array(labels), rows=np.array(rows_of))
