"""How often a field in which nobody wrote is called blank: drawn boxes and rows of cells, with their print.

``python -m tests.benchmarks.measure_blanks [--fields 500]``: no handwriting set holds empty boxes with their print.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from schemas.form_template import FieldSpec
from worker import bootstrap
from worker.decision import AcceptPolicy, decide_field
from worker.fields.reading import read_fields
from worker.synthesis.fields import draw_blank_field
from worker.values import Box, FieldCrop, FieldReading


def read_blank(rng: np.random.Generator, cells: int) -> FieldReading:
    """Draw one empty field, read it and decide about it."""
    grey = draw_blank_field(rng, cells=cells)
    layout = {"layout": "cells", "cells": cells} if cells else {"layout": "free"}
    spec = FieldSpec.model_validate({"name": "empty", "box_mm": (0, 0, 100, 20), **layout})
    crop = FieldCrop(spec, grey, Box(0, 0, grey.shape[1], grey.shape[0]), np.eye(3))
    (read,) = read_fields([crop], bootstrap.recognizers())
    return decide_field(spec, read, AcceptPolicy())


def main() -> None:
    """Print the share called blank, sent to review, and accepted as a number, for boxes and for cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=500)
    count = parser.parse_args().fields
    for name, seed in (("boxes", 31), ("rows of cells", 32)):
        rng = np.random.default_rng(seed)
        found = [read_blank(rng, int(rng.integers(3, 10)) if seed == 32 else 0) for _ in range(count)]
        shares = Counter(reading.status.value for reading in found)
        parts = [f"{status} {shares[status] / count:6.1%}" for status in ("blank", "review", "accepted")]
        print(f"{name:<16}" + "   ".join(parts))


if __name__ == "__main__":
    main()
