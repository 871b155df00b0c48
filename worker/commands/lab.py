"""``icr train`` and ``icr evaluate``: the laboratory of the digit models (the ``train`` extra)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import read_settings
from worker.commands.lab_parts import data_dir_option, need_data_dir
from worker.errors import PermanentError

if TYPE_CHECKING:  # PyTorch and scikit-learn load when a command runs
    from worker.models.card import ModelCard
    from worker.training.digits.production import Measure
    from worker.training.evaluation import Evaluation

CLASSIC_MODELS = ("logistic", "logistic-default", "sgd", "binary", "svc", "knn", "tree", "mlp")
RUNS = Path("runs")
PROLONGED_RATE = 0.03
"""The highest learning rate of a prolonged training: half of that from the start."""

runs_option = click.option("--runs", type=click.Path(path_type=Path), default=RUNS, show_default=True)


@click.command()
@click.argument("model", type=click.Choice([*CLASSIC_MODELS, "cnn"]), default="cnn")
@click.option(
    "--data",
    type=click.Choice(["all", "mnist", "digits"]),
    help="all: every training set and drawn digits, for cnn (its default) and mlp; digits: the 8x8 ones.",
)
@data_dir_option
@runs_option
@click.option("--seed", default=0, show_default=True)
@click.option("--samples", type=int, help="Train a classic model on the first so many samples only.")
@click.option("--epochs", type=int, help="For --data all: how many epochs of 60,000 (cnn: 28, mlp: 10).")
@click.option("--prolong", is_flag=True, help="cnn: train the shipped network on, and ship what lies halfway.")
@click.option("--install", is_flag=True, help="Make the model of --data all the one that the worker loads.")
def train(
    model: str,
    data: str | None,
    data_dir: Path | None,
    runs: Path,
    seed: int,
    samples: int | None,
    epochs: int | None,
    prolong: bool,
    install: bool,
) -> None:
    """Train a model, export it to ONNX with its card under runs/; a stopped cnn is taken up where it was."""
    data = data or ("all" if model == "cnn" else "mnist")
    if data == "all":
        card, path = _train_digits(model, need_data_dir(data_dir), runs, seed, epochs, prolong=prolong)
        if install:
            _install(path)
    elif model == "cnn":
        raise click.UsageError("cnn trains on --data all: normalized digits of every training set")
    else:
        card, path = _train_classic(model, data, data_dir or read_settings().data_dir, runs, seed, samples)
    click.echo(f"{card.name} {card.version}: {path}")
    for name, value in card.metrics.items():
        click.echo(f"  {name}: {value}")


def _train_classic(
    model: str, data: str, data_dir: Path | None, runs: Path, seed: int, samples: int | None
) -> tuple[ModelCard, Path]:
    from worker.training.digits.laboratory import model_path, train_classic
    from worker.training.splits import load_split

    path = model_path(runs, model, data)
    split = load_split(data, data_dir).limited(samples)
    click.echo(f"training {model} on {len(split.y_train):,} images of {data}")
    return train_classic(model, data, split, seed=seed, path=path), path


def _train_digits(
    model: str, data_dir: Path, runs: Path, seed: int, epochs: int | None, *, prolong: bool
) -> tuple[ModelCard, Path]:
    from worker.training.digits.laboratory import prolong_digit_cnn, train_digit_cnn, train_digit_mlp
    from worker.training.digits.net import EPOCHS, Schedule
    from worker.training.digits.pool import cached_pool

    if model not in ("cnn", "mlp"):
        raise click.UsageError(f"{model} trains on --data mnist or digits")
    path = runs / f"{model}-seed{seed}" / "digits.onnx"
    pool = cached_pool(data_dir, seed=seed, cache=path.parent / "pool.npz")
    if model == "mlp":
        card = train_digit_mlp(pool, data_dir, seed=seed, epochs=epochs or 10, path=path, report=click.echo)
    elif prolong:
        schedule = Schedule(epochs=epochs or EPOCHS // 2, seed=seed, mixture="both", peak_rate=PROLONGED_RATE)
        card = prolong_digit_cnn(pool, data_dir, schedule=schedule, path=path, report=click.echo)
    else:
        schedule = Schedule(epochs=epochs or EPOCHS, seed=seed)
        card = train_digit_cnn(pool, data_dir, schedule=schedule, path=path, report=click.echo)
    return card, path


def _install(path: Path) -> None:
    from worker.models.card import card_path
    from worker.models.runtime import DIGITS, MODELS_DIR

    shutil.copyfile(path, MODELS_DIR / DIGITS)
    shutil.copyfile(card_path(path), card_path(MODELS_DIR / DIGITS))


@click.command()
@click.argument("model", type=click.Choice([*CLASSIC_MODELS, "production", "classics"]), default="production")
@click.option("--data", type=click.Choice(["mnist", "digits"]), default="mnist", show_default=True)
@data_dir_option
@runs_option
@click.option("--folds", default=5, show_default=True, help="Folds of the cross-validation; 0 leaves it out.")
@click.option("--fold-samples", default=5000, show_default=True, help="Training samples the folds share.")
@click.option("--only", multiple=True, help="For classics: the names of those to measure.")
def evaluate(
    model: str,
    data: str,
    data_dir: Path | None,
    runs: Path,
    folds: int,
    fold_samples: int,
    only: tuple[str, ...],
) -> None:
    """Measure the shipped model against its aims (the default), a trained model, or the classic results."""
    if model == "production":
        _evaluate_production(need_data_dir(data_dir), runs)
    elif model == "classics":
        _evaluate_classics(data_dir or read_settings().data_dir, runs, only)
    else:
        _evaluate_run(model, data, data_dir or read_settings().data_dir, runs, folds, fold_samples)


def _evaluate_run(model: str, data: str, data_dir: Path | None, runs: Path, folds: int, fold_samples: int) -> None:
    from worker.training.digits.laboratory import evaluate_run, model_path
    from worker.training.splits import load_split

    path = model_path(runs, model, data)
    split = load_split(data, data_dir)
    evaluation = evaluate_run(model, data, split, path=path, folds=folds, fold_samples=fold_samples)
    _print_evaluation(evaluation)
    _write_report(evaluation, path.with_name("report.html"))


def _evaluate_production(data_dir: Path, runs: Path) -> None:
    from worker.models.runtime import DIGITS, MODELS_DIR, load_recognizers
    from worker.training.digits import data, production
    from worker.training.evaluation import Evaluation

    classify = load_recognizers().classify_digits
    size = (MODELS_DIR / DIGITS).stat().st_size
    _print_table(production.measure_production(classify, data_dir, model_bytes=size))
    for name, speed in production.compare_speeds(classify, data_dir).items():
        click.echo(f"digits a second, one thread, batch of 130: {speed:>8,.0f}  {name}")
    for digits in (data.load_mnist(data_dir)[2], data.load_cvl(data_dir).development()):
        answers = classify(digits.images)
        title = f"shipped model on {digits.name}"
        evaluation = Evaluation(title, digits.images, digits.labels, answers, production.CLASSES)
        _write_report(evaluation, runs / "production" / f"{digits.name}.html")


def _print_table(table: Sequence[Measure]) -> None:
    click.echo(f"{'measure':<46} {'value':>9} {'odd rows':>9} {'floor':>8} {'aim':>8}  reached")
    for row in table:
        half = "" if row.reporting is None else f"{row.reporting:9.2f}"
        click.echo(f"{row.name:<46} {row.value:9.2f} {half:>9} {row.floor:8g} {row.aim:8g}  {row.verdict} ({row.unit})")


def _evaluate_classics(data_dir: Path | None, runs: Path, only: tuple[str, ...]) -> None:
    from worker.training.classics.classics import CLASSICS, describe, reproduce_once

    unknown = sorted(set(only) - set(CLASSICS))
    if unknown:
        raise PermanentError(f"no classic named {', '.join(unknown)}; there are {', '.join(CLASSICS)}")
    click.echo("| what | published | here | 5-fold | processor s to train |\n|---|---|---|---|---|")
    for name in only or CLASSICS:
        click.echo(describe(reproduce_once(name, data_dir, runs / "classics")))


def _print_evaluation(evaluation: Evaluation) -> None:
    error = evaluation.calibration_error
    click.echo(f"{evaluation.title}: accuracy {evaluation.accuracy:.4f} of {len(evaluation.labels):,}")
    click.echo("ECE " + ("- (scores only)" if error is None else f"{error:.4f}"))
    if evaluation.folds:
        mean = sum(evaluation.folds) / len(evaluation.folds)
        click.echo(f"cross-validation {mean:.4f}: " + ", ".join(f"{score:.4f}" for score in evaluation.folds))
    click.echo(f"{'class':<14} {'precision':>9} {'recall':>9} {'F1':>9} {'images':>7}")
    for name, precision, recall, f1, count in evaluation.per_class():
        click.echo(f"{name:<14} {precision:9.4f} {recall:9.4f} {f1:9.4f} {count:7,}")


def _write_report(evaluation: Evaluation, path: Path) -> None:
    from worker.training.report import write_report

    write_report(evaluation, path)
    click.echo(f"report: {path}")
