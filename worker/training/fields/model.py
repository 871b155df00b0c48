"""From a trained network to the shipped model: ONNX, calibrated, with its card."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.calibration import ReadersCalibration, keep_calibration
from worker.fields.line_reader.decoding import ALPHABET
from worker.models.card import DataSetEntry, ModelCard, card_path, read_card, read_verified_model, write_model
from worker.models.runtime import DIGITS, GENERAL, LINE_READER, MODELS_DIR, load_recognizers
from worker.training.export import quantize
from worker.training.fields.calibration import (
    Evidence,
    choose_promises,
    collect_evidence,
    collect_row_evidence,
    fit_calibration,
)
from worker.training.fields.net import FieldsNet, export_onnx, head_nodes
from worker.training.fields.samples import draw_line
from worker.training.fields.truth import LabelledField, load_fields, split
from worker.training.general.held_out import draw_held_out_fields, draw_held_out_rows

HELD_OUT_TO_FIT = {"free": 2500, "cells": 900}
HELD_OUT_TO_PROMISE = {"free": 40000, "cells": 8000}
"""Fields of held-out writers drawn on paper: half of the writers to fit confidence, the other half to promise."""
HELD_OUT_SEED = 63
"""Added to the seed. The fields that promise are asked once: another model wants others."""
CALIBRATION_SOURCES = {
    "free": ("check_amounts_car_a", "cheque_amounts_in", "nist_hsf_pages", "weather_tables"),
    "cells": ("cheque_dates_in", "exam_id_pages", "comb_forms_photos", "comb_forms_small"),
}
"""Not parish_row_ids: one in twenty of its labels is wrong, and would make every sure reading look unsure."""
Layout = Literal["free", "cells"]
BESIDE = {"digits": DIGITS, "general": GENERAL}
"""The models with which a line reader is calibrated."""

DESCRIPTION = "Reads a line of handwritten digits whole: convolutional networks with CTC, trained on drawn strings only"
NOTES = (
    "Confidence and promise hold for these networks beside the digit model {digits} and the general reader {general} "
    "only. The promise is shown on drawings of held-out UNIPEN writers. Fields of another source may be read worse; "
    "`icr calibrate` shows a promise on them. docs/reference/accuracy.md has the accuracy on real sets."
)
FITTED, PROMISED = "confidence fitted, and nothing trained", "promise shown, and nothing trained"
SKELETONS = (
    ("mnist", 53988, "public (NIST)"),
    ("optdigits32", 2880, "CC BY 4.0"),
    ("hwd1000", 1000, "MIT"),
    ("semeion", 1593, "CC BY 4.0"),
    ("swiss_numbers", 10998, "CC0 1.0"),
    ("nsysu_digits", 1890, "ODbL 1.0, contents DbCL 1.0"),
)
"""The sets of ``worker.training.fields.glyphs`` with the number of their digits that are drawn, and their licences."""
PENS = (
    ("UNIPEN train_r01_v07", 15804, "CC BY 4.0"),
    ("pendigits_orig", 10992, "CC BY 4.0"),
    ("ujipenchars1", 220, "UCI repository"),
)
"""The sets of recorded pens with the number of their numbers and digits that are drawn, held-out writers left out."""
CALIBRATION_LICENCES = {
    "check_amounts_car_a": "research",
    "cheque_amounts_in": "research",
    "cheque_dates_in": "research",
    "nist_hsf_pages": "US government work",
    "exam_id_pages": "BSD-3-Clause",
    "comb_forms_photos": "Apache-2.0",
}
"""Of the sets in ``CALIBRATION_SOURCES``; those of the others are not known."""


@dataclass(frozen=True, slots=True)
class TrainedNet:
    """A network and what the card says of its training: strings seen, minutes, seed."""

    net: FieldsNet
    seed: int
    lines: int
    minutes: float


def make_model(
    trained: Sequence[TrainedNet],
    *,
    data_dir: Path,
    models_dir: Path = MODELS_DIR,
    report: Callable[[str], None] = print,
) -> ModelCard:
    """Export the networks, calibrate them with the digit model beside them, and write both files of the model.

    The last layers stay in 32 bits: steps of 1/255 could not tell a probability of 0.998 from 0.9998.
    """
    whole = export_onnx([one.net for one in trained])
    content = quantize(whole, _sample_lines(trained[0].seed), name="lines", keep=head_nodes(len(trained)))
    write_model(models_dir / LINE_READER, content, _card(trained))
    if not (models_dir / DIGITS).exists():  # confidence is fitted with both readers
        for name in (DIGITS, card_path(Path(DIGITS)).name):
            shutil.copy(MODELS_DIR / name, models_dir / name)
    report("calibrating")
    return recalibrate(models_dir, data_dir=data_dir)


def recalibrate(models_dir: Path, *, data_dir: Path) -> ModelCard:
    """Fit the confidence of a folder's line reader anew with the digit model beside it, and keep it in the card."""
    content, card = read_verified_model(models_dir / LINE_READER)
    kept = calibrate_model(models_dir, data_dir, int(card.settings["seeds"][0]))
    beside = {
        name: read_card(card_path(models_dir / graph)).version if (models_dir / graph).exists() else "none"
        for name, graph in BESIDE.items()
    }
    trained = [entry for entry in card.training if entry.used_for not in (FITTED, PROMISED)]
    update = {
        "calibration": keep_calibration(kept),
        "description": DESCRIPTION,
        "training": [*trained, *_calibration_entries(data_dir)],
        "notes": NOTES.format(**beside),
    }
    return write_model(models_dir / LINE_READER, content, card.model_copy(update=update))


