"""Classic results of the field, trained and measured again, beside the published figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from worker.training import splits
from worker.training.estimators import Maker, make_estimator
from worker.training.evaluation import cross_validate
from worker.training.splits import Split, as_pixels


@dataclass(frozen=True, slots=True)
class Classic:
    """One published result: what it claims, on which data, and by which estimator."""

    title: str
    published: str
    load: Callable[[Path | None], Split]
    make: Maker
    folds: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a classic gave here: accuracy on the test, mean of folds (None without), processor seconds to train."""

    title: str
    published: str
    accuracy: float
    tested: int
    folds: float | None
    train_s: float


SVC_SAMPLES = 15_000
"""Training samples of the support vector machines; with all 60,000 each takes a quarter of an hour on two cores."""


def _named(name: str) -> Maker:
    return lambda seed: make_estimator(name, seed=seed)


CLASSICS: dict[str, Classic] = {
    "logistic": Classic(
        "LogisticRegression, C=1e10, MNIST pixels, 80/20",
        "92.07 %",
        splits.shuffled_mnist,
        _named("logistic"),
    ),
    "logistic-default": Classic(
        "LogisticRegression, default penalty, MNIST 60,000/10,000",
        "about 92 %",
        splits.load_mnist_split,
        _named("logistic-default"),
    ),
    "sgd": Classic("SGD, log loss, MNIST 60,000/10,000", "88 %", splits.load_mnist_split, _named("sgd")),
    "binary": Classic(
        "SGD, is it a 2?, 5-fold cross-validation on MNIST's 60,000",
        "97 %",
        lambda folder: splits.load_mnist_split(folder).is_two(),
        _named("binary"),
        folds=5,
    ),
    "digits-logistic": Classic(
        "LogisticRegression, 8x8 digits, 80/20",
        "95.11 %",
        lambda _: splits.load_split("digits", None),
        _named("logistic-default"),
    ),
    "digits-svc": Classic(
        "SVC on the first 1,791 of the 8x8 digits, asked for the last six",
        "6 of 6",
        lambda _: splits.last_six_digits(),
        lambda _: SVC(gamma=0.001 * 16**2, C=100),
    ),
    "knn": Classic("kNN, k=3, by distance, MNIST 60,000/10,000", "97.1 %", splits.load_mnist_split, _named("knn")),
    "tree": Classic("Decision tree, MNIST 60,000/10,000", "about 88 %", splits.load_mnist_split, _named("tree")),
    "svc": Classic(
        "SVC RBF, C=10, MNIST's first 15,000 / 10,000",
        "98.5 % (on 60,000)",
        lambda folder: splits.load_mnist_split(folder).limited(SVC_SAMPLES),
        _named("svc"),
    ),
    "svc-deskewed": Classic(
        "SVC RBF, C=10, deskewed, MNIST's first 15,000 / 10,000",
        "99.44 % (virtual SVM: 60,000 and jitter)",
        lambda folder: splits.load_mnist_split(folder).limited(SVC_SAMPLES).deskewed(),
        _named("svc"),
    ),
}


def reproduce(classic: Classic, data_dir: Path | None, *, seed: int = 0) -> Outcome:
    """Train a classic on its data and measure it on its test set."""
    split = classic.load(data_dir)
    estimator = classic.make(seed)
    pixels = as_pixels(split.x_train)
    folds = cross_validate(estimator, pixels, split.y_train, folds=classic.folds) if classic.folds else ()
    began = time.process_time()
    estimator.fit(pixels, split.y_train)
    train_s = time.process_time() - began
    right = np.mean(estimator.predict(as_pixels(split.x_test)) == split.y_test)
    mean = float(np.mean(folds)) if folds else None
    return Outcome(classic.title, classic.published, float(right), len(split.y_test), mean, train_s)


def reproduce_once(name: str, data_dir: Path | None, kept_in: Path) -> Outcome:
    """Return the outcome kept by an earlier run that was stopped, or reproduce the classic and keep its outcome."""
    kept = kept_in / f"{name}.json"
    if kept.exists():
        return Outcome(**json.loads(kept.read_text(encoding="utf-8")))
    outcome = reproduce(CLASSICS[name], data_dir)
    kept_in.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    return outcome


def describe(outcome: Outcome) -> str:
    """Return an outcome as one line of a Markdown table."""
    folds = "" if outcome.folds is None else f"{100 * outcome.folds:.2f} %"
    here = f"{100 * outcome.accuracy:.2f} %"
    if outcome.tested < 10:
        here = f"{round(outcome.accuracy * outcome.tested)} of {outcome.tested}"
    return f"| {outcome.title} | {outcome.published} | {here} | {folds} | {outcome.train_s:.0f} |"
