"""How often an empty field is called blank, and a written one not: drawn boxes and rows of cells, with their print.

``python -m tests.benchmarks.accuracy.measure_blanks [--fields 500]``

No handwriting set holds empty boxes with their print. How many of the crops are black and white and so black that
writing could not be seen is printed, too: these belong in review.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from schemas.form_template import FieldSpec
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy, decide_field
from worker.fields.judging.emptiness import hides_writing
from worker.fields.reading import read_fields
from worker.synthesis.fields import draw_blank_field, draw_field
from worker.values import Box, FieldCrop, FieldReading, Grey, Recognizers

STATUSES = ("blank", "review", "accepted")


def draw(rng: np.random.Generator, cells: int, *, written: bool) -> Grey:
    """Draw a field of so many cells, or a box for 0 cells."""
    if not written:
        return draw_blank_field(rng, cells=cells)
    text = "".join(map(str, rng.integers(0, 10, cells or int(rng.integers(1, 9)))))
    return draw_field(rng, text, in_cells=bool(cells)).grey


def read(grey: Grey, cells: int, recognizers: Recognizers) -> FieldReading:
    """Read one drawn field and decide about it."""
    layout = {"layout": "cells", "cells": cells} if cells else {"layout": "free"}
    spec = FieldSpec.model_validate({"name": "drawn", "box_mm": (0, 0, 100, 20), **layout})
    crop = FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))
    (found,) = read_fields([crop], recognizers)
    return decide_field(spec, found, AcceptPolicy())


def main() -> None:
    """Print the shares called blank, sent to review and accepted as a number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=500)
    count = parser.parse_args().fields
    recognizers = build_runtime().recognizers()
    for name, in_cells in (("boxes", False), ("rows of cells", True)):
        for written in (False, True):
            rng = np.random.default_rng([31, in_cells, written])
            cells = [int(rng.integers(3, 10)) if in_cells else 0 for _ in range(count)]
            crops = [draw(rng, n, written=written) for n in cells]
            found = Counter(read(grey, n, recognizers).status.value for grey, n in zip(crops, cells, strict=True))
            parts = [f"{status} {found[status] / count:6.1%}" for status in STATUSES]
            parts.append(f"hidden by black {sum(map(hides_writing, crops)) / count:6.1%}")
            print(f"{'written' if written else 'empty':<8}{name:<16}" + "   ".join(parts))


if __name__ == "__main__":
    main()
