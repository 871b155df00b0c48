import datetime as dt
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from schemas.form_template import FormTemplate
from worker.checks.locales import LOCALES
from worker.checks.policy import CheckPolicy
from worker.errors import InvalidTemplateError, UnknownTemplateError
from worker.forms.templates import find_form, find_page_kind, find_template, load_template, load_templates
from worker.page_kinds import CheckPage, FreePage, LoneField
from worker.values import FormPages

GOOD = {
    "name": "small",
    "page_mm": [100, 100],
    "fields": [
        {"name": "a", "box_mm": [10, 10, 30, 8], "digits": 3},
        {"name": "b", "box_mm": [10, 30, 40, 8], "layout": "cells", "cells": 8, "digits": 8},
    ],
    "landmarks": [{"kind": "box", "box_mm": [10, 10, 30, 8]}],
}


def write(folder: Path, content: object, name: str = "small.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return path


def changed(**changes: object) -> dict[str, object]:
    return {**GOOD, **changes}


def field(**keys: object) -> dict[str, object]:
    return {"name": "a", "box_mm": [10, 10, 30, 8], **keys}


def rows(*fields: object) -> dict[str, object]:
    return {"count": 3, "pitch_mm": 10, "fields": list(fields)}


def line(**keys: object) -> dict[str, object]:
    return {"kind": "line", "box_mm": [10, 10, 30, 0.3], **keys}


UNKNOWN = {"rule": "check_digit", "scheme": "lunn"}
ROW_RULE = ("rows", 0, "fields", 0, "rules", 0)


def test_a_good_template_loads(tmp_path: Path) -> None:
    template = load_template(write(tmp_path, GOOD))
    assert [f.name for f in template.fields] == ["a", "b"]
    assert template.fields[1].digit_range == (8, 8)


MISTAKES = [
    (changed(fields=[field(colour=1)]), "field a, colour: unknown key 'colour'"),
    (changed(author="me"), "author: unknown key 'author'"),
    (changed(fields=[field(box_mm=[10, -4, 30, 8])]), "field a, box_mm[1]: must be 0 or more"),
    (changed(fields=[field(box_mm=[80, 10, 30, 8])]), "field a: box [80.0, 10.0, 30.0, 8.0] mm lies off the page"),
    (changed(landmarks=[{"kind": "box", "box_mm": [1, 1, 3, 99.5]}]), "landmark 0: box [1.0, 1.0, 3.0, 99.5]"),
    (changed(landmarks=[{"kind": "aruco", "box_mm": [1, 1, 9, 9]}]), 'an "aruco" landmark, and only that, has a \'nu'),
    (changed(landmarks=[{"kind": "box", "box_mm": [1, 1, 9, 9], "number": 3}]), 'an "aruco" landmark, and only that'),
    (changed(landmarks=[{"kind": "aruco", "box_mm": [1, 1, 9, 9], "number": 50}]), "number 50 is not in the"),
    (
        changed(landmarks=[{"kind": "aruco", "box_mm": [x, 1, 9, 9], "number": 7} for x in (1, 50)]),
        "landmark 1: marker 7 is on the page already",
    ),
    (changed(reference="page.png"), "'reference' and 'landmarks' exclude each other"),
    (changed(reference="page.png", landmarks=[]), "reference: "),
    (changed(fields=[field(), field(name="b", box_mm=[12, 14, 30, 8])]), "field b: its box overlaps that of field a"),
    (changed(fields=[field(), field(box_mm=[10, 50, 9, 9])]), "field names must differ: a"),
    (changed(fields=[field(rules=[{"rule": "prime"}])]), "field a, rules[0]: 'rule' must be one of 'range',"),
    (changed(fields=[field(rules=[{"rule": "range", "min": 9, "max": 2}])]), "a, rules[0]: min 9 is more than max 2"),
    (changed(fields=[field(rules=[{"rule": "range", "min": 1, "most": 2}])]), "rules[0].most: unknown key 'most'"),
    (changed(fields=[field(rules=[{"rule": "pattern", "regex": "("}])]), "rules[0].regex: not a regular expression"),
    (changed(fields=[field(rules=[{"rule": "check_digit", "scheme": "lunn"}])]), "python-stdnum knows no check 'lunn'"),
    (changed(fields=[field(layout="cells")]), "field a: a field laid out in cells must say how many"),
    (changed(fields=[field(digits={"min": 5, "max": 2})]), "min 5 is more than max 2"),
    (changed(rules=[{"rule": "sum", "fields": ["a", "x"], "total": "b"}]), "rule 0: speaks of fields that are not"),
    (changed(fields=[]), "there are no fields: only a page of a 'form' of several may have none"),
    (changed(form="survey"), "'form' and 'page' belong together"),
    (changed(page=2), "'form' and 'page' belong together"),
    (changed(name="free"), "name: 'free' names pages without a form: choose another name"),
    (changed(name="check"), "name: 'check' names pages without a form: choose another name"),
    (changed(form="field", page=1), "form: 'field' names pages without a form: choose another name"),
    ({k: v for k, v in GOOD.items() if k != "page_mm"}, "'page_mm' is missing"),
    ([], "must be an object"),
]


@pytest.mark.parametrize(("content", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_a_mistake_is_named_with_its_file_and_meaning(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(path)
    assert str(caught.value).startswith(f"{path}, line ")
    assert message in str(caught.value)


def line_of(error: InvalidTemplateError) -> int:
    return int(str(error).split(", line ")[1].split(":")[0])


def test_the_line_is_that_of_the_mistake(tmp_path: Path) -> None:
    text = """{
  "name": "small",
  "page_mm": [100, 100],
  "fields": [
    {"name": "a", "box_mm": [10, 10, 30, 8]},
    {"name": "b \\" }", "note": {"x": [1, 2]},
     "box_mm": [10, 30, 40, "wide"]}
  ]
}"""
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(write(tmp_path, text))
    lines = sorted(line.split(", line ")[1].split(":")[0] for line in str(caught.value).splitlines())
    assert lines == ["6", "6", "7"]


def test_overlap_names_the_line_of_the_second_field(tmp_path: Path) -> None:
    text = """{"name": "small", "page_mm": [100, 100], "fields": [
    {"name": "a", "box_mm": [10, 10, 30, 8]},
    {"name": "b", "box_mm": [10, 12, 30, 8]}]}"""
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(write(tmp_path, text))
    assert line_of(caught.value) == 3


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (changed(fields=[field(), field(name="b", box_mm=[10, 12, 30, 8])]), ("fields", 1)),
        (changed(fields=[field(), field(box_mm=[10, 50, 30, 8])]), ("fields", 1)),
        (changed(fields=[field(), field(name="b", box_mm=[90, 50, 30, 8])]), ("fields", 1)),
        (changed(fields=[field(), field(name="b", box_mm=[10, 50, 30, 8], dots=3)]), ("fields", 1, "dots")),
        (changed(fields=[field(), field(name="b", box_mm=[10, 50, 30, "8 mm"])]), ("fields", 1, "box_mm", 3)),
        (changed(rows=[rows(field(name="x", box_mm=[50, 80, 30, 8]))]), ("rows", 0, "fields", 0)),
        (changed(rows=[rows(field(box_mm=[50, 40, 30, 8], rules=[UNKNOWN]))]), (*ROW_RULE, "scheme")),
        (changed(rows=[rows(field(box_mm=[50, 40, 30, 8], rules=[{"rule": "range"}]))]), ROW_RULE),
        (changed(landmarks=[line(), line(box_mm=[90, 10, 30, 0.3])]), ("landmarks", 1)),
        (changed(rules=[{"rule": "sum", "fields": ["a", "x"], "total": "b"}]), ("rules", 0)),
        (changed(rules=[{"rule": "sum", "fields": ["none*"], "total": "a"}]), ("rules", 0)),
        (changed(fields=[]), ("fields",)),
        (changed(page=2), ("page",)),
        (changed(form="survey"), ("form",)),
        (changed(name="field"), ("name",)),
    ],
)
def test_a_mistake_leads_to_its_place_in_the_json(tmp_path: Path, content: object, path: tuple[int | str, ...]) -> None:
    """Repeated rows too: the third row that lies off the page is written in the first one's field."""
    text = json.dumps(content, indent=1)
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(write(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.path == path and problem.file.parent == tmp_path
    assert problem.line == line_of_place(text, path) and str(problem).endswith(problem.message)


def line_of_place(text: str, path: tuple[int | str, ...]) -> int:
    """Return the line of a value in indented JSON, found by putting a mark in its place."""
    content = json.loads(text)
    inner = content
    for part in path[:-1]:
        inner = inner[part]
    if isinstance(path[-1], int) or path[-1] in inner:
        inner[path[-1]] = "here"
    marked = json.dumps(content, indent=1)
    return next(i for i, line in enumerate(marked.splitlines(), 1) if '"here"' in line)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"name": "x",\n "page_mm": [1,}', "line 2: not JSON"), ("", "line 1: not JSON"), ("[" * 100_000, "too deep")],
    ids=["comma", "empty", "deep"],
)
def test_what_is_not_json_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidTemplateError, match=message):
        load_template(write(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(InvalidTemplateError, match="not UTF-8"):
        load_template(path)


def test_the_shipped_templates_load_and_a_users_own_go_before_them(tmp_path: Path) -> None:
    shipped = load_templates()
    assert len(shipped["nist-hsf"].fields) == 28
    write(tmp_path, changed(name="nist-hsf"))
    assert len(load_templates(tmp_path)["nist-hsf"].fields) == 2


def test_two_templates_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "one.json")
    write(tmp_path, GOOD, "two.json")
    with pytest.raises(InvalidTemplateError, match=r"two\.json.*'small' too"):
        load_templates(tmp_path)


def test_an_unknown_template_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownTemplateError, match=r"no template 'meters'; known are: .*nist-hsf"):
        find_template("meters", load_templates())


def test_a_template_is_found_by_its_file(tmp_path: Path) -> None:
    assert find_template(str(write(tmp_path, GOOD)), {}).name == "small"
    with pytest.raises(InvalidTemplateError, match="No such file"):
        find_template(str(tmp_path / "none.json"), {})


def test_the_version_follows_the_meaning_and_not_the_spelling(tmp_path: Path) -> None:
    first = load_template(write(tmp_path, GOOD))
    respelled = load_template(write(tmp_path, json.dumps(GOOD, separators=(",", ":")), "again.json"))
    moved = load_template(write(tmp_path, changed(fields=[field(box_mm=[11, 10, 30, 8])]), "moved.json"))
    assert first.version == respelled.version != moved.version


def survey(folder: Path) -> dict[str, FormTemplate]:
    """Two pages of one form, the second without fields, beside a form of one page."""
    write(folder, changed(name="survey-b", form="survey", page=2, fields=[]), "b.json")
    write(folder, changed(name="survey-a", form="survey", page=1), "a.json")
    write(folder, changed(name="single"), "single.json")
    return load_templates(folder)


def test_the_pages_of_a_form_are_found_by_its_name_in_their_order(tmp_path: Path) -> None:
    known = survey(tmp_path)
    found = find_form("survey", known)
    assert [t.name for t in found.pages] == ["survey-a", "survey-b"]
    assert "single" in [t.name for t in found.others]
    assert [t.name for t in find_form("survey-b", known).pages] == ["survey-b"]
    assert [t.name for t in find_form("single", known).pages] == ["single"]
    with pytest.raises(UnknownTemplateError, match=r"no template 'meters'.*; forms: survey"):
        find_form("meters", known)


def test_a_name_says_what_a_page_is_and_no_name_that_it_is_of_any_form(tmp_path: Path) -> None:
    known, checks = survey(tmp_path), CheckPolicy(LOCALES["US"], dt.date(2019, 12, 1))
    assert find_page_kind("field", known, checks) == LoneField()
    assert find_page_kind("free", known, checks) == FreePage()
    assert find_page_kind("check", known, checks) == CheckPage(checks)
    assert find_page_kind("survey", known, checks) == find_form("survey", known)
    anything = find_page_kind(None, known, checks)
    assert isinstance(anything, FormPages) and anything.form is None and set(anything.pages) == set(known.values())
    with pytest.raises(UnknownTemplateError, match="no template 'meters'"):
        find_page_kind("meters", known, checks)


def test_two_templates_for_one_page_of_a_form_are_refused(tmp_path: Path) -> None:
    survey(tmp_path)
    write(tmp_path, changed(name="survey-c", form="survey", page=2), "c.json")
    with pytest.raises(InvalidTemplateError, match="survey-b and survey-c are both page 2 of survey"):
        load_templates(tmp_path)


def test_a_form_named_like_another_template_is_refused(tmp_path: Path) -> None:
    survey(tmp_path)
    write(tmp_path, changed(name="survey"), "same.json")
    with pytest.raises(InvalidTemplateError, match="survey-a is a page of 'survey', which is the name of another"):
        load_templates(tmp_path)


def with_picture(folder: Path, shape: tuple[int, int], *, boxes: int) -> Path:
    """Write a template without landmarks whose reference is a picture of ``boxes`` boxes, 10 pixels a millimetre."""
    picture = np.full(shape, 255, np.uint8)
    for i in range(boxes):
        cv2.rectangle(picture, (100, 100 + 200 * i), (400, 180 + 200 * i), 0, 4)
    cv2.imwrite(str(folder / "page.png"), picture)
    return write(folder, changed(reference="page.png", landmarks=[]))


def test_the_print_of_a_reference_picture_becomes_the_landmarks(tmp_path: Path) -> None:
    found = load_template(with_picture(tmp_path, (1000, 1000), boxes=4))
    assert [m.kind for m in found.landmarks] == ["box"] * 4
    assert found.landmarks[1].box_mm == pytest.approx((10, 30, 30, 8), abs=0.2)
    other = load_template(with_picture(tmp_path, (1000, 1000), boxes=3))
    assert found.version != other.version


@pytest.mark.parametrize(
    ("shape", "boxes", "message"),
    [
        ((1000, 1000), 0, "0 printed boxes and lines are too few to be found by"),
        ((1000, 700), 3, "700 x 1000 pixels are not the proportions of 100.0 x 100.0 mm"),
    ],
    ids=["empty", "proportions"],
)
def test_a_reference_picture_that_does_not_serve_is_refused(
    tmp_path: Path, shape: tuple[int, int], boxes: int, message: str
) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        load_template(with_picture(tmp_path, shape, boxes=boxes))
    assert "line " in str(caught.value) and f"reference: {message}" in str(caught.value)


def test_a_missing_reference_picture_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, changed(reference="none.png", landmarks=[]))
    with pytest.raises(InvalidTemplateError, match=r"small\.json, line \d+: reference: .*none\.png") as caught:
        load_template(path)
    assert '"reference"' in path.read_text().splitlines()[line_of(caught.value) - 1]


def test_a_template_in_a_file_of_its_own_is_called_by_its_name(tmp_path: Path) -> None:
    """So that what a person is told of a page names no folder of the server."""
    field = {"name": "a", "box_mm": [10, 10, 40, 8]}
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"name": "own", "page_mm": [210, 148], "fields": [field]}))
    assert find_form(str(path), load_templates(None)).form == "own"
