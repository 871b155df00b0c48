"""What tests of the station in a browser share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.station import Station, chromium, fill_with_cards, make_runtime, serve_station

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def station(tmp_path: Path, sqlite_template: Path) -> Iterator[Station]:
    runtime = make_runtime(tmp_path / "home", sqlite_template)
    fill_with_cards(runtime)
    with serve_station(runtime) as served:
        yield served
