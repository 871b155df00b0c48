"""Labelled fields to measure readers on: the shared sets, and a user's own ``labels.csv``.

No set here trains a reader. The even rows of a ``labels.csv`` are for development (choosing, calibrating, looking at
errors), the odd rows for reporting. If rows alternate by kind, as the amounts and dates of one cheque do, whole
cheques alternate.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from schemas.form_template import FieldSpec
from worker.errors import PermanentError
from worker.values import Box, FieldCrop, Grey, freeze

MARGIN_SHARE = 0.12
"""Paper that is cut with a labelled box of a page, in heights of the box."""

Row = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledField:
    """The crop of a field and its ground truth; ``source`` names its set, ``development`` tells its half."""

    source: str
    crop: FieldCrop
    truth: str
    development: bool


def load_fields(data_dir: Path, source: str) -> list[LabelledField]:
    """Load one of ``SOURCES``; fields whose truth is unreadable to people are left out."""
    folder, select, describe = SOURCES[source]
    path = data_dir / "fields" / folder
    rows = [(i, row) for i, row in enumerate(read_rows(path / "labels.csv")) if select(row)]
    cut = _Cutter(path)
    found = []
    for i, row in rows:
        truth = row.get("label") or row.get("digits") or row.get("numeric_id", "")
        if not truth.isdigit():
            continue
        half = i // 2 if folder == "cheque_fields_in" else i
        crop = cut(row, describe(row, truth))
        found.append(LabelledField(source, crop, truth, half % 2 == 0))
    return found


def load_own_fields(labels: Path) -> list[LabelledField]:
    """Load a user's labelled fields.

    ``labels`` is a CSV with the columns ``file`` (relative to it) and ``digits`` (empty for a blank field),
    and optionally ``box_x, box_y, box_w, box_h`` (pixels; without them the file is the field), ``kind``,
    ``cells`` and ``source``.
    """
    cut = _Cutter(labels.parent)
    found = []
    for i, row in enumerate(read_rows(labels)):
        if "file" not in row or "digits" not in row:
            raise PermanentError(f"{labels} needs the columns 'file' and 'digits'")
        spec = _spec(kind=row.get("kind") or "number", cells=int(row["cells"]) if row.get("cells") else None)
        found.append(LabelledField(row.get("source") or "own", cut(row, spec), row["digits"], i % 2 == 0))
    return found


def read_rows(labels: Path) -> list[Row]:
    """Return the rows of a ``labels.csv``."""
    try:
        with labels.open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))
    except OSError as error:
        raise PermanentError(f"cannot read {labels}: {error.strerror}") from error


class _Cutter:
    """Cuts labelled boxes out of pictures, each picture read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[str, Grey] | None = None

    def __call__(self, row: Row, spec: FieldSpec) -> FieldCrop:
        grey = self._read(row["file"])
        if not row.get("box_x"):
            return FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))
        x, y, w, h = (float(row[f"box_{side}"]) for side in "xywh")
        margin = MARGIN_SHARE * h
        left, top = max(0, round(x - margin)), max(0, round(y - margin))
        inner = grey[top : round(y + h + margin), left : round(x + w + margin)]
        shift = np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]])
        return FieldCrop(spec, np.ascontiguousarray(inner), Box(x, y, w, h), shift)

    def _read(self, name: str) -> Grey:
        if self._last is None or self._last[0] != name:
            picture = cv2.imread(str(self._folder / name), cv2.IMREAD_GRAYSCALE)
            if picture is None:
                raise PermanentError(f"cannot read the picture {self._folder / name}")
            self._last = name, freeze(np.asarray(picture, np.uint8))
        return self._last[1]


def _spec(*, kind: str = "code", cells: int | None = None, digits: Any = None, filled: bool = False) -> FieldSpec:
    return FieldSpec.model_validate(
        {
            "name": "field",
            "box_mm": (0, 0, 100, 20),
            "kind": kind,
            "layout": "cells" if cells else "free",
            "cells": cells,
            "digits": digits,
            "filled": filled,
        }
    )


def _comb(row: Row, truth: str) -> FieldSpec:
    words = row["note"].split("comb field of ")
    cells = int(words[1].split()[0]) if len(words) > 1 else None
    return _spec(cells=cells, digits=None if cells else {"min": 1, "max": max(2, len(truth))})


def _always(_: Row) -> bool:
    return True


SOURCES: dict[str, tuple[str, Callable[[Row], bool], Callable[[Row, str], FieldSpec]]] = {
    "check_amounts_car_a": ("check_amounts_car_a", _always, lambda _, __: _spec(kind="amount")),
    "cheque_amounts_in": (
        "cheque_fields_in",
        lambda row: row["field"] == "amount",
        lambda _, __: _spec(kind="amount"),
    ),
    "cheque_dates_in": (
        "cheque_fields_in",
        lambda row: row["field"] == "date",
        lambda _, __: _spec(kind="date", cells=8, digits=8),
    ),
    "nist_hsf_pages": ("nist_hsf_pages", _always, lambda _, truth: _spec(digits=len(truth))),
    "exam_id_pages": ("exam_id_pages", _always, lambda _, __: _spec(cells=9, digits=9)),
    "forms_misc": ("forms_misc", lambda row: "approximate" not in row["note"], _comb),
    "forms_misc_rough_boxes": ("forms_misc", lambda row: "approximate" in row["note"], _comb),
    "parish_row_ids": ("parish_row_ids", _always, lambda _, __: _spec()),
    "weather_tables": ("weather_tables", _always, lambda _, __: _spec()),
    "comb_forms_photos": ("comb_forms_photos", _always, lambda _, __: _spec(cells=3, filled=True)),
    "comb_forms_small": ("comb_forms_small", _always, lambda _, __: _spec(cells=3, filled=True)),
}
"""Name -> folder, which of its rows, and what a reader is told about a field: comb forms have a cross for nothing."""


def split(fields: Iterable[LabelledField], *, development: bool) -> Iterator[LabelledField]:
    """Yield the fields of one half."""
    return (f for f in fields if f.development == development)
