"""What reading a page costs beside decoding its file: the NIST page, one thread, the median of several runs.

Run it with ``python -m tests.benchmarks.speed.bench_page --runs 9``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.data import DATA_DIR

SCAN = DATA_DIR / "fields" / "nist_hsf_pages" / "images" / "hsf_f0002_01.png"


def measure(scan: Path, runs: int) -> dict[str, float]:
    """Return milliseconds of decoding, of each stage of reading, and of both with their ratio."""
    import cv2

    from worker.decision.fields import AcceptPolicy
    from worker.fields.locating.extraction import extract_fields
    from worker.fields.reading import read_fields
    from worker.forms.templates import load_templates
    from worker.models.runtime import load_recognizers
    from worker.pipeline import read_page
    from worker.rasterizer import RasterLimits, open_pages
    from worker.registration.registration import register_page
    from worker.values import FormPages

    cv2.setNumThreads(1)
    template, recognizers = load_templates()["nist-hsf"], load_recognizers()
    page = next(open_pages(scan, scan_id="", limits=RasterLimits()))
    registration = register_page(page, template)
    crops = extract_fields(page, template, registration)
    six = next(crop for crop in crops if crop.spec.digit_range == (6, 6))
    stages: dict[str, Callable[[], object]] = {
        "decode": lambda: list(open_pages(scan, scan_id="", limits=RasterLimits())),
        "register": lambda: register_page(page, template),
        "cut fields": lambda: extract_fields(page, template, registration),
        "read fields": lambda: read_fields(crops, recognizers),
        "read one field of 6 digits": lambda: read_fields([six], recognizers),
        "read the page": lambda: read_page(page, FormPages((template,)), recognizers, AcceptPolicy()),
    }
    times = {name: _milliseconds(stage, runs) for name, stage in stages.items()}
    times["(decode + read) / decode"] = (times["decode"] + times["read the page"]) / times["decode"]
    times["register / decode"] = times["register"] / times["decode"]
    return times


def _milliseconds(stage: Callable[[], object], runs: int) -> float:
    """Return the median CPU time, which a busy machine does not lengthen as it does the clock's."""
    stage()
    spent = []
    for _ in range(runs):
        started = time.process_time()
        stage()
        spent.append(time.process_time() - started)
    return 1000 * statistics.median(spent)


def main() -> None:
    """Print the figures, or that the page is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    if not SCAN.exists():
        print(f"no {SCAN}: set ICR_DATA_DIR to the folder of handwriting sets")
        return
    for name, value in measure(SCAN, arguments.runs).items():
        print(f"{name:28} {value:8.2f}{'' if '/' in name else ' ms'}")


if __name__ == "__main__":
    main()