def _calibration_entries(data_dir: Path) -> list[DataSetEntry]:
    """Return what the card says of the sets that confidence is fitted on, and that the promise is shown on."""
    entries = [
        DataSetEntry(
            name=f"{source}, development half",
            samples=len(development_fields(data_dir, (source,))),
            used_for=FITTED,
            licence=CALIBRATION_LICENCES.get(source, "not known"),
        )
        for sources in CALIBRATION_SOURCES.values()
        for source in sources
    ]
    pens = "UNIPEN train_r01_v07, held-out writers, drawn"
    for use, counts in ((FITTED, HELD_OUT_TO_FIT), (PROMISED, HELD_OUT_TO_PROMISE)):
        entries.append(DataSetEntry(name=pens, samples=sum(counts.values()), used_for=use, licence="CC BY 4.0"))
    return entries


def _sample_lines(seed: int, count: int = 256, width: int = 128) -> NDArray[np.uint8]:
    """Return drawn lines (count, 40, width), cut to one width, by which the layers' ranges are measured."""
    rng = np.random.default_rng([seed, 78])
    lines: list[NDArray[np.uint8]] = []
    while len(lines) < count:
        line = draw_line(rng)
        if line is not None and line.image.shape[1] >= width:
            lines.append(line.image[:, :width])
    return np.stack(lines)


def calibrate_model(models_dir: Path, data_dir: Path, seed: int) -> ReadersCalibration:
    """Fit confidence on held-out writers and development halves, promise on other held-out writers.

    Free fields and rows of cells have each their own; the four sets are read by two processes.
    """
    asked: list[tuple[Layout, bool]] = [(layout, to_fit) for to_fit in (False, True) for layout in ("free", "cells")]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        jobs = {
            part: processes.submit(_gather, models_dir, data_dir, seed, layout=part[0], to_fit=part[1])
            for part in asked
        }
        read = {part: job.result() for part, job in jobs.items()}
    free, cells = (
        choose_promises(fit_calibration(read[layout, True]), read[layout, False]) for layout in ("free", "cells")
    )
    return ReadersCalibration(free, cells)


def _gather(models_dir: Path, data_dir: Path, seed: int, *, layout: Layout, to_fit: bool) -> Evidence:
    """Read one set: free fields or rows of cells, to fit confidence (real ones, too) or to show the promise."""
    cv2.setNumThreads(1)
    draw, collect = (
        (draw_held_out_rows, collect_row_evidence) if layout == "cells" else (draw_held_out_fields, collect_evidence)
    )
    count = (HELD_OUT_TO_FIT if to_fit else HELD_OUT_TO_PROMISE)[layout]
    fields = draw(data_dir, count, seed + HELD_OUT_SEED, half=int(to_fit))
    if to_fit:
        fields = [*development_fields(data_dir, CALIBRATION_SOURCES[layout]), *fields]
    return collect([f for f in fields if f.crop.spec.layout == layout], load_recognizers(models_dir))


def development_fields(data_dir: Path, sources: Sequence[str]) -> list[LabelledField]:
    """Return the development halves of the sets that confidence is fitted on."""
    return [f for source in sources for f in split(load_fields(data_dir, source), development=True)]


def _card(trained: Sequence[TrainedNet]) -> ModelCard:
    created = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return ModelCard(
        name="fields",
        version=created.strftime("%Y.%m.%d-%H%M"),
        sha256="",
        created=created.isoformat(),
        description=DESCRIPTION,
        classes=[*ALPHABET, "blank"],
        input="lines: (N, 40, W) uint8, 255 = ink, W a multiple of 4; see worker.fields.line_reader.normalization",
        output="log_probabilities: (N, networks, W / 4, 18) float32",
        training=[
            DataSetEntry(name=name, samples=count, used_for=use, licence=licence)
            for use, sets in (("skeletons drawn with other pens", SKELETONS), ("pens drawn anew", PENS))
            for name, count, licence in sets
        ],
        settings={
            "seeds": [one.seed for one in trained],
            "minutes": [round(one.minutes, 1) for one in trained],
            "lines": [one.lines for one in trained],
            "drawn": "worker.synthesis",
        },
    )
