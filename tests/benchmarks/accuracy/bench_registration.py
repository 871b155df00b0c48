"""The NIST page through seeded distortions: fields within 1 mm of their place, pages wrongly called good.

Run it with ``python -m tests.benchmarks.accuracy.bench_registration --pages 200 --seed 5``.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FormTemplate
from tests.benchmarks.distortions import distort_page
from tests.support.data import DATA_DIR
from worker.forms.templates import load_templates
from worker.registration.registration import register_page
from worker.values import Page

FOLDER = DATA_DIR / "fields" / "nist_hsf_pages"
WITHIN_MM = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One distorted page: its quality, the worst corner of each field in mm, and the time it took."""

    what: str
    quality: float
    errors_mm: NDArray[np.float64]
    seconds: float


def true_corners() -> NDArray[np.float64]:
    """(28, 4, 2) corners of the labelled boxes in pixels of the original page."""
    with (FOLDER / "labels.csv").open() as file:
        boxes = np.array([[float(r[f"box_{k}"]) for k in "xywh"] for r in csv.DictReader(file)])
    x, y, w, h = boxes.T
    return np.stack([np.c_[x, y], np.c_[x + w, y], np.c_[x + w, y + h], np.c_[x, y + h]], 1)


def measure(pages: int, seed: int, template: FormTemplate | None = None) -> list[Outcome]:
    """Register ``pages`` distortions of the page and compare every field's corners with the labels."""
    template = template or load_templates()["nist-hsf"]
    original = cv2.imread(str(FOLDER / "images" / "hsf_f0002_01.png"), cv2.IMREAD_GRAYSCALE)
    corners = true_corners()
    boxes = np.array([f.box_mm for f in template.fields])
    x, y, w, h = boxes.T
    mm = np.stack([np.c_[x, y], np.c_[x + w, y], np.c_[x + w, y + h], np.c_[x, y + h]], 1).reshape(-1, 2)
    outcomes = []
    for i in range(pages):
        distorted = distort_page(original, np.random.default_rng([seed, i]))
        started = time.perf_counter()
        found = register_page(Page("", 0, distorted.grey), template)
        seconds = time.perf_counter() - started
        px = _project(found.page_from_mm, mm)
        back = _project(np.linalg.inv(distorted.homography), px).reshape(-1, 4, 2)
        errors = np.hypot(*np.moveaxis(back - corners, 2, 0)).max(1) * 25.4 / 300
        outcomes.append(Outcome(f"{i}: {distorted.what}", found.quality, errors, seconds))
    return outcomes


def _project(homography: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.c_[points, np.ones(len(points))] @ homography.T
    return np.asarray(p[:, :2] / p[:, 2:])


def summarize(outcomes: list[Outcome], limit: float) -> dict[str, float]:
    """Return the measures of the issue: share of fields in place, wrong pages called good, pages given up."""
    errors = np.concatenate([o.errors_mm for o in outcomes])
    good = [o.quality >= limit for o in outcomes]
    wrong = [float(np.median(o.errors_mm)) > WITHIN_MM for o in outcomes]
    fine = np.array([(o.errors_mm <= WITHIN_MM) for o in outcomes])
    good_rows = np.array(good)[:, None]
    right = [o.quality for o, w in zip(outcomes, wrong, strict=True) if not w]
    return {
        "pages": len(outcomes),
        "fields within 1 mm, of all": float((fine & good_rows).mean()),
        "median error mm": float(np.median(errors)),
        "wrongly registered yet good": sum(g and w for g, w in zip(good, wrong, strict=True)),
        "fields off by over 1 mm on good pages": int((~fine & good_rows).sum()),
        "unregistered": len(good) - sum(good),
        "lowest quality of a right page": min(right, default=0.0),
        "median ms": float(np.median([o.seconds for o in outcomes])) * 1000,
    }


def main() -> None:
    """Print the measures and the pages that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    outcomes = measure(arguments.pages, arguments.seed)
    for o in outcomes:
        if o.quality < 0.5 or o.errors_mm.max() > WITHIN_MM:
            print(f"{o.what}: quality {o.quality:.2f}, worst field {o.errors_mm.max():.2f} mm")
    for name, value in summarize(outcomes, 0.5).items():
        print(f"{name:40} {value:g}")


if __name__ == "__main__":
    main()
