from __future__ import annotations

import datetime as dt

import cv2
import numpy as np
import pytest

from tests.support.data import PROJECT
from tests.support.readings import reasons_of
from worker.bootstrap import build_runtime
from worker.checks.finding import find_checks
from worker.checks.locales import LOCALES
from worker.checks.places import Zone, find_amount, find_ink, find_sign
from worker.checks.policy import CheckPolicy
from worker.decision.fields import AcceptPolicy
from worker.doubts import DoubtKind
from worker.imaging.currency_signs import SIGNS, draw_sign
from worker.page_kinds import CheckPage
from worker.pipeline import read_page
from worker.values import FieldStatus, Grey, Page, PageReading

RUNTIME = build_runtime()
RULES = CheckPolicy(LOCALES["US"], dt.date(2019, 12, 1))


def draw_check() -> Grey:
    """Draw a check of 1320 x 600 px with a currency sign and an amount in strokes."""
    check = np.full((600, 1320), 240, np.uint8)
    cv2.rectangle(check, (14, 14), (1305, 585), 120, 3)
    cv2.putText(check, "$", (990, 260), cv2.FONT_HERSHEY_TRIPLEX, 1.4, 20, 3, cv2.LINE_AA)
    cv2.putText(check, "450.00", (1040, 262), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 30, 3, cv2.LINE_AA)
    return check


def on_table(*placed: tuple[Grey, list[tuple[int, int]]]) -> Grey:
    """Lay checks on a dark table of 2000 x 1400 px, each by its four corners."""
    table = np.random.default_rng(1).normal(70, 4, (1400, 2000)).clip(0, 255).astype(np.uint8)
    for check, corners in placed:
        h, w = check.shape
        flat = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
        to_table = cv2.getPerspectiveTransform(flat, np.array(corners, np.float32))
        laid = cv2.warpPerspective(check, to_table, (2000, 1400))
        cover = cv2.warpPerspective(np.full_like(check, 255), to_table, (2000, 1400))
        table = np.where(cover > 127, laid, table)
    return table


ASKEW = [(260, 330), (1580, 240), (1640, 850), (300, 930)]


def read(grey: Grey) -> PageReading:
    return read_page(Page("scan", 0, grey), CheckPage(RULES), RUNTIME.recognizers(), AcceptPolicy())


def test_a_check_on_a_table_is_found_by_its_corners() -> None:
    (check,) = find_checks(on_table((draw_check(), ASKEW)))
    height, width = check.grey.shape
    flat = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    assert np.abs(cv2.perspectiveTransform(flat, check.page_from_check)[0] - ASKEW).max() < 8


def test_a_picture_cut_to_its_check_is_the_check() -> None:
    (check,) = find_checks(draw_check())
    assert check.grey.shape == (727, 1600)


@pytest.mark.parametrize("shape", [(1400, 1000), (40, 90)])
def test_a_page_without_a_check_says_so(shape: tuple[int, int]) -> None:
    found = read(np.full(shape, 255, np.uint8))
    assert found.problem == "no check is found on this page" and found.fields == ()


def test_two_checks_on_a_page_are_refused() -> None:
    small = [(x // 2 + 100, y // 2) for x, y in ASKEW]
    below = [(x + 200, y + 640) for x, y in small]
    found = read(on_table((draw_check(), small), (draw_check(), below)))
    assert found.problem is not None and found.problem.startswith("2 checks")


def test_an_amount_that_is_missing_goes_to_review_with_the_reason() -> None:
    blank = np.full((600, 1320), 240, np.uint8)
    amount = next(f for f in read(blank).fields if f.name == "amount")
    assert (amount.status, amount.text) == (FieldStatus.REVIEW, "")
    assert reasons_of(amount) == ("no amount is found on the check",)


@pytest.mark.parametrize("upside_down", [False, True])
def test_the_amount_stands_right_of_its_sign(upside_down: bool) -> None:
    drawn = draw_check()
    (check,) = find_checks(np.ascontiguousarray(drawn[::-1, ::-1]) if upside_down else drawn)
    ink = find_ink(check.turned() if upside_down else check)
    sign, place = find_sign(ink, RULES.locale.amount_zone, "$"), find_amount(ink, RULES.locale.amount_zone, "$")
    assert sign is not None and place is not None and place.by_sign
    assert place.box.x > sign.x + sign.w - 1 and place.box.x < 1600 * 1060 / 1320


def draw_signed(sign: str) -> Grey:
    """Draw a check whose amount follows a printed sign of any currency."""
    check = draw_check()
    check[215:275, 985:1025] = 240
    ink = cv2.resize(draw_sign(sign)[1], (26, 40), interpolation=cv2.INTER_AREA)
    check[222:262, 990:1016] = np.minimum(check[222:262, 990:1016], 250 - ink.astype(np.int16) * 0.9).astype(np.uint8)
    return check


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("country", ["US", "EU", "IN"])
def test_only_the_sign_of_its_own_currency_speaks_for_an_amount(sign: str, country: str) -> None:
    locale = LOCALES[country]
    (check,) = find_checks(draw_signed(sign))
    zone = Zone(0.6, 0.2, 0.99, 0.62)
    place = find_amount(find_ink(check), zone, locale.sign)
    assert place is not None
    own = sign == locale.sign
    assert (place.by_sign, place.other_sign) == (own, "" if own else sign)


def test_a_check_in_another_currency_goes_to_review() -> None:
    page = read_page(Page("scan", 0, draw_signed("£")), CheckPage(RULES), RUNTIME.recognizers(), AcceptPolicy())
    amount = next(f for f in page.fields if f.name == "amount")
    assert amount.status is FieldStatus.REVIEW
    assert "currency sign" not in amount.validation_sources
    assert DoubtKind.OTHER_CURRENCY in [doubt.kind for doubt in amount.doubts]


@pytest.mark.parametrize("turned", [False, True], ids=["upright", "upside down"])
def test_the_shipped_sample_reads_right_whichever_way_up_it_lies(turned: bool) -> None:
    grey = cv2.imread(str(PROJECT / "samples" / "check-slip.jpg"), cv2.IMREAD_GRAYSCALE)
    read_fields = {f.name: f.text for f in read(np.ascontiguousarray(grey[::-1, ::-1]) if turned else grey).fields}
    assert {name: read_fields[name] for name in ("amount", "date", "number")} == {
        "amount": "128450",
        "date": "09052026",
        "number": "004817",
    }
