"""The API held to its own OpenAPI by Schemathesis: what fits it and what does not, on a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.support.http import client_of
from tests.support.readings import CHECK, PAGE, make_field, make_page, read
from worker.bootstrap import build_runtime
from worker.settings import Settings
from worker.values import FieldStatus, PageReading

FEW = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("fuzzed")
    shutil.copy(sqlite_template, home / "icr.db")
    runtime = build_runtime(Settings(home=home, max_file_mb=0.1, broker_url="redis://127.0.0.1:1/0"))
    for page in (PAGE, CHECK, PageReading(0, 10, 20, problem="does not register")):
        read(runtime.engine(), page)
    read(runtime.engine(), make_page(0, *(make_field(f"f{i}", "12", FieldStatus.REVIEW, 0.6) for i in range(60))))
    with client_of(runtime) as client:
        yield client


def signed_in(client: httpx.Client) -> dict[str, str]:
    return {"Authorization": client.headers["authorization"]}


def test_every_address_keeps_what_its_description_says(client: httpx.Client) -> None:
    schema = schemathesis.openapi.from_url(f"{client.base_url}/v1/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 18
    untold = schemathesis.checks.CHECKS.get_by_names(["positive_data_acceptance"])  # no schema tells what is a scan
    for operation in operations:

        @FEW
        @given(case=operation.as_strategy())
        def keeps_it(case: Any) -> None:
            case.call_and_validate(headers=signed_in(client), excluded_checks=untold)

        keeps_it()


def test_the_server_never_makes_a_mistake_of_its_own(client: httpx.Client) -> None:
    """What does not fit the description is refused with a reason."""
    schema = schemathesis.openapi.from_url(f"{client.base_url}/v1/openapi.json")
    for result in schema.get_all_operations():

        @FEW
        @given(case=result.ok().as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
        def never_fails(case: Any) -> None:
            answer = case.call(headers=signed_in(client))
            assert answer.status_code < 500, (case.method, case.path, answer.text)

        never_fails()
