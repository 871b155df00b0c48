"""The laboratory: estimators leave as ONNX unchanged, sets keep to their use, trainings are taken up."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.data import DATA_DIR, NEEDS_TRAIN, needs_data
from worker.cli import icr
from worker.models.card import card_path, read_card, read_verified_model
from worker.models.runtime import DIGITS, MODELS_DIR, load_recognizers
from worker.training import metrics, splits
from worker.training.classics.classics import CLASSICS, reproduce
from worker.training.digits.calibration import (
    fit_shared_temperature,
    fit_temperature,
    negative_log_likelihood,
)
from worker.training.estimators import ESTIMATORS, make_estimator
from worker.training.evaluation import Evaluation
from worker.training.report import write_report

pytest.importorskip("torch", reason=NEEDS_TRAIN)

import torch

from worker.training.digits import data, laboratory, production
from worker.training.digits.augmentation import MIXTURES, STRONG, augment, augment_mixture
from worker.training.digits.cnn import train_cnn, train_distilled
from worker.training.digits.data import DataUseError, EvaluationSet, TrainingSet
from worker.training.digits.laboratory import evaluate_run, network_logits, train_classic
from worker.training.digits.net import AugmentedEpochs, DigitNet, DistilledEpochs, Schedule
from worker.training.digits.non_digits import join_glyphs
from worker.training.digits.pool import SHARES, Pool, looks_like_one, mix_pool
from worker.training.digits.production import CLASSES, calibrated
from worker.training.export import export_sklearn, export_torch, quantize, run_onnx
from worker.values import NOT_A_DIGIT

pytestmark = pytest.mark.train


def some_set(kind: type, name: str = "mnist", count: int = 6) -> TrainingSet | EvaluationSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return kind(name, "ours", images, np.arange(count) % 10)


class Answering(torch.nn.Module):
    """A network that gives the same logits whatever it is asked."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.from_numpy(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


def tiny_pool() -> Pool:
    images, labels = splits.load_small_digits()
    big = np.kron(images[:400], np.ones((1, 3, 3), np.uint8))
    padded = np.pad(big, ((0, 0), (2, 2), (2, 2)))
    return Pool(padded, labels[:400], np.full(400, 1 / 400), ())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_leaves_as_onnx_unchanged(name: str) -> None:
    split = splits.load_split("digits", None)
    split = split.is_two() if name == "binary" else split
    estimator = make_estimator(name, seed=0).fit(splits.as_pixels(split.x_train), split.y_train)
    answers = run_onnx(export_sklearn(estimator, side=8), split.x_test)
    pixels = splits.as_pixels(split.x_test)
    same = np.mean(answers.argmax(1) == estimator.predict(pixels))
    assert same == 1 or (name == "knn" and same > 0.99), "neighbours equally near may come in another order"
    if hasattr(estimator, "predict_proba") and name != "knn":
        assert np.allclose(answers, estimator.predict_proba(pixels), atol=1e-4)


