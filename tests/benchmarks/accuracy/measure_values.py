"""Does an accepted field mean what was written? Drawn values of every kind, with marks that do not belong, too.

``python -m tests.benchmarks.accuracy.measure_values --fields 2000 --seed 4`` draws that many of each kind, reads them
with the shipped models and counts accepted fields whose value is another than the one drawn. With ``--real`` it counts
the real fields of the development halves that only the doubts of their marks send to review.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from schemas.form_template import FieldGrammar, FieldSpec
from tests.support.data import DATA_DIR
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import DoubtKind
from worker.fields.reading import read_fields
from worker.grammar.locales import grammar_of
from worker.synthesis.fields import draw_field
from worker.synthesis.written_values import KINDS, WrittenValue, draw_written_value
from worker.training.fields.truth import SOURCES, load_fields
from worker.values import Box, FieldCrop, FieldReading, FieldStatus

BATCH = 32


def read_drawn(kind: str, count: int, seed: int) -> Iterator[tuple[WrittenValue, FieldReading]]:
    """Yield drawn values of a kind with their readings."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    for start in range(0, count, BATCH):
        drawn = [draw_written_value(rng, kind) for _ in range(min(BATCH, count - start))]
        crops = [_draw_crop(rng, one) for one in drawn]
        reads = read_fields(crops, build_runtime().recognizers())
        for one, crop, read in zip(drawn, crops, reads, strict=True):
            yield one, decide_field(crop.spec, read, AcceptPolicy())


def _draw_crop(rng: np.random.Generator, drawn: WrittenValue) -> FieldCrop:
    grey = draw_field(rng, drawn.text, in_cells=False).grey
    height, width = grey.shape
    spec = FieldSpec.model_validate({"name": "drawn", "box_mm": (0, 0, 100, 20), **drawn.grammar.model_dump()})
    return FieldCrop(spec, grey, Box(0, 0, width, height), np.eye(3))


def count_outcomes(kind: str, count: int, seed: int) -> Counter[str]:
    """Count what became of drawn fields: ``wrong digits`` and ``wrong marks`` are accepted with another value."""
    counts: Counter[str] = Counter()
    for drawn, field in read_drawn(kind, count, seed):
        digits = "".join(c for c in drawn.text if c.isdigit())
        if field.status is FieldStatus.ACCEPTED:
            counts["accepted"] += 1
            if field.value != drawn.value:
                counts["wrong digits" if field.text != digits else "wrong marks"] += 1
                print(f"{kind}: {drawn.text} is {drawn.value}, accepted as {field.written} = {field.value}")
        elif field.text == digits and drawn.value is not None and field.accept_threshold is not None:
            sure = field.confidence >= field.accept_threshold
            counts["right and sure, in review"] += sure
            counts["right in review"] += not sure
    return counts


MARK_DOUBTS = frozenset(
    {DoubtKind.UNEXPECTED_MARK, DoubtKind.MISSING_MARK, DoubtKind.UNSURE_MARK, DoubtKind.GRAMMAR_BROKEN}
)
REAL_AMOUNTS = {"check_amounts_car_a": "CL", "cheque_amounts_in": "IN"}


def count_real(source: str) -> Counter[str]:
    """Count what becomes of real fields whose digits are read right: amounts of their country, dates, and codes."""
    fields = [f for f in load_fields(DATA_DIR, source) if f.development]
    country = REAL_AMOUNTS.get(source)
    grammar = grammar_of("amount" if country else "code", country).model_copy(update={"filled": country is not None})
    told = {} if fields[0].crop.spec.kind == "date" else {n: getattr(grammar, n) for n in FieldGrammar.model_fields}
    crops = [replace(f.crop, spec=f.crop.spec.model_copy(update=told)) for f in fields]
    counts: Counter[str] = Counter()
    for start in range(0, len(crops), BATCH):
        part = crops[start : start + BATCH]
        for field, crop, read in zip(
            fields[start:], part, read_fields(part, build_runtime().recognizers()), strict=False
        ):
            decided = decide_field(crop.spec, read, AcceptPolicy())
            if decided.text == field.truth:
                counts["accepted"] += decided.status is FieldStatus.ACCEPTED
                kinds = {doubt.kind for doubt in decided.doubts}
                counts["in review for marks alone"] += bool(kinds) and kinds <= MARK_DOUBTS
    return counts


def main() -> None:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--real", action="store_true", help="development halves of ICR_DATA_DIR instead")
    given = parser.parse_args()
    if given.real:
        for source in SOURCES:
            print(source, dict(count_real(source)), flush=True)
        return
    for kind in KINDS:
        print(kind, dict(count_outcomes(kind, given.fields, given.seed)), flush=True)


if __name__ == "__main__":
    main()
