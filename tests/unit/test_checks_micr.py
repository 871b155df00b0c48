from __future__ import annotations

import itertools

import numpy as np
import pytest
from stdnum.us import rtn

from tests.support.readings import reasons_of
from worker.checks.e13b import CHARACTERS, COLUMNS, ROWS, grid
from worker.checks.finding import Check
from worker.checks.micr import parse_micr, read_micr, spell
from worker.checks.micr_fields import agree_on_number, read_micr_fields
from worker.synthesis.micr import draw_line, draw_line_text, draw_routing
from worker.values import Box, FieldReading, FieldStatus


def check_with_line(text: str, *, seed: int = 3) -> Check:
    """Draw a white check, 1600 px wide, with a MICR line in its band."""
    grey = np.full((720, 1600), 255, np.uint8)
    line = draw_line(np.random.default_rng(seed), text, 3.2)[:, :1600]
    grey[720 - line.shape[0] :, : line.shape[1]] = line
    return Check(grey, np.eye(3))


def test_shapes_lie_on_the_grid_and_differ() -> None:
    grids = {c: grid(c) for c in CHARACTERS}
    assert all(g.shape == (ROWS, COLUMNS) and g.any() for g in grids.values())
    apart = [int((a != b).sum()) for a, b in itertools.combinations(grids.values(), 2)]
    assert min(apart) >= 4


def test_drawn_routing_numbers_pass_the_check_of_the_aba() -> None:
    rng = np.random.default_rng(1)
    assert all(rtn.is_valid(draw_routing(rng)) for _ in range(50))


@pytest.mark.parametrize("seed", range(6))
def test_drawn_lines_are_read_whole(seed: int) -> None:
    rng = np.random.default_rng([77, seed])
    text = draw_line_text(rng)
    assert spell(read_micr(draw_line(rng, text, 3.0), (2.2, 3.9))) == text


def test_paper_without_a_line_reads_nothing() -> None:
    rng = np.random.default_rng(2)
    assert read_micr(np.full((180, 1600), 255, np.uint8), (2.2, 3.9)) == []
    grain = rng.normal(200, 6, (180, 1600)).clip(0, 255).astype(np.uint8)
    assert len(read_micr(grain, (2.2, 3.9))) < 10


@pytest.mark.parametrize(
    ("text", "routing", "account", "serial"),
    [
        ("T021000021T12345678U1025", "021000021", "12345678", "1025"),
        ("U001025UT021000021T12345678U", "021000021", "12345678", "001025"),
        ("T021000021T12D34567UA0000012345A", "021000021", "12D34567", None),
        ("T02100002T12345678U1025", None, None, None),
        ("", None, None, None),
    ],
)
def test_fields_are_told_by_the_symbols(text: str, routing: str, account: str, serial: str) -> None:
    found = parse_micr(text)
    spans = (found.routing, found.account, found.serial)
    assert tuple(text[slice(*s)] if s else None for s in spans) == (routing, account, serial)


def test_a_wrong_routing_number_sends_the_whole_line_to_review() -> None:
    good = read_micr_fields(check_with_line("T021000021T 12345678U 1025"))
    bad = read_micr_fields(check_with_line("T021000031T 12345678U 1025"))
    assert [(f.name, f.text) for f in good] == [
        ("micr_routing", "021000021"),
        ("micr_account", "12345678"),
        ("micr_serial", "1025"),
    ]
    assert all("check digit us.rtn" in f.validation_sources for f in good)
    assert {f.status for f in bad} == {FieldStatus.REVIEW}
    assert all("check digit of 021000031 is wrong" in reasons_of(f)[-1] for f in bad)


def test_a_hole_within_a_number_sends_it_to_review() -> None:
    account = read_micr_fields(check_with_line("T021000021T 1234 678U 1025"))[1]
    assert (account.text, account.status) == ("1234678", FieldStatus.REVIEW)
    assert "characters 4 and 5 stand" in reasons_of(account)[0]


def reading(name: str, text: str) -> FieldReading:
    return FieldReading(name, text, 0.99, FieldStatus.ACCEPTED, Box(0, 0, 1, 1))


def test_number_and_serial_speak_for_or_against_each_other() -> None:
    same = agree_on_number([reading("number", "1025"), reading("micr_serial", "001025")])
    assert [f.validation_sources for f in same] == [("micr serial",), ("printed number",)]
    other = agree_on_number([reading("number", "1025"), reading("micr_serial", "1026")])
    assert {f.status for f in other} == {FieldStatus.REVIEW} and "differs" in reasons_of(other[0])[0]
    assert agree_on_number([reading("number", "1025")])[0].status == FieldStatus.ACCEPTED
