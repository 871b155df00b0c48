"""How often a number is accepted without a mark that was written in it, in a field of digits.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.measure_marks [--fields 80] [--seed 0]``

Numbers with a mark before, between or behind their digits, on every paper and print of the generator, in the hands of
UNIPEN's writers that train nothing. Fields whose mark nobody can see, because it lies in a digit's ink or went with
the scanner's threshold, are left out: the field is drawn again without it, and next to nothing changes.
"""

from __future__ import annotations

import argparse

import numpy as np

from tests.benchmarks.accuracy.measure_blanks import read
from tests.support.data import DATA_DIR
from worker.bootstrap import build_runtime
from worker.synthesis.fields import FieldSample, draw_field
from worker.training.general.pens import PenBank, load_pen_bank
from worker.values import FieldStatus

TEXTS = (".75", ",75", "12.5", "12,5", "-264", "8:30", "12-5", "12/21/91", "3/4")

LEAST_PX, LEAST_DARKER = 4, 20
"""A mark shows where it makes so many pixels so much darker; 4 to 9 of 80 points of a kind show less."""


def draw_shown(rng: np.random.Generator, text: str, pens: PenBank) -> FieldSample | None:
    """Draw a field; None where nobody could see its marks."""
    state = rng.bit_generator.state
    marks = {place for place, sign in enumerate(text) if not sign.isdigit()}
    without = draw_field(rng, text, glyphs=pens, real_share=1.0, hidden=marks).grey
    rng.bit_generator.state = state
    sample = draw_field(rng, text, glyphs=pens, real_share=1.0)
    darker = without.astype(np.int16) - sample.grey >= LEAST_DARKER
    return sample if np.count_nonzero(darker) >= LEAST_PX else None


def main() -> None:
    """Print, for each text, how many fields are accepted, and how many of these without their mark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    recognizers, pens = build_runtime().recognizers(), load_pen_bank(DATA_DIR, held_out=True)
    for number, text in enumerate(TEXTS):
        rng = np.random.default_rng([asked.seed, number])
        drawn = [draw_shown(rng, text, pens) for _ in range(asked.fields)]
        found = [read(sample.grey, 0, recognizers) for sample in drawn if sample is not None]
        accepted = [reading for reading in found if reading.status is FieldStatus.ACCEPTED]
        lost = sum(reading.written != text for reading in accepted)
        print(f"{text:<10} accepted {len(accepted):>2} of {len(found)}, {lost:>2} of them without the mark", flush=True)


if __name__ == "__main__":
    main()
