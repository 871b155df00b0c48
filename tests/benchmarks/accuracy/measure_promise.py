"""Whether the promise holds on fresh fields of the writers that it was shown on: other drawings, read and decided anew.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.measure_promise [--fields 4000] [--rows 2500] [--seed 90210]``
"""

from __future__ import annotations

import argparse

from tests.support.data import DATA_DIR
from worker.models.runtime import load_recognizers
from worker.training.fields.evaluation import score_fields
from worker.training.fields.measures import exact_interval
from worker.training.general.held_out import draw_held_out_fields, draw_held_out_rows


def main() -> None:
    """Print how many fields and rows are accepted, and how many of these are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=4000)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=90210)
    given = parser.parse_args()
    recognizers = load_recognizers()
    for name, draw, count in (
        ("free fields", draw_held_out_fields, given.fields),
        ("rows of cells", draw_held_out_rows, given.rows),
    ):
        scored = [score for score, _ in score_fields(draw(DATA_DIR, count, given.seed, half=0), recognizers)]
        accepted = [score for score in scored if score.is_accepted]
        wrong = sum(not score.correct for score in accepted)
        least, most = exact_interval(wrong, len(accepted))
        print(f"{name}: {count} drawn, {len(accepted)} accepted, {wrong} wrong ({least:.2%} to {most:.2%})", flush=True)


if __name__ == "__main__":
    main()
