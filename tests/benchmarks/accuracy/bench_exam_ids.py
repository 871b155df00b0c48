"""Exam ids by one template drafted from one page.

``python -m tests.benchmarks.accuracy.bench_exam_ids --half reporting``

The row of cells and the code beside it lie elsewhere on every page, at two sizes, some tilted.
"""

from __future__ import annotations

import argparse
import csv

import cv2

from schemas.form_template import FormTemplate
from tests.support.data import DATA_DIR
from worker.decision.fields import AcceptPolicy
from worker.forms.drafting import draft_template
from worker.pipeline import read_page
from worker.values import FieldStatus, FormPages, Page, Recognizers

FOLDER = DATA_DIR / "fields" / "exam_id_pages"
DRAFTED_FROM = "images/page_03.png"
DPI = 200


def load_page(file: str) -> Page:
    """Load a page of the set."""
    return Page(file, 0, cv2.imread(str(FOLDER / file), cv2.IMREAD_GRAYSCALE), dpi=DPI)


def draft_id_template() -> FormTemplate:
    """Draft the template, and do what a person does: delete the boxes that hold no numbers, say how many digits."""
    drafted = draft_template(load_page(DRAFTED_FROM), "exam-id")
    rows = [f.model_copy(update={"name": "id", "digits": 9, "optional": False}) for f in drafted.fields if f.cells]
    return drafted.model_copy(update={"single_fields": tuple(rows)})


def id_rows(half: str) -> list[dict[str, str]]:
    """Return the labels of a half: even rows are for development."""
    with (FOLDER / "labels.csv").open() as labels:
        return list(csv.DictReader(labels))[0 if half == "development" else 1 :: 2]


def measure(half: str, recognizers: Recognizers) -> None:
    """Print how many pages register and how many ids are whole; of development pages, each."""
    template = draft_id_template()
    registered = whole = accepted = wrong = 0
    rows = id_rows(half)
    for row in rows:
        reading = read_page(load_page(row["file"]), FormPages((template,)), recognizers, AcceptPolicy())
        registered += reading.problem is None
        for field in reading.fields:
            right, sure = field.text == row["numeric_id"], field.status is FieldStatus.ACCEPTED
            whole, accepted, wrong = whole + right, accepted + sure, wrong + (sure and not right)
        if half == "development":
            print(row["file"], row["numeric_id"], reading.problem, [(f.text, f.status.value) for f in reading.fields])
    print(f"{half}: {registered} of {len(rows)} registered, {whole} whole, {accepted} accepted, {wrong} of them wrong")


def main() -> None:
    """Measure one half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["development", "reporting"], default="development")
    from worker.bootstrap import build_runtime

    measure(parser.parse_args().half, build_runtime().recognizers())


if __name__ == "__main__":
    main()
