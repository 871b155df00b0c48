"""Sheets and photos of digits by writers kept out of all training, read without a form: errors against the truth.

``python -m tests.benchmarks.accuracy.measure_sheets [--sheets 20]``

The real sheets are too few to tell one percent from two.
"""

from __future__ import annotations

from itertools import product

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.accuracy.measure_free_pages import edit_distance
from tests.support.data import DATA_DIR
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy
from worker.page_kinds import FreePage
from worker.pipeline import read_page
from worker.synthesis.pages import photograph
from worker.synthesis.paper import add_ink, degrade
from worker.synthesis.printing import print_ruling
from worker.training.digits.data import load_mnist
from worker.values import Grey, Page

Images = NDArray[np.uint8]


def draw_sheet(rng: np.random.Generator, images: Images, labels: NDArray[np.int64]) -> tuple[Images, str]:
    """Lay digits out in lines on a sheet: (H, W) ink, white on black, and what it says in reading order.

    One sheet has one size of digits, one gap and one space between lines; three lines in ten hold one digit only.
    """
    size = int(rng.integers(32, 110))
    gap, pitch = rng.uniform(0.1, 2.0) * size, size * rng.uniform(1.6, 2.6)
    rows, columns = int(rng.integers(2, 8)), int(rng.integers(2, 12))
    ink = np.zeros((int(rows * pitch + 2 * size), int(columns * (size + 1.3 * gap) + 3 * size)), np.uint8)
    text = ""
    for row in range(rows):
        drill = labels == rng.integers(10) if rng.random() < 0.3 else np.ones(len(labels), bool)
        x = size + rng.uniform(0, size)
        for i in rng.choice(np.flatnonzero(drill), columns):
            digit = _tighten(images[i])
            scale = size / 20
            digit = cv2.resize(digit, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            top, left = int(size + row * pitch + rng.normal(0, 0.06 * size)), int(x)
            place = ink[top : top + digit.shape[0], left : left + digit.shape[1]]
            np.maximum(place, digit, out=place)
            x += digit.shape[1] + gap * rng.uniform(0.7, 1.3)
            text += str(labels[i])
    return ink, text


def draw_paper(rng: np.random.Generator, size: tuple[int, int], kind: str) -> NDArray[np.float32]:
    """Return plain, ruled or squared paper, its rules 25 to 90 pixels apart."""
    paper = np.full(size, rng.uniform(215, 255), np.uint8)
    if kind != "plain":
        print_ruling(rng, paper, rng.uniform(25, 90), squared=kind == "squared")
    return paper.astype(np.float32)


def scan(rng: np.random.Generator, paper: NDArray[np.float32], ink: Images) -> Grey:
    """Put a sheet through a scanner."""
    return degrade(rng, add_ink(paper, ink, rng.uniform(0.7, 0.95)))


def photo(rng: np.random.Generator, paper: NDArray[np.float32], ink: Images) -> Grey:
    """Lay a sheet on a dark table and take its picture, a little askew and from one side."""
    H, W = ink.shape
    corners = np.array([[0, 0], [W, 0], [W, H], [0, H]], np.float32)
    moved = corners * 0.85 + [0.075 * W, 0.075 * H] + rng.uniform(-0.04, 0.04, (4, 2)) * [W, H]
    view = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    sheet = add_ink(paper, ink, rng.uniform(0.6, 0.9)).astype(np.uint8)
    return photograph(rng, np.asarray(cv2.warpPerspective(sheet, view, (W, H), borderValue=90), np.uint8))


def _tighten(digit: Images) -> Images:
    rows, columns = np.nonzero(digit > 60)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


@click.command()
@click.option("--sheets", default=20, show_default=True, help="Of each kind.")
@click.option("--wrong", is_flag=True, help="Also print what wrongly read sheets say, and how they are read.")
def main(sheets: int, wrong: bool) -> None:
    """Print one line a kind."""
    _, held_out, _ = load_mnist(DATA_DIR)
    recognizers = build_runtime().recognizers()
    for kind, (name, take) in product(("plain", "ruled", "squared"), {"scan": scan, "photo": photo}.items()):
        rng = np.random.default_rng(77)
        errors = digits = surplus = 0
        for i in range(sheets):
            ink, truth = draw_sheet(rng, held_out.images, held_out.labels)
            page = Page(f"{kind} {name} {i}", 0, take(rng, draw_paper(rng, ink.shape, kind), ink))
            text = "".join(field.text for field in read_page(page, FreePage(), recognizers, AcceptPolicy()).fields)
            errors += edit_distance(truth, text)
            surplus += max(0, len(text) - len(truth))
            digits += len(truth)
            if wrong and text != truth:
                click.echo(f"{page.scan_id}: {truth}\n{'read as':>{len(page.scan_id)}}: {text}")
        click.echo(f"{kind} {name}s: {errors} errors of {digits} digits ({errors / digits:.1%}), {surplus} surplus")


if __name__ == "__main__":
    main()
