"""Promises for pages without a form and for lone crops: what they let be accepted, and what is held back without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.data import PROJECT
from worker.calibration import UNCALIBRATED, Promise, keep_calibration
from worker.decision.fields import AcceptPolicy
from worker.doubts import DoubtKind
from worker.errors import ModelFileError
from worker.models.runtime import MODELS_DIR, PAGE_PROMISES, load_recognizers
from worker.page_kinds import FreePage, LoneField
from worker.page_promises import NO_PAGE_PROMISES, PagePromises, keep_page_promises, parse_page_promises
from worker.pipeline import read_page
from worker.synthesis.fields import draw_field
from worker.training.general.free_pages import SureField, choose_page_promises, judge_held_out_pages
from worker.values import FieldReading, FieldStatus, Page, Recognizers

SHOWN = Promise(0.005, 0.998, is_shown=True, labelled=2000, accepted=1500, wrong=1)
LAX = Promise(0.02, 0.9, is_shown=True, labelled=2000, accepted=1800, wrong=20)
DEFAULT = AcceptPolicy()
NOT_SHOWN = Promise(0.005, 0.99, labelled=20, accepted=10)
VERSIONS = {"digits": "1", "fields": "2"}


@pytest.fixture(scope="module")
def recognizers() -> Recognizers:
    return load_recognizers()


def read_photo(recognizers: Recognizers, promises: PagePromises) -> tuple[FieldReading, ...]:
    grey = cv2.imread(str(PROJECT / "samples" / "free" / "photo.jpg"), cv2.IMREAD_GRAYSCALE)
    page = Page("photo", 0, np.asarray(grey, np.uint8))
    return read_page(page, FreePage(), replace(recognizers, page_promises=promises), AcceptPolicy()).fields


def test_promises_are_kept_and_parsed_back() -> None:
    kept = json.loads(json.dumps(keep_page_promises((SHOWN, LAX), (NOT_SHOWN,), VERSIONS, UNCALIBRATED)))
    assert parse_page_promises(kept, VERSIONS, UNCALIBRATED) == PagePromises((SHOWN, LAX), (NOT_SHOWN,))


def test_other_models_and_other_weights_make_them_void() -> None:
    kept = keep_page_promises((SHOWN,), (), VERSIONS, UNCALIBRATED)
    assert parse_page_promises(kept, {**VERSIONS, "fields": "3"}, UNCALIBRATED) == NO_PAGE_PROMISES
    assert parse_page_promises(kept, {**VERSIONS, "another_reader": "1"}, UNCALIBRATED) == NO_PAGE_PROMISES
    other = replace(UNCALIBRATED, free=replace(UNCALIBRATED.free, bias=0.5))
    assert parse_page_promises(kept, VERSIONS, other) == NO_PAGE_PROMISES


def test_a_model_that_only_doubts_leaves_the_promises_as_they_were_shown() -> None:
    kept = keep_page_promises((SHOWN,), (), VERSIONS, UNCALIBRATED)
    for version in ("1", "2"):
        assert parse_page_promises(kept, {**VERSIONS, "alterations": version}, UNCALIBRATED).free == (SHOWN,)
    kept = keep_page_promises((SHOWN,), (), {**VERSIONS, "alterations": "1"}, UNCALIBRATED)
    assert parse_page_promises(kept, VERSIONS, UNCALIBRATED).free == (SHOWN,)


def test_only_what_was_shown_and_is_strict_enough_gives_a_threshold() -> None:
    promises = PagePromises((SHOWN, LAX), (NOT_SHOWN,))
    assert promises.promising(0.005).threshold_for("free") == 0.998
    assert promises.promising(0.02).threshold_for("free") == 0.9
    assert promises.promising(0.001).threshold_for("free") is None
    assert promises.promising(0.02).threshold_for("cells") is None


def test_without_a_promise_a_person_sees_every_number(recognizers: Recognizers) -> None:
    fields = read_photo(recognizers, NO_PAGE_PROMISES)
    assert fields
    assert all(DoubtKind.NO_PROMISE in [doubt.kind for doubt in field.doubts] for field in fields)


def test_a_shown_promise_lets_sure_numbers_be_accepted_and_no_others(recognizers: Recognizers) -> None:
    fields = read_photo(recognizers, PagePromises(free=(SHOWN,)))
    accepted = {field.text for field in fields if field.status is FieldStatus.ACCEPTED}
    sure = {field.text for field in fields if field.confidence >= 0.998}
    assert {"38", "500219"} <= accepted <= sure
    assert "2026" not in sure  # 0.9973: lower than this promise asks
    assert all(field.accept_threshold is not None and field.accept_threshold >= 0.998 for field in fields)
    strict = read_photo(recognizers, PagePromises(free=(replace(SHOWN, accept_threshold=1.0),)))
    assert all(field.status is FieldStatus.REVIEW for field in strict)


def test_the_shipped_promises_were_shown_with_the_shipped_models() -> None:
    strict, lax = (load_recognizers(max_substitution_rate=rate).page_promises for rate in (0.005, 0.01))
    told = "the models are others than those of pages.json: run 'icr calibrate-pages'"
    assert strict.threshold_for("cells") is not None, told
    assert lax.threshold_for("free") is not None, told


def test_no_threshold_is_laxer_than_that_of_the_readers() -> None:
    fields = [SureField("free", 0.9 + i / 50_000, right=i % 1000 > 0) for i in range(4000)]
    laxest = choose_page_promises(fields, "free", least=0.95)[-1]
    assert laxest.is_shown
    assert laxest.accept_threshold == min(field.confidence for field in fields if field.confidence >= 0.95)


def read_crop(recognizers: Recognizers, *, confident: float, policy: AcceptPolicy = DEFAULT) -> FieldReading:
    """Read a lone crop with a calibration that gives every field one confidence, and accepts from 0.97."""
    free = replace(
        recognizers.calibration.free,
        weights=np.zeros_like(recognizers.calibration.free.weights),
        bias=float(np.log(confident / (1 - confident))),
        promise=Promise(0.005, 0.97, is_shown=True),
    )
    known = replace(recognizers, calibration=replace(recognizers.calibration, free=free))
    grey = draw_field(np.random.default_rng(3), "4071", clean=True).grey
    (field,) = read_page(Page("crop", 0, grey), LoneField(), known, policy).fields
    assert field.text == "4071"
    return field


def test_a_lone_crop_needs_more_confidence_until_its_source_is_known(recognizers: Recognizers) -> None:
    held = read_crop(recognizers, confident=0.985)
    assert held.status is FieldStatus.REVIEW
    assert [doubt.kind for doubt in held.doubts] == [DoubtKind.NO_PROMISE, DoubtKind.LOW_CONFIDENCE]
    assert held.accept_threshold == pytest.approx(0.99)
    assert read_crop(recognizers, confident=0.992).status is FieldStatus.ACCEPTED
    known = replace(recognizers, calibration=replace(recognizers.calibration, knows_source=True))
    assert read_crop(known, confident=0.985).status is FieldStatus.ACCEPTED
    assert read_crop(recognizers, confident=0.985, policy=AcceptPolicy(0.98)).status is FieldStatus.ACCEPTED


def test_a_site_s_own_calibration_knows_its_source(tmp_path: Path) -> None:
    own = tmp_path / "calibration.json"
    own.write_text(json.dumps(keep_calibration(load_recognizers().calibration)), encoding="utf-8")
    assert load_recognizers(calibration=own).calibration.knows_source
    assert not load_recognizers().calibration.knows_source


def test_a_broken_file_of_promises_is_told(tmp_path: Path) -> None:
    for model in MODELS_DIR.glob("*.*"):
        if model.suffix in (".onnx", ".json"):
            (tmp_path / model.name).symlink_to(model)
    (tmp_path / PAGE_PROMISES).unlink(missing_ok=True)
    (tmp_path / PAGE_PROMISES).write_text('{"free": []}')
    with pytest.raises(ModelFileError, match="page promises"):
        load_recognizers(tmp_path)


def test_pages_that_were_kept_are_not_read_again_and_half_a_line_is(tmp_path: Path) -> None:
    kept = tmp_path / "free-1.jsonl"
    field = {"layout": "free", "confidence": 0.9, "right": True}
    lines = [json.dumps({"page": page, "fields": [field]}) for page in range(4)]
    kept.write_text("\n".join(lines) + '\n{"page": 4, "fie')
    told: list[str] = []
    fields = judge_held_out_pages(tmp_path, "free", 3, 1, kept=kept, processes=1, report=told.append)
    assert (fields, told) == ([SureField(**field)] * 3, [])  # the fourth was not asked for
    assert kept.read_text().splitlines() == lines
