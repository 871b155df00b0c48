"""Read photos and sheets without a form; print edit errors against the truth: ``--half development|reporting``.

Numbers that are accepted at the rate of ``--rate`` are printed beside the truth of their page.
"""

from __future__ import annotations

import csv

import click
import cv2

from tests.support.data import DATA_DIR
from worker.decision.fields import AcceptPolicy
from worker.models.runtime import DEFAULT_SUBSTITUTION_RATE, load_recognizers
from worker.page_kinds import FreePage
from worker.pipeline import read_page
from worker.values import FieldStatus, Page

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
@click.option("--rate", default=DEFAULT_SUBSTITUTION_RATE, show_default=True, help="The promised substitution rate.")
def main(half: str, rate: float) -> None:
    """Print one line a set, and one a page of which numbers are accepted."""
    recognizers = load_recognizers(max_substitution_rate=rate)
    click.echo(f"models {recognizers.versions}")
    for name, column in SETS.items():
        folder = DATA_DIR / "fields" / name
        with (folder / "labels.csv").open() as file:
            rows = list(csv.DictReader(file))[half == "reporting" :: 2]
        errors = surplus = digits = whole = 0
        for row in rows:
            truth = "".join(c for c in row[column] if c.isdigit())
            grey = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
            reads = read_page(Page("s", 0, grey), FreePage(), recognizers, AcceptPolicy()).fields
            accepted = [read.text for read in reads if read.status is FieldStatus.ACCEPTED]
            if accepted and half == "development":
                click.echo(f"{row['file']}: accepted {' '.join(accepted)} of {row[column]}")
            text = "".join(c for read in reads for c in read.text if c.isdigit())
            errors += edit_distance(truth, text)
            surplus += max(0, len(text) - len(truth))
            digits += len(truth)
            whole += text == truth
        click.echo(f"{name}: {errors} errors of {digits} digits, {surplus} surplus, {whole} of {len(rows)} pages whole")


if __name__ == "__main__":
    main()
