"""``python -m tests.support.station_pictures docs/images``: pictures of every page of the station, for the docs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.station import chromium, serve_station
from tests.support.station_views import VIEWS, make_stocked_runtime, open_view, picture_name
from worker.store.engine import make_engine, upgrade_database


def main() -> None:
    """Take the pictures into the folder that is named."""
    with tempfile.TemporaryDirectory() as home:
        for path in take_pictures(Path(sys.argv[1]), Path(home), empty_database(Path(home))):
            print(path)


def take_pictures(folder: Path, home: Path, database: Path) -> list[Path]:
    """Take a picture of every page of a station that has something to show on each; return them."""
    runtime = make_stocked_runtime(home / "home", database)
    taken = []
    with serve_station(runtime) as station, chromium() as browser:
        for name, view in VIEWS.items():
            page = open_view(browser, station, view)
            taken.append(folder / picture_name(name))
            page.screenshot(path=taken[-1], animations="disabled", caret="hide")
            page.context.close()
    return taken


def empty_database(folder: Path) -> Path:
    """Return a database with all its tables."""
    engine = make_engine(f"sqlite:///{folder / 'empty.db'}")
    upgrade_database(engine)
    engine.dispose()
    return folder / "empty.db"


if __name__ == "__main__":
    main()
