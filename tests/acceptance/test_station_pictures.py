"""The pictures of the station in the README and the docs: one of every page, and none of a page of before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.data import PROJECT
from tests.support.station_pictures import take_pictures
from tests.support.station_views import VIEWS, WIDTH_PX, find_pictures, list_page_routes, picture_name
from worker.bootstrap import build_runtime
from worker.settings import Settings

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[test]'")
pytest.importorskip("zxingcpp", reason="no zxing-cpp: pip install -e '.[test]'")

pytestmark = pytest.mark.timeout(300)

IMAGES = PROJECT / "docs" / "images"
NAMES = {picture_name(name) for name in VIEWS}
GRID = 24
MOST_APART = 4.0
"""Grey levels by which a picture may differ on average from what is seen, both reduced to so many fields a side. Taken
twice, pictures differ by 0 to 0.5; those of two pages by 3.6 to 14."""
LEAST_INK = 0.002


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return {path.name: path for path in take_pictures(folder, tmp_path_factory.mktemp("home"), sqlite_template)}


def test_every_page_for_people_is_among_the_views(tmp_path: Path) -> None:
    assert list_page_routes(build_runtime(Settings(home=tmp_path))) == {view.route for view in VIEWS.values()}


def test_every_picture_is_there_and_shown_in_the_readme_and_the_docs() -> None:
    assert {path.name for path in IMAGES.glob("station-*.png")} == NAMES
    pages = [path.read_text("utf-8") for path in (PROJECT / "docs").rglob("*.md")]
    assert set().union(*map(find_pictures, pages)) == NAMES
    assert find_pictures((PROJECT / "README.md").read_text("utf-8")) == NAMES


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_shows_the_page_as_it_is(name: str, taken: dict[str, Path]) -> None:
    view, file = VIEWS[name], picture_name(name)
    now, kept = grey(taken[file]), grey(IMAGES / file)
    assert now.shape == kept.shape == (view.height_px, WIDTH_PX)
    for picture in (now, kept):
        assert np.mean(np.abs(picture - np.median(picture)) > 60) > LEAST_INK, "nothing is seen on it"
    apart = {other: distance(now, grey(IMAGES / picture_name(other))) for other in VIEWS}
    assert min(apart, key=apart.__getitem__) == name, apart
    assert apart[name] < MOST_APART, "a page of before: python -m tests.support.station_pictures docs/images"


def grey(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"), dtype=np.float32)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(np.abs(reduced(one) - reduced(other))))


def reduced(picture: np.ndarray) -> np.ndarray:
    size = (GRID, GRID)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), dtype=np.float32)
