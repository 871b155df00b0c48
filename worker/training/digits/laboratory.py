"""What ``icr train`` and ``icr evaluate`` do, as functions: train, export, describe, measure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worker.errors import PermanentError
from worker.models.card import DataSetEntry, ModelCard, card_path, read_card, read_verified_model, write_model
from worker.models.runtime import DIGITS, MODELS_DIR
from worker.training.digits import mlp, production
from worker.training.digits.cnn import train_cnn, train_distilled
from worker.training.digits.net import Schedule
from worker.training.digits.pool import Pool
from worker.training.estimators import make_estimator
from worker.training.evaluation import Evaluation, cross_validate
from worker.training.export import export_sklearn, export_torch, quantize, run_onnx
from worker.training.restoring import fill_normalizations, restore_digit_net
from worker.training.splits import Split, as_pixels

Report = Callable[[str], None]
Uint8 = NDArray[np.uint8]

QUANTIZATION_SAMPLES = 512
"""Training images from which the 8-bit ranges of the layers are taken."""

TAUGHT = "taught by two of its kind"
"""How the network of ``train_distilled`` came about."""

SCORES_ONLY = ("svc",)
"""Estimators whose answers rank but are no probabilities."""


def model_path(runs: Path, name: str, data: str) -> Path:
    """Return where a trained model of the laboratory lies."""
    return runs / f"{name}-{data}" / "model.onnx"


def prepare(name: str, split: Split) -> Split:
    """Return the split as a model wants it: upright for the SVC, twos against the rest for the detector."""
    if name == "svc":
        return split.deskewed()
    return split.is_two() if name == "binary" else split


def train_classic(name: str, data: str, split: Split, *, seed: int, path: Path) -> ModelCard:
    """Fit one of the laboratory's estimators, export it, and write it with its card."""
    prepared = prepare(name, split)
    estimator = make_estimator(name, seed=seed).fit(as_pixels(prepared.x_train), prepared.y_train)
    content = export_sklearn(estimator, side=prepared.x_train.shape[-1])
    right = np.mean(run_onnx(content, prepared.x_test).argmax(1) == prepared.y_test)
    card = ModelCard(
        name=f"{name}-{data}",
        version=f"{date.today()}-{seed}",
        sha256="",
        created=str(date.today()),
        description=str(estimator),
        classes=_names(name),
        input=f"(N, {prepared.x_train.shape[1]}, {prepared.x_train.shape[2]}) uint8, white ink on black"
        + (", deskewed" if name == "svc" else ""),
        output="scores" if name in SCORES_ONLY else "probabilities, not calibrated",
        training=[DataSetEntry(name=data, samples=len(prepared.y_train), used_for="training", licence="public")],
        metrics={"test": {"accuracy": round(float(right), 4), "images": len(prepared.y_test)}},
        settings={"seed": seed},
    )
    return write_model(path, content, card)


def _names(name: str) -> list[str]:
    return ["another digit", "2"] if name == "binary" else [str(d) for d in range(10)]


def train_digit_mlp(pool: Pool, data_dir: Path, *, seed: int, epochs: int, path: Path, report: Report) -> ModelCard:
    """Train the first digit model on the pool, calibrate it and write it with its card."""
    estimator = mlp.train_mlp(pool, seed=seed, epochs=epochs, samples_an_epoch=60_000, report=report)
    calibration = production.calibrate(lambda images: mlp.logits_of(estimator, images), data_dir)
    mlp.calibrate_in_place(estimator, calibration.temperature)
    card = production.make_card(
        version=f"mlp-{date.today()}-{seed}",
        description=f"One hidden layer of {mlp.HIDDEN} on normalized pixels: the first digit model",
        sources=pool.sources,
        calibration=calibration,
        settings={"seed": seed, "epochs": epochs},
    )
    return _write_measured(path, export_sklearn(estimator), card, data_dir)


def train_digit_cnn(pool: Pool, data_dir: Path, *, schedule: Schedule, path: Path, report: Report) -> ModelCard:
    """Train, or take up, the teachers and the production network, calibrate it and write it with its card."""
    estimator = train_distilled(pool, schedule, run_dir=path.parent, report=report)
    return ship_cnn(estimator.module_, pool, data_dir, schedule=schedule, path=path)


