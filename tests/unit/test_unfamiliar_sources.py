"""Pages without a form: no promise is shown for them, so that a person sees every number."""

from __future__ import annotations

import cv2

from tests.support.data import PROJECT
from worker.decision import AcceptPolicy
from worker.doubts import DoubtKind
from worker.models.runtime import load_recognizers
from worker.page_kinds import FreePage
from worker.pipeline import read_page
from worker.values import FieldStatus, Page


def test_every_number_of_a_page_without_a_form_awaits_a_person_who_is_told_why() -> None:
    grey = cv2.imread(str(PROJECT / "samples" / "free" / "photo.jpg"), cv2.IMREAD_GRAYSCALE)
    fields = read_page(Page("s", 0, grey), FreePage(), load_recognizers(), AcceptPolicy()).fields
    written = [field for field in fields if field.text]
    assert written
    assert all(field.status is FieldStatus.REVIEW for field in written)
    assert all(DoubtKind.NO_PROMISE in [doubt.kind for doubt in field.doubts] for field in written)
