"""What a kept rule is worth: how much more often a reading that keeps it is right, on drawn and on real fields.

Sheets of one hand each hold numbers with a Luhn check digit, the same number again, and two numbers with their sum:
a writer who draws his 7s like 1s errs alike in all of them, so fields of one sheet are no independent draws.

Collect with ``python -m tests.benchmarks.accuracy.measure_rules collect --sheets 40 --out kept.jsonl`` (add ``--real``
for the development halves), then ``python -m tests.benchmarks.accuracy.measure_rules report kept.jsonl``.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import beta

from schemas.form_template import FieldSpec, FormTemplate, Landmark
from schemas.rules import CheckDigitRule
from tests.support.data import DATA_DIR
from worker.decision.fields import AcceptPolicy, decide_field
from worker.decision.repair import find_repair
from worker.doubts import Doubt, DoubtKind
from worker.fields.locating.extraction import extract_fields
from worker.fields.reading import read_fields
from worker.grammar.rules import broken_by, find_check_digit_scheme
from worker.synthesis.forms import draw_form
from worker.synthesis.glyphs import draw_hand
from worker.synthesis.paper import degrade
from worker.synthesis.pen import draw_pen
from worker.synthesis.samples import draw_writer, with_luhn
from worker.values import Alternative, Box, DigitReading, FieldStatus, Page, RawReading, Recognizers, Registration

Row = dict[str, Any]
ROWS = 18
MOD_10 = ("luhn", "verhoeff", "damm")
SCHEMES = (*MOD_10, "iso7064.mod_11_10", "iso7064.mod_97_10")
REAL = ("check_amounts_car_a", "parish_row_ids", "nist_hsf_pages")


def sheet_template() -> FormTemplate:
    """Return the sheet: rows of id, the id again, a, b and their sum c."""
    fields, marks = [], []
    for row in range(ROWS):
        y, cells = 25.0 + 14 * row, row % 2 == 0
        for name, x, w in (("id", 6, 52), ("again", 62, 52), ("a", 118, 26), ("b", 148, 26), ("c", 178, 28)):
            box = (float(x), y, float(w), 8.5)
            wide: dict[str, Any] = {"layout": "cells", "cells": 9} if cells and name in ("id", "again") else {}
            digits: Any = 9 if name in ("id", "again") else {"min": 1, "max": 5}
            fields.append(FieldSpec(name=f"{name}{row}", box_mm=box, digits=digits, **wide))
            marks.append(Landmark(kind="box", box_mm=box))
    return FormTemplate(name="sheet", page_mm=(212, 297), fields=tuple(fields), landmarks=tuple(marks))


def sheet_values(rng: np.random.Generator) -> dict[str, str]:
    """Draw what is written: ids with a Luhn check digit, and sums of numbers of one to four digits."""
    values = {}
    for row in range(ROWS):
        values[f"id{row}"] = values[f"again{row}"] = with_luhn("".join(map(str, rng.integers(0, 10, 8))))
        a, b = (int(10 ** rng.uniform(0.5, 4)) for _ in range(2))
        values |= {f"a{row}": str(a), f"b{row}": str(b), f"c{row}": str(a + b)}
    return values


def collect_sheets(recognizers: Recognizers, sheets: int, seed: int) -> Iterator[Row]:
    """Read drawn sheets; half of the writers take care, the others are any hand of the generator."""
    from worker.training.fields.glyphs import load_shape_bank

    bank = load_shape_bank(DATA_DIR, Path("runs/fields/shapes.npz"))
    template = sheet_template()
    for sheet in range(sheets):
        rng = np.random.default_rng([seed, 81, sheet])
        writer = draw_writer(rng) if sheet % 2 else (draw_hand(rng, bank), draw_pen(rng))
        sample = draw_form(rng, template, sheet_values(rng), writer=writer, dpi=220)
        page = Page("", 0, np.asarray(degrade(rng, sample.grey), np.uint8))
        where = Registration(template.name, template.version, sample.page_from_mm, 1.0)
        for spec, read in zip(
            template.fields, read_fields(extract_fields(page, template, where), recognizers), strict=True
        ):
            yield _row(f"sheet {sheet}", spec.name, sample.digits[spec.name], read)


def collect_real(recognizers: Recognizers) -> Iterator[Row]:
    """Read the development halves of the real sets."""
    from worker.training.fields.truth import load_fields, split

    for source in REAL:
        part = list(split(load_fields(DATA_DIR, source), development=True))
        for start in range(0, len(part), 16):
            some = part[start : start + 16]
            for field, read in zip(some, read_fields([f.crop for f in some], recognizers), strict=True):
                yield _row(source, "real", field.truth, read)


def _row(source: str, name: str, truth: str, read: RawReading) -> Row:
    digits = [[*digit.top(2)[0], *digit.top(2)[1]] for digit in read.digits]
    others = [[a.text, a.confidence] for a in read.alternatives]
    return {
        "source": source,
        "name": name,
        "truth": truth,
        "text": read.text,
        "confidence": read.confidence,
        "needed": read.accept_threshold,
        "digits": digits,
        "alternatives": others,
        "doubts": [doubt.kind for doubt in read.doubts],
    }


# --- what a kept rule is worth -----------------------------------------------------------------------------------


def passes(truth: str, text: str, scheme: str) -> bool:
    """Tell whether a wrong reading of a number would pass, its appended check digit being read right."""
    if scheme == "us.rtn":
        raise ValueError(scheme)
    module = importlib.import_module(f"stdnum.{scheme}")
    calc = getattr(module, "calc_check_digits", None) or module.calc_check_digit
    return bool(calc(truth) == calc(text))


def at_most(passed: int, count: int) -> float:
    """Return the share that ``passed`` of ``count`` stays under with 95 % certainty (Clopper and Pearson)."""
    return float(beta.ppf(0.95, passed + 1, count - passed)) if passed < count else 1.0


def say(what: str, passed: int, count: int) -> None:
    """Print how many wrong readings pass, and the likelihood ratio that it supports."""
    bound = at_most(passed, count)
    print(f"{what:58} {passed:5} of {count:6} wrong pass; at most {bound:.2%}; ratio at least {1 / bound:.0f}")


def report(rows: Sequence[Row]) -> None:
    """Print what kept check digits, repeats and sums are worth."""
    ids = [r for r in rows if r["name"].startswith("id")]
    wrong = [r for r in ids if r["text"] and r["text"] != r["truth"]]
    luhn = find_check_digit_scheme("luhn")
    assert luhn is not None
    print(f"ids: {len(ids)}, wrong {len(wrong)}, blank {sum(not r['text'] for r in ids)}")
    for name, part in (("any length", wrong), ("of the right length", [r for r in wrong if len(r["text"]) == 9])):
        say(f"written Luhn digit, {name}", sum(luhn(r["text"]) for r in part), len(part))
    for source, some in (("drawn", _of_sheets(rows)), ("real, development", _of_real(rows))):
        every = [r for r in some if r["text"] and r["text"] != r["truth"]]
        same = [r for r in every if len(r["text"]) == len(r["truth"])]
        for scheme, (length, part) in itertools.product(SCHEMES, (("any", every), ("right", same))):
            passed = sum(passes(r["truth"], r["text"], scheme) for r in part)
            say(f"{scheme}, {source}, {length} length", passed, len(part))
    _report_groups(rows)
    _report_odds(ids)
    _report_repairs(ids)


def _report_odds(ids: Sequence[Row]) -> None:
    """Print what the decision makes of the ids without their Luhn rule, with it, and at thresholds of its own."""
    plain, ruled = FieldSpec(name="id", box_mm=(0, 0, 9, 9), digits=9), _luhn_spec()
    for needed in (None, 0.9, 0.95, 0.98, 0.99, 0.995):
        policy = AcceptPolicy(accept_threshold=needed)
        for what, spec in (("without the rule", plain), ("with it", ruled)):
            decided = [(decide_field(spec, _read_of(row), policy), row) for row in ids]
            accepted = [field.text == row["truth"] for field, row in decided if field.status is FieldStatus.ACCEPTED]
            print(f"threshold {needed or 'promised'}, {what}: {len(accepted)} accepted, {accepted.count(False)} wrong")


def _report_repairs(ids: Sequence[Row]) -> None:
    """Print how often the one close reading that keeps the check digit is the truth, by the reading's confidence."""
    rule = CheckDigitRule(rule="check_digit", scheme="luhn")
    broken = [r for r in ids if r["text"] and broken_by(rule, r["text"])]
    repairs = [(find_repair(rule, _read_of(row)), row) for row in broken]
    for least in (0.0, 0.05, 0.2):
        offered = [(repair, row) for repair, row in repairs if repair and repair.confidence >= least]
        right = sum(repair.text == row["truth"] for repair, row in offered)
        print(f"broken {len(broken)}: one repair of confidence {least} or more {len(offered)}, right {right}")


