"""The template designer as a person uses it: a real Chromium against the real server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.station import CARDS, Station, card_truth, open_page
from tests.support.system import PATIENCE
from worker.review.designs import draft_design

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.timeout(120)
expect.set_options(timeout=20_000 * PATIENCE)


def start_design(station: Station, fields: list[dict[str, object]] | None = None) -> Path:
    """Put a template in the making where the designer looks for it; return its folder."""
    folder = station.runtime.home / "designs" / "own"
    folder.mkdir(parents=True)
    shutil.copy(CARDS / "card-1.png", folder / "page.png")
    fields = fields or [{"name": "first", "box_mm": [16, 28, 58, 8]}, {"name": "second", "box_mm": [84, 28, 52, 8]}]
    (folder / "template.json").write_text(json.dumps({"name": "own", "page_mm": [210, 148], "fields": fields}))
    return folder


def test_a_form_is_designed_by_drawing_moving_and_naming(browser: Browser, station: Station) -> None:
    start_design(station)
    page = open_page(browser, station, "/templates/own")
    page.get_by_role("button", name="second").first.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowDown")
    sheet = page.locator("#sheet").bounding_box()
    assert sheet
    mm = sheet["width"] / 210
    page.mouse.move(sheet["x"] + 150 * mm, sheet["y"] + 100 * mm)
    page.mouse.down()
    page.mouse.move(sheet["x"] + 176 * mm, sheet["y"] + 110 * mm, steps=3)
    page.mouse.up()
    page.fill("#f-name", "first")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#problems")).to_contain_text("field names must differ: first")
    page.fill("#f-name", "reader")
    page.select_option("#f-verify", "double")
    page.fill("#f-digits", "1-4")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#message")).to_contain_text("Saved as own.json")
    saved = station.runtime.templates()["own"].fields
    assert saved[1].box_mm == (84, 28.5, 51.5, 8)
    assert (saved[2].name, saved[2].verify, saved[2].digit_range) == ("reader", "double", (1, 4))
    assert saved[2].box_mm == pytest.approx((150, 100, 26, 10), abs=0.5)
    page.close()


def test_fields_that_repeat_are_merged_into_rows_and_split_again(browser: Browser, station: Station) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    columns = (("days", 16, "number"), ("sum", 60, "amount"))
    fields = [
        {"name": f"{name}{row}", "box_mm": [x, 60 + 9 * row, 30, 8], "kind": kind}
        for row in (1, 2, 3)
        for name, x, kind in columns
    ]
    start_design(station, [*fields, {"name": "code", "box_mm": [120, 28, 52, 8]}])
    page = open_page(browser, station, "/templates/own")
    merge, message = page.get_by_role("button", name="Merge into rows"), page.locator("#message")
    page.get_by_role("checkbox", name="Select days1").focus()
    page.keyboard.press("Space")
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.locator("#sheet").get_by_role("button", name="code").focus()
    page.keyboard.press("Shift+Space")
    expect(page.locator("#sheet").get_by_role("button", name="code", pressed=True)).to_be_focused()
    merge.click()
    expect(message).to_contain_text("These are no rows: row 1 has no field in the column of days1")
    page.get_by_role("checkbox", name="Select code").uncheck()
    sheet = page.locator("#sheet").bounding_box()
    assert sheet
    mm = sheet["width"] / 210
    page.keyboard.down("Shift")
    page.mouse.move(sheet["x"] + 10 * mm, sheet["y"] + 64 * mm)
    page.mouse.down()
    page.mouse.move(sheet["x"] + 100 * mm, sheet["y"] + 100 * mm, steps=3)
    page.mouse.up()
    page.mouse.click(sheet["x"] + 30 * mm, sheet["y"] + 73 * mm)
    expect(page.locator("#selected")).to_have_text("5 selected")
    page.mouse.click(sheet["x"] + 30 * mm, sheet["y"] + 73 * mm)
    page.keyboard.up("Shift")
    expect(page.locator("#selected")).to_have_text("6 selected")
    merge.click()
    expect(message).to_have_text("Merged into 3 rows of 2 fields, 9 mm apart.")
    page.get_by_role("button", name="Split into fields").click()
    expect(message).to_have_text("Split into 6 fields.")
    merge.click()
    expect(message).to_have_text("Merged into 3 rows of 2 fields, 9 mm apart.")
    page.fill("#r-count", "4")
    page.fill("#r-pitch", "9.5")
    expect(page.locator("#sheet .box")).to_have_count(1 + 2 * 4)
    page.locator("#fields").get_by_role("button", name="row 1 to 4: sum").click()
    expect(page.locator("#f-from")).to_be_hidden()
    page.select_option("#f-verify", "double")
    page.fill("#f-from", "100000")
    results = axe.run(page)
    assert results.violations_count == 0, results.generate_report()
    page.get_by_role("button", name="Save").click()
    expect(message).to_contain_text("Saved as own.json")
    page.close()
    saved = {field.name: field for field in station.runtime.templates()["own"].fields}
    assert list(saved) == ["code", *(f"row{row}.{name}" for row in (1, 2, 3, 4) for name in ("days", "sum"))]
    assert saved["row4.sum"].box_mm == (60, 69 + 3 * 9.5, 30, 8)
    assert (saved["row4.sum"].verify, saved["row4.sum"].verify_from) == ("double", 100_000)


def test_rules_are_chosen_for_a_field_and_across_fields(browser: Browser, station: Station) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    names = ("before", "now", "used", "paid")
    fields = [{"name": n, "box_mm": [16, 28 + 12 * i, 58, 8], "kind": "number"} for i, n in enumerate(names)]
    dated = {"name": "read_on", "box_mm": [84, 28, 52, 8], "rules": [{"rule": "date", "not_after": "2030-01-01"}]}
    start_design(station, [*fields, dated])
    page = open_page(browser, station, "/templates/own")
    page.locator("#fields").get_by_role("button", name="paid").click()
    expect(page.get_by_label("of", exact=True)).to_be_hidden()
    page.locator("#f-rule").select_option("range")
    page.fill("#f-what", "10 to 99.5")
    page.locator("#fields").get_by_role("button", name="read_on").click()
    expect(page.locator("#f-rule")).to_be_disabled()  # more than a line can say stays as it is
    page.locator("#x-rule").select_option("difference")
    for part, name in (("minuend", "now"), ("subtrahend", "before"), ("result", "used")):
        page.locator(f"#x-{part}").select_option(name)
    page.get_by_role("button", name="Add the rule").click()
    page.locator("#x-rule").select_option("sum")
    page.locator("#x-fields").select_option(["used"])
    page.locator("#x-total").select_option("paid")
    page.get_by_role("button", name="Add the rule").click()
    expect(page.locator("#rules li")).to_have_text(["now less before = usedRemove", "used = paidRemove"])
    results = axe.run(page)
    assert results.violations_count == 0, results.generate_report()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#problems")).to_contain_text("two fields at least")
    page.get_by_role("button", name="Remove the rule used = paid").click()
    page.locator("#x-rule").select_option("at_least_one")
    page.locator("#x-fields").select_option(["before", "now"])
    page.get_by_role("button", name="Add the rule").click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#message")).to_contain_text("Saved as own.json")
    page.close()
    saved = json.loads((station.runtime.own_templates / "own.json").read_text("utf-8"))
    assert saved["rules"] == [
        {"rule": "difference", "minuend": "now", "subtrahend": "before", "result": "used"},
        {"rule": "at_least_one", "fields": ["before", "now"]},
    ]
    rules = {field["name"]: field.get("rules") for field in saved["fields"]}
    between = [{"rule": "range", "min": 10, "max": 99.5}]
    assert rules == {**dict.fromkeys(names), "paid": between, "read_on": dated["rules"]}


@pytest.mark.parametrize(
    ("kind", "line", "rule"),
    [
        ("range", "to 500", {"max": 500}),
        ("range", "-5 to", {"min": -5}),
        ("list", "A, B,,C ", {"values": ["A", "B", "C"]}),
        ("date", "ddmmyy", {"format": "DDMMYY"}),
        ("check_digit", "luhn", {"scheme": "luhn"}),
        ("pattern", "[0-9]{4}", {"regex": "[0-9]{4}"}),
        ("range", "some", None),
        ("list", " ,", None),
    ],
)
def test_a_line_says_a_rule_and_is_written_as_it_was_said(
    browser: Browser, station: Station, kind: str, line: str, rule: dict[str, object] | None
) -> None:
    start_design(station)
    page = open_page(browser, station, "/templates/own")
    page.locator("#fields").get_by_role("button", name="first").click()
    page.locator("#f-rule").select_option(kind)
    page.fill("#f-what", line)
    (first, _) = json.loads(page.locator("#json").input_value())["fields"]
    assert first.get("rules") == (rule and [{"rule": kind, **rule}])
    page.locator("#fields").get_by_role("button", name="second").click()
    page.locator("#fields").get_by_role("button", name="first").click()
    page.locator("#f-what").press("End")
    page.locator("#f-what").press_sequentially(" ")
    (again, _) = json.loads(page.locator("#json").input_value())["fields"]
    assert again.get("rules") == first.get("rules")
    page.close()


def test_the_page_is_read_while_one_edits(browser: Browser, station: Station) -> None:
    draft_design(station.runtime, "own", (CARDS / "card-1.png").read_bytes(), "filled")
    page = open_page(browser, station, "/templates/own")
    page.get_by_label("read while I edit").check()
    page.locator("#fields").get_by_role("button", name="Reader").click()
    page.fill("#f-digits", "3")
    line = page.locator("#fields tr", has_text="Reader")
    expect(line.locator(".reading")).to_contain_text(card_truth(1)["reader"], timeout=60_000 * PATIENCE)
    expect(page.locator("#message")).to_have_text("This is what is read.")
    page.close()