def prolong_digit_cnn(pool: Pool, data_dir: Path, *, schedule: Schedule, path: Path, report: Report) -> ModelCard:
    """Train the shipped network on, and ship what lies halfway between its weights and the new ones.

    What lies between reads unusual paper better than either end (Wortsman et al. 2022, arXiv:2203.05482).
    """
    card = read_card(card_path(MODELS_DIR / DIGITS))
    start = restore_digit_net(MODELS_DIR / DIGITS, float((card.calibration or {})["temperature"]))
    rng = np.random.default_rng(schedule.seed)
    seen = pool.images[rng.choice(len(pool.labels), QUANTIZATION_SAMPLES, p=pool.weights)]
    fill_normalizations(start, torch.from_numpy(seen))
    first = {name: value.clone() for name, value in start.state_dict().items()}
    estimator = train_cnn(pool, schedule, run_dir=path.parent, report=report, start=first)
    last = estimator.module_.state_dict()
    halfway = {n: torch.lerp(first[n], v.cpu(), 0.5) if v.is_floating_point() else v for n, v in last.items()}
    estimator.module_.load_state_dict(halfway)
    made = f"{card.version} trained on, halfway between both"
    return ship_cnn(estimator.module_, pool, data_dir, schedule=schedule, path=path, made=made)


def ship_cnn(net: Any, pool: Pool, data_dir: Path, *, schedule: Schedule, path: Path, made: str = TAUGHT) -> ModelCard:
    """Calibrate a trained network, export it, measure it, and write it with its card; ``made`` says how it came."""
    calibration = production.calibrate(lambda images: network_logits(net, images), data_dir)
    parameters = sum(p.numel() for p in net.parameters())
    card = production.make_card(
        version=f"cnn2-{date.today()}-{schedule.seed}",
        description=f"Seven convolutions, {parameters:,} parameters, {made}",
        sources=pool.sources,
        calibration=calibration,
        settings={
            "seed": schedule.seed,
            "epochs": schedule.epochs,
            "samples_an_epoch": schedule.samples_an_epoch,
            "trained_on": "GPU" if torch.cuda.is_available() else "CPU",
        },
    )
    rng = np.random.default_rng(schedule.seed)
    samples = pool.images[rng.choice(len(pool.labels), QUANTIZATION_SAMPLES, p=pool.weights)]
    content = quantize(export_torch(production.calibrated(net, calibration.temperature)), samples)
    return _write_measured(path, content, card, data_dir)


def network_logits(net: Any, images: Uint8) -> NDArray[np.float32]:
    """Return a network's (N, 11) logits of (N, 28, 28) uint8 images, on whatever device it lies."""
    net.eval()
    device = next(net.parameters()).device
    with torch.no_grad():
        parts = [net(torch.from_numpy(images[a : a + 1000]).to(device)).cpu() for a in range(0, len(images), 1000)]
    return torch.cat(parts).numpy()


def _write_measured(path: Path, content: bytes, card: ModelCard, data_dir: Path) -> ModelCard:
    table = production.measure_production(lambda images: run_onnx(content, images), data_dir, model_bytes=len(content))
    return write_model(path, content, card.model_copy(update={"metrics": production.as_metrics(table)}))


def evaluate_run(name: str, data: str, split: Split, *, path: Path, folds: int, fold_samples: int) -> Evaluation:
    """Ask a trained model for its test; cross-validate a fresh copy on part of the training samples."""
    if not path.exists():
        raise PermanentError(f"no {path}: make it by `icr train {name} --data {data}`")
    content, card = read_verified_model(path)
    prepared = prepare(name, split)
    scores: tuple[float, ...] = ()
    if folds:
        part = prepared.limited(fold_samples)
        fresh = make_estimator(name, seed=0)
        scores = cross_validate(fresh, as_pixels(part.x_train), part.y_train, folds=folds)
    return Evaluation(
        title=f"{name} on {data}",
        images=prepared.x_test,
        labels=prepared.y_test,
        probabilities=run_onnx(content, prepared.x_test),
        names=tuple(card.classes),
        folds=scores,
        calibrated=name not in SCORES_ONLY,
    )
