"""The shipped models load, answer in probabilities, and are refused when altered."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.data import DATA_DIR, needs_data
from worker.digits.classification import classify_images
from worker.errors import ModelFileError
from worker.models.card import read_card
from worker.models.runtime import BATCH, MODELS_DIR, load_recognizers, verify_models


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("digits.onnx", "digits.json", "fields.onnx", "fields.json"):
        shutil.copy(MODELS_DIR / name, tmp_path / name)
    return tmp_path


def test_rows_are_probabilities_whatever_the_count() -> None:
    recognizers = load_recognizers()
    rng = np.random.default_rng(0)
    for count in (0, 1, BATCH, BATCH + 7):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        probabilities = recognizers.classify_digits(images)
        assert probabilities.shape == (count, 11)
        assert probabilities.dtype == np.float32
        assert np.allclose(probabilities.sum(1), 1, atol=1e-4)


def test_a_batch_reads_as_its_images_do_alone() -> None:
    recognizers = load_recognizers()
    images = np.random.default_rng(1).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    alone = np.concatenate([recognizers.classify_digits(image[None]) for image in images])
    assert np.allclose(recognizers.classify_digits(images), alone, atol=1e-5)


def test_images_of_any_size_are_classified() -> None:
    images = [np.zeros((9, 40), np.uint8), np.full((33, 8), 255, np.uint8)]
    probabilities = classify_images(images, load_recognizers())
    assert probabilities.shape == (2, 11)
    assert probabilities[0].argmax() == 10, "an empty cell is not a digit"


def test_versions_name_the_shipped_card() -> None:
    card = read_card(MODELS_DIR / "digits.json")
    assert load_recognizers().versions["digits"] == card.version
    assert card.training
    assert all(each.licence for each in card.training)
    trained_on = [each.name for each in card.training if each.used_for == "training"]
    assert not [name for name in trained_on if name.endswith("_eval")], "evaluate only"


def test_an_altered_model_is_refused_with_both_checksums(models: Path) -> None:
    content = bytearray((models / "digits.onnx").read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    (models / "digits.onnx").write_bytes(content)
    with pytest.raises(ModelFileError) as refused:
        load_recognizers(models)
    assert expected in str(refused.value)
    assert hashlib.sha256(content).hexdigest() in str(refused.value)


def test_a_model_with_a_matching_card_but_no_graph_is_refused(models: Path) -> None:
    (models / "digits.onnx").write_bytes(b"not a graph")
    card = json.loads((models / "digits.json").read_text())
    card["sha256"] = hashlib.sha256(b"not a graph").hexdigest()
    (models / "digits.json").write_text(json.dumps(card))
    with pytest.raises(ModelFileError, match="cannot load"):
        load_recognizers(models)


@pytest.mark.parametrize("missing", ["digits.onnx", "digits.json", "fields.onnx", "fields.json"])
def test_a_missing_file_is_named(models: Path, missing: str) -> None:
    (models / missing).unlink()
    with pytest.raises(ModelFileError, match=missing):
        verify_models(models)
    with pytest.raises(ModelFileError, match=missing):
        load_recognizers(models)


def test_a_card_that_is_not_one_is_refused(models: Path) -> None:
    (models / "digits.json").write_text("{}")
    with pytest.raises(ModelFileError, match="not a model card"):
        load_recognizers(models)


def test_importing_the_recognizer_leaves_onnx_runtime_alone() -> None:
    code = "import sys, worker.models.runtime; sys.exit('onnxruntime' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_data("digits/mnist.npz")
def test_the_shipped_model_reads_mnist() -> None:
    with np.load(DATA_DIR / "digits" / "mnist.npz", allow_pickle=False) as stored:
        images, labels = stored["x_test"][:2000], stored["y_test"][:2000]
    probabilities = classify_images(images, load_recognizers())
    assert (probabilities.argmax(1) == labels).mean() > 0.98
