"""``python -m worker.review.drafting SCAN FOLDER NAME``: draft a template in a process of its own.

A hostile file may kill this process instead of the server. It writes ``template.json``, and ``page.png``: the scan
brought onto the template, so that millimetres are straight on the screen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from worker.bootstrap import build_runtime
from worker.errors import IcrError, UnreadableScanError
from worker.system.child import prepare_child

PX_PER_MM = 6.0
"""Of the picture: a digit of 3 mm is 18 pixels high, and an A4 page 1,260 x 1,782."""


def draft(scan: Path, folder: Path, name: str, *, blank: bool | None) -> None:
    """Draft a template from the first page of a scan.

    Raises
    ------
    IcrError
        The scan cannot be decoded, or shows no box to draft from.
    """
    import cv2
    import numpy as np

    from worker.forms.drafting import draft_template, template_json
    from worker.forms.labels import NoOcrError
    from worker.rasterizer import open_page
    from worker.registration.registration import register_page

    page = open_page(scan, 0, scan_id="", limits=build_runtime().limits())
    try:
        drafted = draft_template(page, name, named=True, blank=blank)
    except NoOcrError:
        drafted = draft_template(page, name, blank=blank)
    found = register_page(page, drafted)
    if found.quality < drafted.min_registration:
        raise UnreadableScanError(
            f"the page does not find its own template (registration {found.quality:.2f}): too little is printed on it"
        )
    size = tuple(round(side * PX_PER_MM) for side in drafted.page_mm)
    page_from_px = found.page_from_mm @ np.diag([1 / PX_PER_MM, 1 / PX_PER_MM, 1.0])
    options = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    straight = cv2.warpPerspective(page.grey, page_from_px, size, flags=options, borderValue=255)
    (folder / "page.png").write_bytes(cv2.imencode(".png", straight)[1].tobytes())
    (folder / "template.json").write_text(template_json(drafted), "utf-8")


def main() -> None:
    """Draft what the arguments name; an error of ours is one line on stderr and exit code 1."""
    scan, folder, name, *how = sys.argv[1:]
    prepare_child(build_runtime().settings.job_memory_mb)
    try:
        draft(Path(scan), Path(folder), name, blank={"blank": True, "filled": False}.get("".join(how)))
    except IcrError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
