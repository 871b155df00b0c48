"""From the trained network to the shipped witness: its threshold, ONNX with 8-bit weights, and the card."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.digits.framing import FRAME, frame_digits
from worker.fields.judging.confidence import judge
from worker.fields.line_reader.transcription import transcribe
from worker.models.card import DataSetEntry, ModelCard, write_model
from worker.models.runtime import ALTERATIONS, MODELS_DIR
from worker.training.alterations.train import AlterationNet, AlterationPlan
from worker.training.export import export_whole, quantize
from worker.training.fields.truth import SOURCES, LabelledField, load_fields, split
from worker.values import Recognizers

FALSELY_DOUBTED = 0.003
"""Share of the clean digits of fields that are read right and surely that may be doubted; they choose the threshold."""
SETS = (
    ("UNIPEN train_r01_v07, numbers", 3318, "whole numbers of pens drawn anew, held-out writers left out", "CC BY 4.0"),
    ("UNIPEN train_r01_v07, digits", 12486, "pens' digits drawn anew, held-out writers left out", "CC BY 4.0"),
    ("pendigits_orig", 10992, "pens' digits drawn anew", "CC BY 4.0"),
    ("ujipenchars1", 220, "pens' digits drawn anew", "UCI repository"),
    ("mnist", 53988, "as scanned, and skeletons drawn with other pens", "public (NIST)"),
    ("optdigits32", 2880, "as scanned, and skeletons drawn with other pens", "CC BY 4.0"),
    ("hwd1000", 1000, "as scanned, and skeletons drawn with other pens", "MIT"),
    ("semeion", 1593, "skeletons drawn with other pens", "CC BY 4.0"),
    ("swiss_numbers", 10998, "as scanned, and skeletons drawn with other pens", "CC0 1.0"),
    ("nsysu_digits", 1890, "as scanned, and skeletons drawn with other pens", "ODbL 1.0, contents DbCL 1.0"),
)


class Witness(nn.Module):
    """The network as it ships: what it doubts as much as ``threshold``, a logit, is 0.5."""

    def __init__(self, net: AlterationNet, threshold: float) -> None:
        super().__init__()
        self.net, self.threshold = net, threshold

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, 10) of 0 to 1 for (N, 32, 32) uint8."""
        return torch.sigmoid(self.net(images) - self.threshold)


def make_alteration_model(
    net: AlterationNet,
    plan: AlterationPlan,
    samples: NDArray[np.uint8],
    *,
    data_dir: Path,
    recognizers: Recognizers,
    models_dir: Path = MODELS_DIR,
    report: Callable[[str], None] = print,
) -> ModelCard:
    """Choose the threshold on the development halves, and write the model and its card.

    ``samples``, (N, 32, 32), show the ranges of the layers.
    """
    fields = [f for name in SOURCES for f in split(load_fields(data_dir, name), development=True)]
    images, digits = clean_digits(fields, recognizers)
    threshold = choose_threshold(net, images, digits)
    report(f"threshold {threshold:.2f} on {len(images)} digits")
    content = quantize(export_whole(Witness(net, threshold), side=FRAME, output="doubts"), samples)
    report(f"{ALTERATIONS}: {len(content) / 1e3:.0f} kB")
    created = dt.datetime.now(dt.UTC).replace(microsecond=0)
    card = ModelCard(
        name="alterations",
        version=created.strftime("%Y.%m.%d-%H%M"),
        sha256="",
        created=created.isoformat(),
        description="Tells digits that were struck out or written over from clean ones; it doubts and reads nothing",
        classes=list("0123456789"),
        input="images: (N, 32, 32) uint8, white ink on black, as worker.digits.framing makes it",
        output="doubts: (N, 10) float32 from 0 to 1; from 0.5 a digit that is read as this one may be altered",
        training=[DataSetEntry(name=n, samples=count, used_for=use, licence=terms) for n, count, use, terms in SETS],
        calibration={"threshold": round(threshold, 4), "falsely_doubted": FALSELY_DOUBTED, "digits": len(images)},
        settings={"seed": plan.seed, "digits": plan.digits, "epochs": plan.epochs},
        notes="The threshold is chosen on digits of the development halves of the evaluation sets.",
    )
    return write_model(models_dir / ALTERATIONS, content, card)


def clean_digits(
    fields: Sequence[LabelledField], recognizers: Recognizers
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the framed digits (N, 32, 32) of fields that are read right and surely, and what they are (N,)."""
    calibration = recognizers.calibration.free
    inks, digits = [], []
    for field in fields:
        (seen,) = transcribe([field.crop], recognizers)
        if seen.digits and seen.text == field.truth and calibration.is_enough(judge(seen, calibration)):
            inks += [cut.ink for cut in seen.cuts]
            digits += [int(digit) for digit in seen.text]
    return frame_digits(inks), np.array(digits, np.int64)


@torch.no_grad()
def choose_threshold(net: AlterationNet, images: NDArray[np.uint8], digits: NDArray[np.int64]) -> float:
    """Return the logit that ``FALSELY_DOUBTED`` of clean digits reach."""
    logits = net(torch.from_numpy(images)).numpy()[np.arange(len(digits)), digits]
    return float(np.quantile(logits, 1 - FALSELY_DOUBTED))
