"""Measure how many checks of the handwriting collection are read whole.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.bench_checks``
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
from pathlib import Path

import cv2
import numpy as np

from tests.support.data import DATA_DIR
from worker.bootstrap import build_runtime
from worker.checks.finding import Check
from worker.checks.locales import LOCALES, CheckLocale
from worker.checks.places import find_amount, find_ink
from worker.checks.policy import CheckPolicy
from worker.checks.reading import cut_line, specify_fields
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.reading import read_fields
from worker.page_kinds import CheckPage
from worker.pipeline import read_page
from worker.values import Box, FieldCrop, FieldStatus, Grey, Money, Page


def rows_of(folder: Path, half: str) -> list[dict[str, str]]:
    """Return the rows of a labels.csv, even ones for development, odd ones for reporting."""
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))[0 if half == "development" else 1 :: 2]


def grey_of(path: Path) -> Grey:
    """Read a picture as grey."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def measure_specimens(folder: Path, half: str) -> None:
    """Read whole checks; the window is opened to their dates, which are of 2015 to 2019."""
    rules = CheckPolicy(LOCALES["US"], dt.date(2019, 12, 31), months_back=60)
    policy, read, accepted, right, whole = AcceptPolicy(), 0, 0, 0, 0
    recognizers = build_runtime().recognizers()
    rows = rows_of(folder, half)
    for row in rows:
        page = Page("check", 0, grey_of(folder / row["file"]))
        fields = {f.name: f for f in read_page(page, CheckPage(rules), recognizers, policy).fields}
        amount = fields.get("amount")
        truth = round(float(row["amount"]) * 100)
        good = amount is not None and isinstance(amount.value, Money) and amount.value.minor_units == truth
        taken = amount is not None and amount.status == FieldStatus.ACCEPTED
        read, whole = read + 1, whole + good
        accepted, right = accepted + taken, right + (good and taken)
        if half == "development":
            print(row["file"], truth, {n: (f.text, f.status.value, f.doubts[-1:]) for n, f in fields.items()})
    print(f"specimens, {half}: amount whole {whole} of {read}, right among accepted {right} of {accepted}")


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
        measure_specimens(DATA_DIR / "fields" / "check_specimens_us", given.half)
    if given.only != "specimens":
        measure_crops(DATA_DIR / "fields" / "cheque_fields_in", given.half, LOCALES["IN"])


if __name__ == "__main__":
    main()