def _luhn_spec() -> FieldSpec:
    rule = CheckDigitRule(rule="check_digit", scheme="luhn")
    return FieldSpec(name="id", box_mm=(0, 0, 9, 9), digits=9, rules=(rule,))


def _read_of(row: Row) -> RawReading:
    """Return a kept row as the decision wants it; of each digit the two likeliest are kept."""
    digits = []
    for place, (first, p, second, q) in enumerate(row["digits"]):
        probabilities = np.zeros(10, np.float32)
        probabilities[[first, second]] = p, q
        digits.append(DigitReading(place, probabilities, 0.0, Box(0, 0, 1, 1)))
    return RawReading(
        row["text"],
        row["confidence"],
        Box(0, 0, 1, 1),
        blank=not row["text"],
        digits=tuple(digits),
        alternatives=tuple(Alternative(text, p) for text, p in row["alternatives"]),
        doubts=tuple(Doubt(DoubtKind(kind)) for kind in row["doubts"]),
        accept_threshold=row["needed"],
    )


def _of_sheets(rows: Iterable[Row]) -> list[Row]:
    return [r for r in rows if r["name"] != "real"]


def _of_real(rows: Iterable[Row]) -> list[Row]:
    return [r for r in rows if r["name"] == "real"]


def _report_groups(rows: Sequence[Row]) -> None:
    by_place = {(r["source"], r["name"]): r for r in _of_sheets(rows)}
    groups = sorted({(s, name.lstrip("abcdefghijklmnopqrstuvwxyz")) for s, name in by_place})
    sums, repeats = [0, 0], [0, 0]
    for source, row in groups:
        a, b, c = (by_place[source, f"{name}{row}"] for name in "abc")
        if all(r["text"] for r in (a, b, c)) and any(r["text"] != r["truth"] for r in (a, b, c)):
            sums[1] += 1
            sums[0] += int(a["text"]) + int(b["text"]) == int(c["text"])
        first, again = by_place[source, f"id{row}"], by_place[source, f"again{row}"]
        if first["text"] and again["text"] and first["text"] != first["truth"]:
            repeats[1] += 1
            repeats[0] += first["text"] == again["text"]
    say("sum of two, one of the three wrong", *sums)
    say("the same number twice by one hand, one wrong", *repeats)


def main() -> None:
    """Collect readings into a file, or report on one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["collect", "report"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--sheets", type=int, default=40)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    if given.what == "report":
        report([json.loads(line) for line in given.file.read_text().splitlines()])
        return
    from worker.bootstrap import build_runtime

    cv2.setNumThreads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    recognizers, started = build_runtime().recognizers(), time.monotonic()
    with given.file.open("w") as out:
        rows = collect_real(recognizers) if given.real else collect_sheets(recognizers, given.sheets, given.seed)
        for count, row in enumerate(rows):
            out.write(json.dumps(row) + "\n")
            out.flush()
            if count % 500 == 499:
                print(f"{count + 1} fields, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
