"""What a kept sum is worth where a minus sign or a decimal mark is not sure: drawn claims of amounts and a total.

``ICR_DATA_DIR=... python -m tests.benchmarks.accuracy.measure_sums [--claims 60] [--seed 0] [--hands drawn]``

Each claim is a form with two to five amounts, a fifth of them negative, and their total, in the hands of UNIPEN's
writers that train nothing, in drawn ones, or in the clear ones of the shipped samples. Accepted fields are counted with
and without what the sum answers (``worker.doubts.Witness.SUM``); those with another value are printed.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from schemas.form_template import FormTemplate
from tests.support.data import DATA_DIR
from worker.bootstrap import build_runtime
from worker.decision.fields import AcceptPolicy
from worker.doubts import EXCUSED_BY, DoubtKind, Witness
from worker.pipeline import read_page
from worker.synthesis.forms import draw_form
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.pen import draw_pen
from worker.synthesis.samples import draw_writer
from worker.training.general.pens import load_pen_bank
from worker.values import FieldReading, FieldStatus, FormPages, Money, Page

DPI = 200.0
KNOWN_BY_MM = ((75, 8, 38, 6), (75, 20, 12, 12), (92, 20, 21, 7), (75, 60, 9, 25), (100, 70, 13, 5), (75, 92, 30, 14))
"""Other boxes of the form, by which it is told from one that lies upside down."""


def make_template(rows: int) -> FormTemplate:
    """Return a form with a table of so many amounts, whose first column is not read, and their total under it."""
    boxes = {f"a{i}": (20.0, 20.0 + 12 * i, 44.0, 12.0) for i in range(rows)} | {"total": (20.0, 94.0, 44.0, 10.0)}
    beside = [(8.0, 20.0 + 12 * i, 12.0, 12.0) for i in range(rows)]
    amount = {"kind": "amount", "currency": "EUR", "signed": True}
    fields = [{"name": name, "box_mm": box, **amount} for name, box in boxes.items()]
    marks = [{"kind": "box", "box_mm": box} for box in (*boxes.values(), *beside, *KNOWN_BY_MM)]
    rule = {"rule": "sum", "fields": [*boxes][:-1], "total": "total"}
    form = {"name": "claim", "title": "Claim", "page_mm": (120, 110), "rules": [rule]}
    return FormTemplate.model_validate({**form, "fields": fields, "landmarks": marks})


def draw_amounts(rng: np.random.Generator) -> list[int]:
    """Return amounts in cents whose sum is not negative, and the sum behind them."""
    amounts = [int(rng.integers(100, 30_000)) * (-1 if rng.random() < 0.2 else 1) for _ in range(rng.integers(2, 6))]
    if sum(amounts) < 0:
        amounts = [-cents for cents in amounts]
    return [*amounts, sum(amounts)]


def spell(cents: int, mark: str) -> str:
    """Return an amount as people write it: -12.50."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}{mark}{abs(cents) % 100:02d}"


def count(fields: tuple[FieldReading, ...], amounts: list[int]) -> Counter[str]:
    """Count the fields of a claim, the accepted ones, and of these those with another value."""
    counts = Counter(fields=len(amounts))
    for field, cents in zip(fields, amounts, strict=True):
        if field.status is FieldStatus.ACCEPTED:
            is_right = isinstance(field.value, Money) and field.value.minor_units == cents
            counts += Counter({"accepted": 1, "wrong": int(not is_right)})
            if not is_right:
                print(f"{cents} cents accepted as {field.written}", flush=True)
    return counts


def main() -> None:
    """Print how many fields are accepted, and how many of these wrong, without and with the answer of the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hands", choices=["pens", "drawn", "samples"], default="pens")
    asked = parser.parse_args()
    recognizers = build_runtime().recognizers()
    pens = load_pen_bank(DATA_DIR, held_out=True) if asked.hands == "pens" else None
    answers = {"without": frozenset[Witness](), "with": EXCUSED_BY[DoubtKind.UNSURE_MARK]}
    counts = {name: Counter[str]() for name in answers}
    for claim in range(asked.claims):
        rng = np.random.default_rng([asked.seed, claim])
        amounts, mark = draw_amounts(rng), str(rng.choice([".", ","]))
        template = make_template(len(amounts) - 1)
        values = {f.name: spell(cents, mark) for f, cents in zip(template.fields, amounts, strict=True)}
        hand = draw_hand(rng, glyphs=pens, real_share=1.0 if pens else 0.0)
        writer = draw_writer(rng) if asked.hands == "samples" else (hand, draw_pen(rng))
        page = Page("claim", 0, draw_form(rng, template, values, writer=writer, dpi=DPI).grey, dpi=DPI)
        for name, witnesses in answers.items():
            EXCUSED_BY[DoubtKind.UNSURE_MARK] = witnesses
            fields = read_page(page, FormPages((template,)), recognizers, AcceptPolicy()).fields
            counts[name] += count(fields, amounts) if fields else Counter(unregistered=1)
    for name, found in counts.items():
        print(f"{name:<8} accepted {found['accepted']} of {found['fields']}, {found['wrong']} of them wrong", found)


if __name__ == "__main__":
    main()
