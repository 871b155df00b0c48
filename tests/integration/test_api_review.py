"""What awaits a person, a page of a list at a time, and decisions that count once, on both databases."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.support.http import Stage
from tests.support.readings import CHECK, PAGE, make_field, make_page, read
from worker.bootstrap import Runtime
from worker.commands.result_lines import field_lines
from worker.output.csv_lines import csv_lines
from worker.store.results import Selection
from worker.store.reviews import correct_field
from worker.values import FieldStatus, PageReading

CHECK_2 = replace(CHECK, page=1)


@pytest.fixture
def runtime(stage: Stage, engine: Engine) -> Runtime:
    stage.enter(engine)
    return stage.runtime


@pytest.fixture
def client(staged: httpx.Client, runtime: Runtime) -> httpx.Client:
    return staged


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["/v1/export?job=1", "/v1/fields?template=sample-form", "/v1/digits?limit=5&belw=0.5"])
def test_a_name_in_the_query_that_is_not_known_is_refused_instead_of_giving_everything(
    client: httpx.Client, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    name = path.rpartition("=")[0].rpartition("?")[2].rpartition("&")[2]
    assert answer.json()["detail"] == f"query.{name} is not known"
    assert httpx.get(str(client.base_url) + path).status_code == 401, "who asks comes first"


def walk(client: httpx.Client, path: str | None) -> list[dict[str, Any]]:
    """Follow ``next`` to the end of a list."""
    found: list[dict[str, Any]] = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        path = answer.json()["next"]
    return found


def test_lists_are_walked_to_their_end_without_a_gap(client: httpx.Client, runtime: Runtime) -> None:
    for _ in range(5):
        read(runtime.engine(), PAGE, make_page(1, make_field("late", "12", FieldStatus.REVIEW, 0.6)))
    read(runtime.engine(), PageReading(0, 10, 20, problem="does not register"))
    fields = walk(client, "/v1/fields?status=review&limit=3")
    assert [field["name"] for field in fields] == ["count", "late"] * 5
    assert [field["field_id"] for field in fields] == sorted({field["field_id"] for field in fields})
    digits = walk(client, "/v1/digits?below=0.95&limit=3")
    assert [digit["confidence"] for digit in digits] == sorted(digit["confidence"] for digit in digits)
    assert len({(digit["field_id"], digit["position"]) for digit in digits}) == len(digits) == 10
    (page,) = walk(client, "/v1/pages?limit=1")
    assert page["problem"] == "does not register"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/fields?limit=0",
        "/v1/fields?after=-1",
        "/v1/fields?status=done",
        "/v1/digits?below=2",
        "/v1/digits?after=x~y~z",
    ]
    + [f"/v1/digits?after={key}" for key in ("nan~1~1", "0.5~1", "0.5~99999999999999999999~1", "0.5~1~99999")],
)
def test_a_list_that_does_not_exist_is_a_problem_that_says_where(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_decision_counts_once(client: httpx.Client, runtime: Runtime) -> None:
    read(runtime.engine(), PAGE)
    (field,) = walk(client, "/v1/fields")
    path, seen = f"/v1/fields/{field['field_id']}/review", {"version": field["version"]}
    assert seen == {"version": 0}
    review = client.post(path, json={**seen, "text": "39"}).json()
    assert (review["action"], review["before"], review["after"]) == ("correct", "38", "39")
    stale = client.post(path, json=seen)
    assert stale.status_code == 409 and stale.json()["type"] == "urn:icr:StaleReview"
    again = client.post(path, json={"version": review["version"]})
    assert again.status_code == 200 and again.json()["after"] == "39"
    assert walk(client, "/v1/fields") == []


def test_a_decision_by_the_command_makes_the_one_on_the_screen_stale(client: httpx.Client, runtime: Runtime) -> None:
    read(runtime.engine(), PAGE)
    (field,) = walk(client, "/v1/fields")
    correct_field(runtime.engine(), field["field_id"], "83", who="anna")
    answer = client.post(f"/v1/fields/{field['field_id']}/review", json={"version": 0})
    assert answer.status_code == 409 and "anna" in answer.json()["detail"]


def test_a_text_that_does_not_fit_is_said_and_may_be_overruled(client: httpx.Client, runtime: Runtime) -> None:
    read(runtime.engine(), CHECK)
    (field,) = walk(client, "/v1/fields")
    path = f"/v1/fields/{field['field_id']}/review"
    unfit = client.post(path, json={"version": 0, "text": "99/99/2026"})
    assert unfit.status_code == 409 and unfit.json()["type"] == "urn:icr:DoubtfulReview"
    taken = client.post(path, json={"version": 0, "text": "99/99/2026", "overrule": True})
    assert taken.status_code == 200 and taken.json()["overruled"]


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"version": 0, "text": "<script>alert(1)</script>"}, 422),
        ({"text": "39"}, 422),
        ({"version": 0, "texts": "39"}, 422),
        ({"version": 2**70}, 422),
        ([], 422),
    ],
)
def test_what_is_no_decision_decides_nothing(client: httpx.Client, runtime: Runtime, order: Any, status: int) -> None:
    read(runtime.engine(), PAGE)
    (field,) = walk(client, "/v1/fields")
    answer = client.post(f"/v1/fields/{field['field_id']}/review", json=order)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert len(walk(client, "/v1/fields")) == 1
    assert client.post("/v1/fields/99999/review", json={"version": 0}).status_code == 404


def test_the_csv_is_that_of_the_command_with_names_instead_of_places(client: httpx.Client, runtime: Runtime) -> None:
    field = make_field("sum", "701", FieldStatus.ACCEPTED)
    read(runtime.engine(), make_page(0, field), CHECK_2, uri="/secret/place/=1+1.png", reference="=cmd()")
    answer = client.get("/v1/export?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["name"] for row in rows] == ["sum", "amount", "date", "number"]
    assert [row["page"] for row in rows] == ["1", "2", "2", "2"], "as people count"
    assert rows[1]["final_value"] == "12345" and rows[1]["currency"] == "USD"
    assert {row["source"] for row in rows} == {"'=1+1.png"} and rows[0]["reference"] == "'=cmd()"
    command = "".join(csv_lines(field_lines(runtime.engine(), Selection())))
    assert command.replace("/secret/place/", "'") == answer.text
