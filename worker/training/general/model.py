"""From the fine-tuned network to the shipped general reader: ONNX with its card."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.fields.line_reader.decoding import ALPHABET
from worker.models.card import DataSetEntry, ModelCard, write_model
from worker.models.runtime import GENERAL, MODELS_DIR
from worker.training.general.eight_bits import round_to_8_bits
from worker.training.general.net import GeneralNet, export_onnx
from worker.training.general.pretrained import MEMBER, PACKAGE, SHA256

DESCRIPTION = "Reads a line of handwritten digits whole, out of raw grey: PP-OCRv6 small with a head for 17 characters"
NOTES = (
    f"Changed from PP-OCRv6_rec_small (PaddleOCR, PaddlePaddle authors, Apache-2.0; {MEMBER} of {PACKAGE}, sha256 "
    f"{SHA256}): the head's 18,710 classes cut to 17 characters and blank, three input channels added into one, batch "
    "normalizations folded into convolutions, all weights fine-tuned on drawn lines and averaged "
    "with the published ones (2 : 1); where the settings name a version before, gone on from that one's. Its "
    "backbone's pointwise convolutions work in 8 bits, all else is stored in 16 and works in 32. It is not "
    "known what PP-OCRv6 was trained on: check_amounts_car_a may be part of it."
)
SETS = (
    ("UNIPEN train_r01_v07, numbers", 3318, "whole numbers of pens drawn anew, held-out writers left out", "CC BY 4.0"),
    ("UNIPEN train_r01_v07, digits", 12486, "pens' digits drawn anew, held-out writers left out", "CC BY 4.0"),
    ("pendigits_orig", 10992, "pens' digits drawn anew", "CC BY 4.0"),
    ("ujipenchars1", 220, "pens' digits drawn anew", "UCI repository"),
    ("mnist", 53988, "skeletons drawn with other pens", "public (NIST)"),
    ("optdigits32", 2880, "skeletons drawn with other pens", "CC BY 4.0"),
    ("hwd1000", 1000, "skeletons drawn with other pens", "MIT"),
    ("semeion", 1593, "skeletons drawn with other pens", "CC BY 4.0"),
    ("swiss_numbers", 10998, "skeletons drawn with other pens", "CC0 1.0"),
    ("nsysu_digits", 1890, "skeletons drawn with other pens", "ODbL 1.0, contents DbCL 1.0"),
)
"""The sets that are drawn, with the number of samples, what they are used for and their licences."""
SMALL = 1000
"""Weights of fewer numbers stay in 32 bits: biases, normalizations, and the head."""


def make_general_model(
    net: GeneralNet,
    trained: Mapping[str, Any] | None,
    lines: Sequence[NDArray[np.uint8]],
    *,
    seed: int = 0,
    models_dir: Path = MODELS_DIR,
    report: Callable[[str], None] = print,
) -> ModelCard:
    """Export a network, and write the model and its card.

    ``trained`` says how: lines used and drawn, minutes, the device. It is None for the published weights untouched.
    By ``lines`` (48, W) its weights are rounded to 8 bits.
    """
    created = dt.datetime.now(dt.UTC).replace(microsecond=0)
    sets = [DataSetEntry(name=n, samples=count, used_for=use, licence=terms) for n, count, use, terms in SETS]
    card = ModelCard(
        name="general",
        version=created.strftime("%Y.%m.%d-%H%M"),
        sha256="",
        created=created.isoformat(),
        description=DESCRIPTION if trained else f"{DESCRIPTION}, not fine-tuned yet",
        classes=[*ALPHABET, "blank"],
        input="lines: (N, 48, W) uint8, 0 = ink, W a multiple of 8; see worker.fields.line_reader.general_line",
        output="log_probabilities: (N, W / 8, 18) float32",
        training=sets if trained else [],
        settings={"pretrained": PACKAGE, "pretrained_sha256": SHA256, "seed": seed, **(trained or {})},
        notes=NOTES,
    )
    content = store_in_16_bits(round_to_8_bits(export_onnx(net), lines))
    report(f"{GENERAL}: {len(content) / 1e6:.1f} MB")
    return write_model(models_dir / GENERAL, content, card)


def store_in_16_bits(content: bytes) -> bytes:
    """Return a graph that keeps its large weights in 16 bits, and computes in 32 as before.

    ONNX Runtime casts them once, when it loads the graph: half the size costs no time and no accuracy.
    """
    model = onnx.load_from_string(content)
    kept, casts = [], []
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype != np.float32 or values.size < SMALL:
            kept.append(weights)
            continue
        stored = f"{weights.name}_16"
        kept.append(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [weights.name], to=TensorProto.FLOAT))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for node in casts:
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
