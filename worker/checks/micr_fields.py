"""Read the fields of the MICR line; accept a field if every character is certain and a second source agrees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from schemas.rules import CheckDigitRule
from worker.checks.e13b import PITCH_UNITS, ROWS
from worker.checks.finding import Check
from worker.checks.micr import MicrSymbol, parse_micr, read_micr
from worker.decision.confirmation import add_doubt, confirm_field, raise_by_odds
from worker.doubts import Doubt, DoubtKind, Witness
from worker.fields.locating.extraction import bounding_box_px
from worker.grammar.rules import broken_by
from worker.values import Box, FieldReading, FieldStatus

BAND_SHARE = 0.26
"""The MICR clear band is the lowest 0.625 in of a check 2.75 in high (0.23); photographs keep some table."""
UNIT_PX = (2.2, 3.9)
"""0.013 in on a check of 6 to 8.5 in, laid flat 1600 px wide, takes 2.4 to 3.5 px."""
SURE_LEAD = 0.08
"""Least lead of a certain character over the next likely one (docs/reference/accuracy.md)."""
SURE_CONFIDENCE, UNSURE_CONFIDENCE = 0.99, 0.5
"""Confidence of a field of sure characters, and of one with an unsure one: bounds by drawn lines, not calibrated."""
WIDEST_GAP = 1.4
"""Largest distance of neighbours in a field, in pitches; print and a wrong scale move characters by less."""
LONE_GAP = 3.5
"""Pitches on both sides of a character that belongs to no field."""
FEWEST_SYMBOLS = 10
"""Fewest characters of a MICR line; fewer are print or a signature in its band."""
SERIAL_ODDS = 40.0
"""A wrong number agrees only with a serial that is wrong too: of 200 drawn lines one was, 2.4 % at most with 95 %
certainty. What agreement is worth to the serial is not measured: its confidence is no calibrated one."""
_ROUTING_RULE = CheckDigitRule(rule="check_digit", scheme="us.rtn")


def read_micr_fields(check: Check) -> tuple[FieldReading, ...]:
    """Return routing, account, serial and amount of a US line; ``micr_line`` if they cannot be told apart."""
    symbols, top = read_band(check)
    if len(symbols) < FEWEST_SYMBOLS:
        return ()
    spans = parse_micr("".join(s.character for s in symbols))
    if spans.routing is None:
        line = _reading("micr_line", symbols, top, check)
        return (add_doubt(line, Doubt(DoubtKind.NO_ROUTING_NUMBER)),)
    named = {"routing": spans.routing, "account": spans.account, "serial": spans.serial, "amount": spans.amount}
    fields = [_reading(f"micr_{name}", symbols[span[0] : span[1]], top, check) for name, span in named.items() if span]
    broken = broken_by(_ROUTING_RULE, fields[0].text)
    if broken:
        doubt = Doubt(DoubtKind.RULE_BROKEN, subject=_ROUTING_RULE.rule, explanation=broken)
        return tuple(add_doubt(field, doubt) for field in fields)
    return tuple(confirm(field, "check digit us.rtn") for field in fields)


def agree_on_number(fields: Sequence[FieldReading]) -> tuple[FieldReading, ...]:
    """Compare the printed check number with the MICR serial, without leading zeros."""
    by_name = {f.name: f for f in fields}
    number, serial = by_name.get("number"), by_name.get("micr_serial")
    if number is None or serial is None or not number.text:
        return tuple(fields)
    if number.text.lstrip("0") == serial.text.lstrip("0"):
        odds = SERIAL_ODDS if serial.status is FieldStatus.ACCEPTED else 1.0
        raised = raise_by_odds(number.confidence, odds)
        by_name["number"] = confirm_field(number, raised, "micr serial", frozenset({Witness.SECOND_PRINT}))
        by_name["micr_serial"] = confirm(serial, "printed number")
    else:
        doubt = Doubt(DoubtKind.SOURCES_DIFFER, readings=(number.text, serial.text))
        by_name["number"], by_name["micr_serial"] = add_doubt(number, doubt), add_doubt(serial, doubt)
    return tuple(by_name.values())


def read_band(check: Check) -> tuple[list[MicrSymbol], int]:
    """Return the characters of a check's MICR band, and the band's first row."""
    height = check.grey.shape[0]
    top = round(height * (1 - BAND_SHARE))
    return _without_lone(read_micr(check.grey[top:], UNIT_PX)), top


def _without_lone(symbols: list[MicrSymbol]) -> list[MicrSymbol]:
    """Leave out characters far from all others, such as the upright of a printed border read as a 1."""
    holes = [True, *(gap > LONE_GAP for gap in _pitches_apart(symbols)), True]
    return [s for s, before, after in zip(symbols, holes, holes[1:], strict=False) if not (before and after)]


def confirm(field: FieldReading, source: str) -> FieldReading:
    """Note that a source supports a field, without a measured worth."""
    return replace(field, validation_sources=(*field.validation_sources, source))


def _reading(name: str, symbols: Sequence[MicrSymbol], top: int, check: Check) -> FieldReading:
    least = min(symbols, key=lambda s: s.lead)
    doubts = _broken_spacing(symbols)
    if least.lead < SURE_LEAD:
        doubts += (Doubt(DoubtKind.UNSURE_CHARACTER, position=symbols.index(least) + 1, found=least.lead),)
    first, last = symbols[0].box, symbols[-1].box
    low, high = min(s.box.y for s in symbols), max(s.box.y + s.box.h for s in symbols)
    box = Box(first.x, low + top, last.x + last.w - first.x, high - low)
    return FieldReading(
        name,
        "".join(s.character for s in symbols),
        UNSURE_CONFIDENCE if doubts else SURE_CONFIDENCE,
        FieldStatus.REVIEW if doubts else FieldStatus.ACCEPTED,
        bounding_box_px(box, check.page_from_check),
        doubts=doubts,
        validation_sources=("micr",),
    )


def _broken_spacing(symbols: Sequence[MicrSymbol]) -> tuple[Doubt, ...]:
    """Name the characters of a field that do not stand one pitch apart, because one may be lost between them."""
    return tuple(
        Doubt(DoubtKind.UNEVEN_PITCH, position=i + 1, found=gap, needed=WIDEST_GAP)
        for i, gap in enumerate(_pitches_apart(symbols))
        if gap > WIDEST_GAP
    )


def _pitches_apart(symbols: Sequence[MicrSymbol]) -> list[float]:
    return [(b.box.x - a.box.x) / (PITCH_UNITS / ROWS * a.box.h) for a, b in itertools.pairwise(symbols)]
