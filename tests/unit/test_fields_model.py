"""The shipped line reader on drawn fields: what it reads and where; and the export to ONNX."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.fields.line_reader import transcription
from worker.fields.line_reader.reading import read_lines
from worker.fields.line_reader.transcription import transcribe
from worker.models.runtime import LINE_READER, MODELS_DIR, load_recognizers
from worker.synthesis.fields import draw_field
from worker.values import Box, FieldCrop, Recognizers


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def as_crop(grey: np.ndarray, kind: str = "number") -> FieldCrop:
    spec = FieldSpec(name="drawn", box_mm=(0, 0, 100, 20), kind=kind)
    return FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))


def drawn(count: int, seed: int, *, clean: bool) -> list[tuple[FieldCrop, str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    fields = []
    for _ in range(count):
        text = "".join(map(str, rng.integers(0, 10, rng.integers(2, 8))))
        sample = draw_field(rng, text, clean=clean)
        fields.append((as_crop(sample.grey), text, sample.boxes))
    return fields


def test_clean_fields_are_read_whole(recognizers: Recognizers) -> None:
    fields = drawn(60, 11, clean=True)
    reads = read_lines([crop for crop, _, _ in fields], recognizers)
    right = [read.text == text for read, (_, text, _) in zip(reads, fields, strict=True)]
    assert np.mean(right) >= 0.75


def test_boxes_lie_on_their_digits(recognizers: Recognizers) -> None:
    overlaps = []
    for crop, text, boxes in drawn(40, 12, clean=True):
        (read,) = read_lines([crop], recognizers)
        if read.text != text:
            continue
        for digit, (x, y, w, h) in zip(read.digits, boxes, strict=True):
            a, b = digit.box_px, Box(x, y, w, h)
            across = max(0.0, min(a.x + a.w, b.x + b.w) - max(a.x, b.x))
            down = max(0.0, min(a.y + a.h, b.y + b.h) - max(a.y, b.y))
            overlaps.append(across * down / (a.w * a.h + b.w * b.h - across * down))
    assert len(overlaps) > 60 and np.median(overlaps) > 0.7


def test_the_text_is_what_the_digits_say(recognizers: Recognizers) -> None:
    for crop, _, _ in drawn(20, 13, clean=False):
        (read,) = read_lines([crop], recognizers)
        assert read.text == "".join(str(d.digit) for d in read.digits)
        assert 0 <= read.confidence <= 1
        assert all(d.probabilities.sum() == pytest.approx(1, abs=1e-4) for d in read.digits)


def test_sure_readings_are_oftener_right(recognizers: Recognizers) -> None:
    fields = drawn(80, 14, clean=False)
    reads = read_lines([crop for crop, _, _ in fields], recognizers)
    right = np.array([read.text == text for read, (_, text, _) in zip(reads, fields, strict=True)])
    order = np.argsort([-read.confidence for read in reads])
    assert right[order[:40]].mean() > right[order[40:]].mean()


@pytest.mark.parametrize("tone", [250, 180])
def test_an_empty_field_is_blank(recognizers: Recognizers, tone: int) -> None:
    grain = np.random.default_rng(tone).normal(tone, 2, (60, 240)).clip(0, 255).astype(np.uint8)
    (read,) = read_lines([as_crop(grain)], recognizers)
    assert read.blank and read.text == "" and read.confidence > 0.99


def test_a_field_reads_the_same_in_any_company(recognizers: Recognizers) -> None:
    crops = [crop for crop, _, _ in drawn(6, 15, clean=False)]
    together = transcribe(crops, recognizers)
    for crop, seen in zip(crops, together, strict=True):
        (alone,) = transcribe([crop], recognizers)
        assert alone.text == seen.text and np.allclose(alone.alone, seen.alone, atol=1e-5)


def test_the_model_is_small_enough() -> None:
    assert (MODELS_DIR / LINE_READER).stat().st_size <= 2_000_000


@pytest.mark.train
def test_onnx_answers_as_the_network_does() -> None:
    import onnx
    import onnxruntime
    import torch

    from worker.training.fields.net import FieldsNet, Readers, export_onnx, head_nodes

    torch.manual_seed(0)
    nets = [FieldsNet().eval() for _ in range(2)]
    lines = np.random.default_rng(0).integers(0, 256, (3, 40, 88), dtype=np.uint8)
    content = export_onnx(nets)
    assert set(head_nodes(2)) <= {node.name for node in onnx.load_from_string(content).graph.node}
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {"lines": lines})
    with torch.no_grad():
        expected = Readers(nets)(torch.from_numpy(lines)).numpy()
    assert answers.shape == expected.shape == (len(lines), 2, 22, 18)
    assert np.abs(np.exp(answers) - np.exp(expected)).max() < 1e-4


def test_a_digit_that_cleaning_took_for_print_is_read_all_the_same(
    recognizers: Recognizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clean_too_well(crop: FieldCrop) -> FieldCrop:
        return replace(crop, grey=np.full_like(crop.grey, 250))

    monkeypatch.setattr(transcription, "clean_field", clean_too_well)
    sample = draw_field(np.random.default_rng(4), "8", clean=True).grey
    tall = cv2.copyMakeBorder(sample, 40, 40, 10, 10, cv2.BORDER_REPLICATE)
    assert tall.shape[0] > tall.shape[1]
    seen, empty = transcribe([as_crop(tall), as_crop(np.full_like(tall, 250))], recognizers)
    assert (seen.text, empty.text) == ("8", "")
