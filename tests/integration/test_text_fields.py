"""Text in the store, in lists and on the page of the station: shown, and never decided."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import Engine

from schemas.form_template import FieldGrammar
from tests.support.http import Stage
from tests.support.readings import make_field, make_page, read
from worker.errors import InvalidReviewError
from worker.store.figures import count_latest_fields
from worker.store.reviews import correct_field
from worker.values import Box, FieldReading, FieldStatus

REMARK = FieldReading("remark", "", 0.0, FieldStatus.NOT_READ, Box(40, 90, 500, 60), grammar=FieldGrammar(kind="text"))


@pytest.fixture
def client(staged: httpx.Client, stage: Stage, engine: Engine) -> httpx.Client:
    stage.enter(engine)
    read(engine, make_page(0, make_field("slip", "17", FieldStatus.ACCEPTED), REMARK))
    return staged


def test_text_has_a_row_that_awaits_nobody(client: httpx.Client, engine: Engine) -> None:
    assert client.get("/v1/fields").json()["items"] == []
    with engine.connect() as connection:
        (job_id,) = connection.exec_driver_sql("SELECT id FROM jobs").one()
    (page,) = client.get(f"/v1/scans/{job_id}/result").json()["pages"]
    fields = page["fields"]
    assert [(f["name"], f["status"], f["final"], f["kind"]) for f in fields] == [
        ("slip", "accepted", "17", "code"),
        ("remark", "not_read", "", "text"),
    ]
    assert count_latest_fields(engine) == {"accepted": 1, "review": 0, "blank": 0}
    with pytest.raises(InvalidReviewError, match="never read"):
        correct_field(engine, fields[1]["field_id"], "42", who="ann")


def test_the_page_shows_a_picture_of_the_text_and_no_input(client: httpx.Client) -> None:
    shown = client.get("/pages/1").text
    row = shown.split('data-name="remark"')[1].split("</tr>")[0]
    assert '<img src="/v1/pages/1/image/' in row
    assert "<input" not in row and "data-change" not in row
