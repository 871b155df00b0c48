"""Twelve drawn forms and pages of none: how many find their form, and how many strangers are taken for one.

Run it with ``python -m tests.benchmarks.accuracy.bench_identification --pages 120 --strangers 100 --seed 5``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.form_template import FormTemplate
from tests.benchmarks.distortions import distort_page
from tests.support.data import DATA_DIR
from worker.registration.registration import identify_form
from worker.synthesis.form_designs import draw_template
from worker.synthesis.forms import draw_form
from worker.synthesis.samples import draw_writer
from worker.values import FormPages, Page

FORMS = 12
DPI = 300
NO_FORMS = ("exam_id_pages", "forms_misc", "phone_photo_lines", "scanned_digit_sheets", "check_specimens_us")


def draw_templates(count: int, seed: int) -> list[FormTemplate]:
    """Design ``count`` forms from one seed."""
    return [draw_template(np.random.default_rng([seed, i]), f"form-{i}") for i in range(count)]


def form_pages(
    templates: list[FormTemplate], pages: int, seed: int
) -> Iterator[tuple[FormTemplate, NDArray[np.uint8]]]:
    """Draw filled, distorted pages of the forms in turn."""
    for i in range(pages):
        rng = np.random.default_rng([seed, 1001, i + 1])
        template = templates[i % len(templates)]
        yield template, distort_page(_draw_filled(template, rng), rng).grey


def _draw_filled(template: FormTemplate, rng: np.random.Generator) -> NDArray[np.uint8]:
    values = {}
    for field in template.fields:
        least, most = field.digit_range
        count = int(rng.integers(least, (most or least + 5) + 1))
        values[field.name] = "".join(str(d) for d in rng.integers(0, 10, count)) if rng.random() < 0.9 else ""
    return draw_form(rng, template, values, writer=draw_writer(rng), dpi=DPI).grey


def stranger_pages(pages: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Draw pages of other forms, after real pages that are none of the twelve where they are there."""
    real = [path for folder in NO_FORMS for path in sorted((DATA_DIR / "fields" / folder / "images").glob("*"))]
    for path in real[: pages // 2]:
        yield cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    for i in range(pages - min(len(real), pages // 2)):
        rng = np.random.default_rng([seed, 1002, i + 1])
        yield distort_page(_draw_filled(draw_template(rng, "stranger"), rng), rng).grey


def measure(pages: int, strangers: int, seed: int) -> dict[str, float]:
    """Return the shares and counts of the issue, and the median time of one page among twelve templates."""
    templates = draw_templates(FORMS, seed)
    right = wrong = taken = 0
    seconds = []
    for template, grey in form_pages(templates, pages, seed):
        started = time.process_time()
        found = identify_form(Page("", 0, grey), FormPages(tuple(templates)))
        seconds.append(time.process_time() - started)
        right += found.template is template
        wrong += found.template is not None and found.template is not template
        if found.template is not template:
            print(f"{template.name}: {found.problem or found.template}")
    for grey in stranger_pages(strangers, seed):
        found = identify_form(Page("", 0, grey), FormPages(tuple(templates)))
        if found.template is not None and found.registration is not None:
            taken += 1
            print(f"a stranger is taken for {found.template.name}: {found.registration.quality:.2f}")
    return {
        "forms identified, share": right / max(pages, 1),
        "wrong form accepted": wrong,
        "strangers accepted": taken,
        "median CPU ms a page": 1000 * float(np.median(seconds)),
    }


def main() -> None:
    """Print the measures and every page that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=120)
    parser.add_argument("--strangers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    for name, value in measure(arguments.pages, arguments.strangers, arguments.seed).items():
        print(f"{name:28} {value:g}")


if __name__ == "__main__":
    main()
