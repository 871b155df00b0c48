"""Measure the readers on labelled fields, checks, photos and digits, by the same functions that the worker uses."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from worker.checks.locales import LOCALES
from worker.checks.policy import CheckPolicy
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.line_reader.reading import read_lines
from worker.fields.reading import read_fields
from worker.page_kinds import CheckPage, FreePage
from worker.pipeline import read_page
from worker.training.digits import data
from worker.training.digits.data import EvaluationSet
from worker.training.fields.measures import Scored
from worker.training.fields.truth import LabelledField, read_rows
from worker.training.metrics import digit_accuracy
from worker.values import FieldStatus, Money, Page, RawReading, Recognizers

PHOTO_SOURCES = ("phone_photo_lines", "phone_photo_single", "scanned_digit_sheets")
CHECKS = "check_specimens_us"
CHECK_RULES = CheckPolicy(LOCALES["US"], dt.date(2019, 12, 31), months_back=60)
"""The window of dates is open to those of the specimens, 2015 to 2019."""
DIGIT_SOURCES: dict[str, Callable[[Path], EvaluationSet]] = {
    "cvl_eval": data.load_cvl,
    "usps_eval": data.load_usps,
}


def score_fields(fields: Sequence[LabelledField], recognizers: Recognizers) -> list[tuple[Scored, RawReading]]:
    """Read labelled fields one by one, as the fields of a page are read, and pair each with its ground truth."""
    scored = []
    for labelled in fields:
        (read,) = read_fields([labelled.crop], recognizers)
        accepted = decide_field(labelled.crop.spec, read, AcceptPolicy()).status is FieldStatus.ACCEPTED
        scored.append((Scored(labelled.source, labelled.truth, read.text, read.confidence, accepted), read))
    return scored


@dataclass(frozen=True, slots=True)
class PhotoScore:
    """Digits of one photo: how many there are, how many were found and right, how many were invented."""

    source: str
    file: str
    digits: int
    right: int
    invented: int


def score_photos(data_dir: Path, source: str, recognizers: Recognizers, *, development: bool) -> list[PhotoScore]:
    """Read one half of a set of whole photos without a form, and count digits in reading order."""
    folder = data_dir / "fields" / source
    scores = []
    for i, row in enumerate(read_rows(folder / "labels.csv")):
        if (i % 2 == 0) != development:
            continue
        truth = "".join(c for c in row.get("lines") or row["digit"] if c.isdigit())
        grey = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
        page = Page(scan_id="photo", number=0, grey=np.asarray(grey, np.uint8))
        reading = read_page(page, FreePage(), recognizers, AcceptPolicy())
        right, invented = count_right("".join(f.text for f in reading.fields), truth)
        scores.append(PhotoScore(source, row["file"], len(truth), right, invented))
    return scores


def count_right(text: str, truth: str) -> tuple[int, int]:
    """Return how many digits of ``truth`` a text has in order, and how many further ones it has."""
    best = [[(0, 0)] * (len(truth) + 1) for _ in range(len(text) + 1)]  # (cost, right)
    for i in range(len(text) + 1):
        for j in range(len(truth) + 1):
            if i == 0 or j == 0:
                best[i][j] = (i + j, 0)
                continue
            same = text[i - 1] == truth[j - 1]
            cost, right = best[i - 1][j - 1]
            options = [(cost + (not same), right + same)]
            options += [(c + 1, r) for c, r in (best[i - 1][j], best[i][j - 1])]
            best[i][j] = min(options, key=lambda option: (option[0], -option[1]))
    return best[-1][-1][1], max(0, len(text) - len(truth))


def score_checks(data_dir: Path, recognizers: Recognizers, *, development: bool) -> list[Scored]:
    """Read one half of the check specimens whole; a check is right if its amount is, in cents."""
    folder = data_dir / "fields" / CHECKS
    scores = []
    for row in read_rows(folder / "labels.csv")[0 if development else 1 :: 2]:
        grey = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
        page = Page(scan_id="check", number=0, grey=np.asarray(grey, np.uint8))
        fields = {f.name: f for f in read_page(page, CheckPage(CHECK_RULES), recognizers, AcceptPolicy()).fields}
        amount, truth = fields.get("amount"), str(round(float(row["amount"]) * 100))
        text = str(amount.value.minor_units) if amount and isinstance(amount.value, Money) else ""
        confidence, accepted = (amount.confidence, amount.status is FieldStatus.ACCEPTED) if amount else (0.0, False)
        scores.append(Scored(CHECKS, truth, text, confidence, accepted))
    return scores


@dataclass(frozen=True, slots=True)
class DigitScore:
    """The share of right digits, of 1, in one half of a set of single digits, or in a test set as a whole."""

    source: str
    half: str
    digits: int
    right: float


def score_digits(data_dir: Path, recognizers: Recognizers, halves: Sequence[str]) -> list[DigitScore]:
    """Classify the sets of single digits: MNIST's public test set, and the halves of the others."""
    sets = [("mnist_test", "whole", data.load_mnist(data_dir)[2])]
    for name, load in DIGIT_SOURCES.items():
        digits = load(data_dir)
        sets += [(name, h, digits.development() if h == "development" else digits.reporting()) for h in halves]
    return [
        DigitScore(name, half, len(part), digit_accuracy(recognizers.classify_digits(part.images), part.labels))
        for name, half, part in sets
    ]


def time_field_ms(fields: Sequence[LabelledField], recognizers: Recognizers, *, times: int = 3) -> float:
    """Return the median milliseconds of one thread from crop to reading over free fields, each read alone."""
    cv2.setNumThreads(1)
    read_lines([fields[0].crop], recognizers)
    durations = []
    for field in fields:
        for _ in range(times):
            started = time.process_time()
            read_lines([field.crop], recognizers)
            durations.append(time.process_time() - started)
    return float(np.median(durations)) * 1000
