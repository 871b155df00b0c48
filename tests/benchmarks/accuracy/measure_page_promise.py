"""Whether the promise holds on fresh pages without a form: other drawings in held-out hands, found, cut, read, decided.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.measure_page_promise [--pages 150] [--rate 0.01]``
"""

from __future__ import annotations

import argparse

from tests.support.data import DATA_DIR
from worker.models.runtime import DEFAULT_SUBSTITUTION_RATE, load_recognizers
from worker.training.fields.measures import exact_interval
from worker.training.general.free_pages import LOOKED_AT, SHOWN_ON, draw_held_out_pages, judge_page


def main() -> None:
    """Print how many numbers and rows there are, how many are accepted, and how many of these are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=150)
    parser.add_argument("--cell-pages", type=int, default=60)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--half", type=int, choices=[SHOWN_ON, LOOKED_AT], default=SHOWN_ON)
    parser.add_argument("--rate", type=float, default=DEFAULT_SUBSTITUTION_RATE)
    given = parser.parse_args()
    recognizers = load_recognizers(max_substitution_rate=given.rate)
    for layout, count in (("free", given.pages), ("cells", given.cell_pages)):
        own = getattr(recognizers.calibration, layout).accept_threshold
        needed = recognizers.page_promises.threshold_for(layout)
        numbers, accepted, wrong = 0, 0, 0
        for sample in draw_held_out_pages(DATA_DIR, layout, range(count), given.seed, half=given.half):
            numbers += len(sample.numbers)
            fields = [field for field in judge_page(sample, recognizers) if field.layout == layout]
            sure = [field for field in fields if needed and own and field.confidence >= max(own, needed)]
            accepted, wrong = accepted + len(sure), wrong + sum(not field.right for field in sure)
        least, most = exact_interval(wrong, accepted)
        outcome = f"{accepted} accepted, {wrong} wrong ({least:.2%} to {most:.2%})"
        print(f"{layout}: {count} pages, {numbers} numbers, {outcome}", flush=True)


if __name__ == "__main__":
    main()