def test_the_network_leaves_as_onnx_unchanged() -> None:
    net = calibrated(DigitNet().eval(), 1.3)
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    logits = network_logits(net, images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    content = export_torch(net)
    assert np.allclose(run_onnx(content, images), expected, atol=1e-5)
    assert b"/worker/training" not in content, "no path of the machine that trained it"


def test_eight_bits_say_what_the_network_says(tmp_path: Path) -> None:
    pool, schedule = tiny_pool(), Schedule(epochs=3, samples_an_epoch=640, batch=32)
    net = train_cnn(pool, schedule, run_dir=tmp_path, report=lambda _: None).module_
    content = export_torch(net)
    small = quantize(content, pool.images[:128])
    answers, expected = run_onnx(small, pool.images), run_onnx(content, pool.images)
    assert len(small) < len(content) / 3
    assert np.abs(answers - expected).mean() < 0.01
    assert np.allclose(answers.sum(1), 1, atol=1e-5), "confidences keep their fine steps"
    sure = expected.max(1) > 0.6
    assert np.array_equal(answers.argmax(1)[sure], expected.argmax(1)[sure])


def test_a_set_to_measure_by_is_refused_for_training() -> None:
    with pytest.raises(DataUseError, match="never trains"):
        mix_pool([some_set(TrainingSet), some_set(EvaluationSet, "cvl_eval")])  # type: ignore[list-item]


def test_development_and_reporting_halves_share_no_row() -> None:
    whole = some_set(EvaluationSet, "cvl_eval", 7)
    halves = [whole.development(), whole.reporting()]
    assert [len(half) for half in halves] == [4, 3]
    assert np.array_equal(halves[0].images, whole.images[::2])
    by_amount = EvaluationSet("car", "", whole.images, whole.labels, rows=np.array([0, 0, 1, 1, 2, 3, 3]))
    assert len(by_amount.development()) == 3, "digits of one amount stay together"


def test_pool_shares_do_not_depend_on_how_large_a_set_is() -> None:
    pool = mix_pool([some_set(TrainingSet, "mnist", 90), some_set(TrainingSet, "semeion", 10)])
    assert pool.weights.sum() == pytest.approx(1)
    assert pool.weights[:90].sum() / pool.weights[90:].sum() == pytest.approx(SHARES["mnist"] / SHARES["semeion"])


def test_plain_strokes_are_told_from_shapes() -> None:
    stroke, corner = np.zeros((28, 28), np.uint8), np.zeros((28, 28), np.uint8)
    stroke[4:24, 13:15] = 255
    corner[4:24, 5:7] = corner[22:24, 5:22] = 255
    assert looks_like_one(stroke)
    assert not looks_like_one(stroke.T)
    assert not looks_like_one(corner)


def test_augmentation_changes_images_and_repeats_from_its_seed() -> None:
    images = tiny_pool().images[:20]
    first, again, other = (augment(images, STRONG, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert first.shape == images.shape


def test_part_of_each_batch_is_left_as_it_is() -> None:
    images = tiny_pool().images[:40]
    mixed = augment_mixture(images, MIXTURES["plain"], torch.Generator().manual_seed(0))
    same = (mixed == images).all((1, 2))
    assert same[34:].all(), "the last 15 % are read as most images are: through normalization alone"
    assert not same[:34].any()


def test_two_epochs_see_the_same_images_each_in_an_order_of_its_own() -> None:
    epochs = AugmentedEpochs(tiny_pool(), Schedule(epochs=4, samples_an_epoch=128, batch=32, seed=3))
    seen = [
        [(x.tobytes(), int(y)) for images, labels in epochs for x, y in zip(images.numpy(), labels, strict=True)]
        for _ in range(3)
    ]
    assert sorted(seen[0]) == sorted(seen[1])
    assert seen[0] != seen[1]
    assert sorted(seen[1]) != sorted(seen[2])


def test_joined_glyphs_are_new_characters() -> None:
    rng = np.random.default_rng(0)
    glyphs = np.stack([cv2.circle(np.zeros((28, 28), np.uint8), (14, 14), r, 255, 2) for r in (5, 7, 9, 11)])
    joined = join_glyphs(glyphs, 20, rng)
    assert joined.shape == (20, 28, 28)
    holes = [cv2.findContours(image, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[1] for image in joined]
    assert all((tree[0, :, 3] >= 0).sum() >= 2 for tree in holes), "two rings each"


def test_a_stopped_training_is_taken_up_where_it_was(tmp_path: Path) -> None:
    pool, schedule = tiny_pool(), Schedule(epochs=2, samples_an_epoch=128, batch=32, seed=3)
    whole = train_cnn(pool, schedule, run_dir=tmp_path / "whole", report=lambda _: None)

    class StoppedError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise StoppedError

    with pytest.raises(StoppedError):
        train_cnn(pool, schedule, run_dir=tmp_path / "stopped", report=stop)
    said: list[str] = []
    resumed = train_cnn(pool, schedule, run_dir=tmp_path / "stopped", report=said.append)
    assert said[0] == "taking up after epoch 1"
    for name, weight in whole.module_.state_dict().items():
        assert np.allclose(weight, resumed.module_.state_dict()[name], atol=1e-5), name


def test_teachers_and_network_are_kept_and_taken_up(tmp_path: Path) -> None:
    pool, schedule = tiny_pool(), Schedule(epochs=4, samples_an_epoch=64, batch=32)
    net = train_distilled(pool, schedule, run_dir=tmp_path, report=lambda _: None).module_
    said: list[str] = []
    again = train_distilled(pool, schedule, run_dir=tmp_path, report=said.append).module_
    assert [line for line in said if "epoch" in line] == [f"taking up after epoch {n}" for n in (8, 4, 1)]
    assert np.allclose(network_logits(net, pool.images[:9]), network_logits(again, pool.images[:9]), atol=1e-4)


def test_targets_are_what_teachers_answer_together_but_for_what_the_loss_leaves_out() -> None:
    sure, unsure = np.zeros((500, 11), np.float32), np.zeros((500, 11), np.float32)
    sure[:, 4], unsure[:, 5] = 8, 2
    teachers = (Answering(sure), Answering(unsure))
    pool, stroke = tiny_pool(), np.zeros((28, 28), np.uint8)
    stroke[4:24, 13:15] = 255
    uprights = Pool(np.stack([stroke] * 400), np.full(400, NOT_A_DIGIT), pool.weights, ())
    schedule = Schedule(epochs=1, samples_an_epoch=64, batch=32)
    for each, together in ((pool, np.exp([4.0, 1.0])), (uprights, np.zeros(2))):
        targets = torch.cat([t for _, t in DistilledEpochs(each, schedule, teachers=teachers)]).numpy()
        expected = together / (together.sum() + 9) if together.any() else together
        rows = targets[:, 4:6] if together.any() else targets[np.abs(targets).sum(1) == 0][:, 4:6]
        assert len(rows) > 32
        assert np.allclose(rows, expected, atol=1e-4)


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in shares])
    assert fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.1)
    shared = fit_shared_temperature([(logits * 3, labels), (logits * 2, labels)])
    assert 2 < shared < 3, "a compromise between the sources"
    assert negative_log_likelihood(logits, labels) < negative_log_likelihood(logits * 3, labels)


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    probabilities = np.tile([0.8, 0.2], (10, 1))
    labels = np.array([0] * 8 + [1] * 2)
    assert metrics.digit_calibration_error(probabilities, labels) == pytest.approx(0)
    assert metrics.digit_calibration_error(probabilities, np.zeros(10, int)) == pytest.approx(0.2)


def test_acceptance_stops_where_precision_ends() -> None:
    confidence = np.linspace(0.99, 0.6, 100)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = np.zeros(100, int)
    labels[60:] = 1
    assert metrics.accepted_at_precision(probabilities, labels, precision=0.999) == pytest.approx(0.6)
    assert metrics.accepted_at_precision(probabilities, labels, precision=0.95) == pytest.approx(0.63)


def test_refusal_is_measured_at_the_threshold_that_digits_pass() -> None:
    digits, strangers = np.zeros((100, 11)), np.zeros((10, 11))
    digits[:, 10] = np.linspace(0, 0.5, 100)
    strangers[:, 10] = [0.9] * 8 + [0.1] * 2
    assert metrics.refused_while_passing(strangers, digits) == pytest.approx(0.8)


def test_a_trained_model_is_written_read_back_and_reported(tmp_path: Path) -> None:
    split, path = splits.load_split("digits", None), tmp_path / "sgd-digits" / "model.onnx"
    card = train_classic("sgd", "digits", split, seed=0, path=path)
    assert read_verified_model(path)[1] == card
    assert card.metrics["test"]["accuracy"] > 0.9
    evaluation = evaluate_run("sgd", "digits", split, path=path, folds=2, fold_samples=300)
    assert evaluation.accuracy == pytest.approx(card.metrics["test"]["accuracy"], abs=1e-4)
    assert len(evaluation.folds) == 2
    write_report(evaluation, tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == 5
    assert "$" not in report.partition("<body>")[2].partition("<img")[0]


def test_a_perfect_model_is_reported_too(tmp_path: Path) -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    sure = np.eye(11, dtype=np.float32)[:3]
    write_report(Evaluation("perfect", images, np.arange(3), sure, CLASSES), tmp_path / "report.html")
    assert "100.00 %" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_commands_train_and_evaluate(tmp_path: Path) -> None:
    runner, runs = CliRunner(), ["--data", "digits", "--runs", str(tmp_path)]
    trained = runner.invoke(icr, ["train", "binary", *runs])
    assert trained.exit_code == 0, trained.output
    evaluated = runner.invoke(icr, ["evaluate", "binary", *runs, "--folds", "2", "--fold-samples", "200"])
    assert evaluated.exit_code == 0, evaluated.output
    assert "cross-validation" in evaluated.output
    assert (tmp_path / "binary-digits" / "report.html").exists()


def test_the_shipped_network_is_prolonged_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command on a pool of 400 digits and two short epochs, without the sets that calibrate and measure."""
    ends: dict[str, dict[str, torch.Tensor]] = {}

    def note_ends(pool: Pool, schedule: Schedule, **how: Any) -> Any:
        ends["first"] = {name: value.clone() for name, value in how["start"].items()}
        trained = train_cnn(pool, schedule, **how)
        ends["last"] = {name: value.clone() for name, value in trained.module_.state_dict().items()}
        return trained

    def note_shipped(net: DigitNet, *args: Any, **how: Any) -> Any:
        ends["shipped"] = {name: value.clone() for name, value in net.state_dict().items()}
        return laboratory_ships(net, *args, **how)

    laboratory_ships = laboratory.ship_cnn
    monkeypatch.setattr(laboratory, "train_cnn", note_ends)
    monkeypatch.setattr(laboratory, "ship_cnn", note_shipped)
    monkeypatch.setattr("worker.training.digits.pool.cached_pool", lambda *_, **__: tiny_pool())
    monkeypatch.setattr("worker.training.digits.net.Schedule", partial(Schedule, samples_an_epoch=128, batch=32))
    monkeypatch.setattr(production, "calibrate", lambda *_: production.Calibration(1.3, ()))
    monkeypatch.setattr(production, "measure_production", lambda *_, **__: [])

    asked = [
        "train",
        "cnn",
        "--prolong",
        "--epochs",
        "2",
        "--data-dir",
        str(tmp_path),
        "--runs",
        str(tmp_path / "runs"),
    ]
    made = CliRunner().invoke(icr, asked, catch_exceptions=False)
    assert made.exit_code == 0, made.output
    first, last, shipped = (ends[name]["head.weight"] for name in ("first", "last", "shipped"))
    assert not torch.equal(first, last)
    assert torch.allclose(shipped, (first + last) / 2, atol=1e-6)
    content, card = read_verified_model(tmp_path / "runs" / "cnn-seed0" / "digits.onnx")
    before = read_card(card_path(MODELS_DIR / DIGITS))
    assert card.description.endswith(f"{before.version} trained on, halfway between both")
    images = tiny_pool().images
    agree = run_onnx(content, images).argmax(1) == load_recognizers().classify_digits(images).argmax(1)
    assert agree.mean() > 0.8, "a few steps do not make another network"


def test_a_model_never_trained_is_asked_for_by_its_command(tmp_path: Path) -> None:
    asked = CliRunner().invoke(icr, ["evaluate", "tree", "--data", "digits", "--runs", str(tmp_path)])
    assert "icr train tree --data digits" in str(asked.exception)


@pytest.mark.parametrize(("name", "least"), [("digits-logistic", 0.94), ("digits-svc", 1.0)])
def test_small_classics_come_out_as_published(name: str, least: float) -> None:
    assert reproduce(CLASSICS[name], None).accuracy >= least


@needs_data("digits/mnist.npz")
def test_sets_come_marked_with_their_use() -> None:
    train, calibration, test = data.load_mnist(DATA_DIR)
    assert not set(train.writers) & set(calibration.writers), "calibration writers never train"
    assert isinstance(test, EvaluationSet)
    of_digits = (data.load_cvl, data.load_usps, data.load_dida, data.load_car_a)
    for load in (*of_digits, data.load_held_out_glyphs, data.load_kmnist, data.load_empty_cells):
        assert isinstance(load(DATA_DIR), EvaluationSet)
