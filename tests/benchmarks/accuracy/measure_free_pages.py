"""Read photos and sheets without a form; print edit errors against the truth: ``--half development|reporting``."""

from __future__ import annotations

import csv

import click
import cv2

from tests.support.data import DATA_DIR
from worker.fields.free_pages.writing import find_free_fields
from worker.fields.reading import read_fields
from worker.models.runtime import load_recognizers
from worker.values import Page

SETS = {
    "phone_photo_lines": "lines",
    "phone_photo_single": "digit",
    "scanned_digit_sheets": "lines",
    "exam_id_pages": "numeric_id",
}


def edit_distance(truth: str, read: str) -> int:
    """Return the least number of digits to change, add or drop."""
    row = list(range(len(read) + 1))
    for i, wanted in enumerate(truth, start=1):
        corner, row[0] = row[0], i
        for j, seen in enumerate(read, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (wanted != seen))
    return row[-1]


@click.command()
@click.option("--half", type=click.Choice(["development", "reporting"]), default="development")
def main(half: str) -> None:
    """Print one line a set."""
    recognizers = load_recognizers()
    click.echo(f"models {recognizers.versions}")
    for name, column in SETS.items():
        folder = DATA_DIR / "fields" / name
        with (folder / "labels.csv").open() as file:
            rows = list(csv.DictReader(file))[half == "reporting" :: 2]
        errors = surplus = digits = whole = 0
        for row in rows:
            truth = "".join(c for c in row[column] if c.isdigit())
            grey = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
            reads = read_fields(find_free_fields(Page("s", 0, grey), recognizers), recognizers)
            text = "".join(c for read in reads for c in read.text if c.isdigit())
            errors += edit_distance(truth, text)
            surplus += max(0, len(text) - len(truth))
            digits += len(truth)
            whole += text == truth
        click.echo(f"{name}: {errors} errors of {digits} digits, {surplus} surplus, {whole} of {len(rows)} pages whole")


if __name__ == "__main__":
    main()
