"""The general reader's pointwise convolutions in 8 bits: what they answer, and how their weights are rounded."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.data import NEEDS_TRAIN

torch = pytest.importorskip("torch", reason=NEEDS_TRAIN)

from worker.models.runtime import GENERAL, MODELS_DIR  # noqa: E402 - PyTorch's absence skips the file first
from worker.training.general.eight_bits import round_to_8_bits, round_weights  # noqa: E402
from worker.training.general.model import store_in_16_bits  # noqa: E402
from worker.training.general.net import export_onnx  # noqa: E402
from worker.training.restoring import restore_general  # noqa: E402

pytestmark = pytest.mark.train


def _run(content: bytes, lines: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"lines": lines})[0])


def test_the_reader_answers_nearly_the_same_and_alike_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    whole = export_onnx(restore_general(MODELS_DIR / GENERAL))
    small = round_to_8_bits(whole, list(rng.integers(0, 256, (6, 48, 96), np.uint8)))
    lines = rng.integers(0, 256, (3, 48, 96), np.uint8)
    answers = _run(small, lines)
    assert np.abs(np.exp(answers) - np.exp(_run(whole, lines))).mean() < 0.01
    assert np.array_equal(answers[1:2], _run(small, lines[1:2]))
    assert len(store_in_16_bits(small)) < 0.32 * len(whole)
    nodes = onnx.load_from_string(small).graph.node
    assert sum(node.op_type == "MatMulIntegerToFloat" for node in nodes) == 26


def test_weights_make_good_each_others_rounding() -> None:
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(500, 8)) @ rng.normal(size=(8, 24)) + 0.1 * rng.normal(size=(500, 24))).astype(np.float32)
    matrix = rng.normal(size=(24, 5)).astype(np.float32)
    whole, scales = round_weights(matrix, rows)
    plain = np.round(matrix / scales) * scales
    errors = [np.abs(rows @ (each - matrix)).mean() for each in (whole * scales, plain)]
    assert errors[0] < 0.7 * errors[1]
    assert np.abs(whole).max() <= 127
