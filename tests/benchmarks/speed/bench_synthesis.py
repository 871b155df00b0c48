"""How fast fields are drawn, and their proportions beside real ones; docs/explanation/synthesis.md keeps the figures.

Real proportions are measured on the development half (even rows) of ``check_amounts_car_a``, where it is.
"""

from __future__ import annotations

import csv
import json
import time
from itertools import pairwise

import cv2
import numpy as np

from tests.support.data import DATA_DIR
from worker.synthesis.digits import draw_digit, draw_non_digit
from worker.synthesis.fields import draw_field

AMOUNTS = DATA_DIR / "fields" / "check_amounts_car_a"
Written = list[tuple[str, tuple[float, float, float, float]]]
"""The digits of one field with their boxes (x, y, w, h)."""


def real_fields() -> list[Written]:
    boxes = json.loads((AMOUNTS / "boxes.json").read_text())
    with (AMOUNTS / "labels.csv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)][::2]
    return [[(d["digit"], tuple(d["bbox_xywh"])) for d in boxes[name]] for name in names]


def drawn_fields(count: int) -> list[Written]:
    samples = [draw_field(np.random.default_rng(seed)) for seed in range(count)]
    return [
        [(sign, tuple(box)) for sign, box in zip(s.text, s.boxes, strict=True) if sign.isdigit()]
        for s in samples
        if "#" not in s.text
    ]


def proportions(fields: list[Written]) -> dict[str, float]:
    """Return medians: each digit's width over height; gaps and the height of a 0 in median heights."""
    measures: dict[str, list[float]] = {str(d): [] for d in range(10)} | {"gap": [], "height of 0": []}
    for field in fields:
        usual = float(np.median([box[3] for _, box in field]))
        for sign, box in field:
            measures[sign].append(box[2] / box[3])
            if sign == "0" and len({s for s, _ in field}) > 2:
                measures["height of 0"].append(box[3] / usual)
        for (_, a), (_, b) in pairwise(field):
            measures["gap"].append((b[0] - a[0] - a[2]) / usual)
    return {name: float(np.median(values)) for name, values in measures.items()}


def main() -> None:
    cv2.setNumThreads(1)
    drawn = drawn_fields(1000)  # the textures are drawn, too, before the clock starts
    rng = np.random.default_rng(0)
    for draw in (draw_field, draw_digit, draw_non_digit):
        batches = []
        for _ in range(10):
            start = time.process_time()
            for _ in range(50):
                draw(rng)
            batches.append((time.process_time() - start) * 20)
        print(f"{draw.__name__}: {min(batches):.2f} ms in the best of ten batches")
    rows = {"drawn": proportions(drawn)}
    if AMOUNTS.exists():
        rows["real"] = proportions(real_fields())
    for name, row in rows.items():
        print(name, " ".join(f"{key}: {value:.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
