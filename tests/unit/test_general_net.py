"""The general reader's network against the published graph, and what becomes of it on its way to the worker."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.data import NEEDS_TRAIN

torch = pytest.importorskip("torch", reason=NEEDS_TRAIN)

from worker.fields.line_reader.decoding import ALPHABET  # noqa: E402 - PyTorch's absence skips the file first
from worker.training.general.model import store_in_16_bits  # noqa: E402
from worker.training.general.net import GeneralNet, Shipped, export_onnx, load_pretrained  # noqa: E402
from worker.training.general.pretrained import MEMBER, fetch_pretrained  # noqa: E402

pytestmark = pytest.mark.train


def _run(content: bytes, lines: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: lines})[0])


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = importlib.util.find_spec("rapidocr")
    if found is None or found.origin is None:
        pytest.skip("needs the wheel of rapidocr, which carries the published weights")
    folder = tmp_path_factory.mktemp("pretrained")
    (folder / Path(MEMBER).name).symlink_to(Path(found.origin).parents[1] / MEMBER)
    return fetch_pretrained(folder)


@pytest.mark.parametrize("width", [160, 328])
def test_at_step_zero_it_is_the_published_model(graph: Path, width: int) -> None:
    lines = np.random.default_rng(width).integers(0, 256, (2, 48, width), np.uint8)
    greys = np.repeat(lines[:, None].astype(np.float32) / 127.5 - 1, 3, axis=1)
    (listed,) = (entry.value for entry in onnx.load(graph).metadata_props if entry.key == "character")
    columns = [1 + listed.split("\n").index(sign) for sign in ALPHABET] + [0]
    published = _run(graph.read_bytes(), greys)[:, :, columns]
    with torch.no_grad():
        ours = Shipped(load_pretrained(graph).eval())(torch.from_numpy(lines)).exp().numpy()
    assert ours == pytest.approx(published / published.sum(axis=2, keepdims=True), abs=1e-5)


def test_the_exported_graph_answers_as_the_network_at_any_width() -> None:
    torch.manual_seed(0)
    net = GeneralNet().eval()
    content = export_onnx(net)
    for count, width in ((1, 160), (3, 264)):
        lines = np.random.default_rng(width).integers(0, 256, (count, 48, width), np.uint8)
        with torch.no_grad():
            expected = Shipped(net)(torch.from_numpy(lines)).numpy()
        assert _run(content, lines) == pytest.approx(expected, abs=1e-4)
        assert expected.shape == (count, width // 8, len(ALPHABET) + 1)


def test_weights_in_16_bits_halve_the_file_and_keep_the_answers() -> None:
    torch.manual_seed(0)
    content = export_onnx(GeneralNet().eval())
    small = store_in_16_bits(content)
    lines = np.random.default_rng(1).integers(0, 256, (2, 48, 200), np.uint8)
    assert len(small) < 0.52 * len(content)
    assert _run(small, lines) == pytest.approx(_run(content, lines), abs=0.02)


def test_another_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / Path(MEMBER).name).write_bytes(b"another")
    with pytest.raises(Exception, match="expected sha256"):
        fetch_pretrained(tmp_path)
