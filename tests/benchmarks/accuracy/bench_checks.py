"""Measure how many checks of the handwriting collection are read whole.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.bench_checks``
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from tests.support.data import DATA_DIR
from worker.bootstrap import build_runtime
from worker.checks.finding import Check
from worker.checks.locales import LOCALES, CheckLocale
from worker.checks.places import find_amount, find_ink
from worker.checks.reading import cut_line, specify_fields
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.reading import read_fields
from worker.training.fields.evaluation import score_checks
from worker.values import Box, FieldCrop, FieldStatus, Grey, Money


def rows_of(folder: Path, half: str) -> list[dict[str, str]]:
    """Return the rows of a labels.csv, even ones for development, odd ones for reporting."""
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))[0 if half == "development" else 1 :: 2]


def grey_of(path: Path) -> Grey:
    """Read a picture as grey."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def measure_specimens(data_dir: Path, half: str) -> None:
    """Read whole checks."""
    scores = score_checks(data_dir, build_runtime().recognizers(), development=half == "development")
    accepted = [s for s in scores if s.is_accepted]
    for s in scores if half == "development" else ():
        print(s.truth, s.text, f"{s.confidence:.3f}", "accepted" if s.is_accepted else "review")
    whole, right = sum(s.correct for s in scores), sum(s.correct for s in accepted)
    print(f"specimens, {half}: amount whole {whole} of {len(scores)}, right among accepted {right} of {len(accepted)}")


def measure_crops(folder: Path, half: str, locale: CheckLocale) -> None:
    """Read crops of amount boxes by the grammar of India."""
    rows = [r for r in rows_of(folder, "development") if r["field"] == "amount"]  # amounts stand on even rows only
    rows = rows[0 if half == "development" else 1 :: 2]
    crops = [_crop(grey_of(folder / row["file"]), locale) for row in rows]
    reads = read_fields(crops, build_runtime().recognizers())
    digits = whole = accepted = right = 0
    for row, crop, read in zip(rows, crops, reads, strict=True):
        field = decide_field(crop.spec, read, AcceptPolicy())
        truths = {int(row["digits"]), int(row["digits"]) * 100}  # labels hold digits without their point
        good = field.text == row["digits"] and isinstance(field.value, Money) and field.value.minor_units in truths
        taken = field.status is FieldStatus.ACCEPTED
        digits, whole = digits + (field.text == row["digits"]), whole + good
        accepted, right = accepted + taken, right + (good and taken)
        if half == "development":
            print(row["digits"], field.written, field.value, f"{field.confidence:.3f}", field.doubts)
    print(
        f"{locale.country} amounts, {half}: digits whole {digits} of {len(rows)}, with their value {whole}, "
        f"right among accepted {right} of {accepted}"
    )


def _crop(grey: Grey, locale: CheckLocale) -> FieldCrop:
    """Find the amount of a crop laid where it stands on its check, on paper of the same tone."""
    scale = 440 / grey.shape[1]
    crop = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    canvas = np.full((727, 1600), int(np.median(grey)), np.uint8)
    canvas[270 : 270 + crop.shape[0], 1120:1560] = crop
    check = Check(canvas, np.eye(3))
    place = find_amount(find_ink(check), locale.amount_zone, locale.sign)
    box = place.box if place else Box(1120, 270, 440, crop.shape[0])
    return cut_line(check, box, specify_fields(locale)["amount"])


def main() -> None:
    """Print the figures of docs/reference/accuracy.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["development", "reporting"], default="development")
    parser.add_argument("--only", choices=["specimens", "crops"])
    given = parser.parse_args()
    if given.only != "crops":
        measure_specimens(DATA_DIR, given.half)
    if given.only != "specimens":
        measure_crops(DATA_DIR / "fields" / "cheque_fields_in", given.half, LOCALES["IN"])


if __name__ == "__main__":
    main()
