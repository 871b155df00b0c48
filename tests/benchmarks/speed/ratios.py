"""The table of speed: what each thing costs beside decoding the same page, taken in turns in one run, on one thread.

``python -m tests.benchmarks.speed.ratios`` prints it; ``--json FILE`` keeps it for ``tests.benchmarks.compare``, and
``--short`` leaves out what takes long. Times are the processor's, children included, and of several rounds the least:
a busy machine makes all of them slower alike, so that the ratios carry over and the milliseconds do not.

The page is the NIST form where ``ICR_DATA_DIR`` has it, else a meter card of the samples.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

import cv2
from PIL import Image

from tests.benchmarks.accuracy.bench_exam_ids import draft_id_template
from tests.benchmarks.speed.peers import find_peers
from tests.support.data import DATA_DIR, PROJECT
from tests.support.jbig2 import as_jbig2_pdf
from worker.decision.fields import AcceptPolicy
from worker.digits.normalization import normalize_digits
from worker.fields.locating.extraction import extract_fields
from worker.fields.reading import read_fields
from worker.forms.templates import load_templates
from worker.models.runtime import load_recognizers
from worker.page_kinds import FreePage
from worker.pipeline import read_page
from worker.rasterizer import RasterLimits, open_pages
from worker.registration.registration import register_page
from worker.store.engine import make_engine, upgrade_database
from worker.values import FormPages, Page

PAGES = (
    ("nist-hsf", DATA_DIR / "fields" / "nist_hsf_pages" / "images" / "hsf_f0002_01.png"),
    ("meter-card", PROJECT / "samples" / "meter-card" / "card-1.png"),
)
EXAM_PAGE = DATA_DIR / "fields" / "exam_id_pages" / "images" / "page_01.png"
COMMANDS = ("--help", "health", "status", "results")
LIMITS = RasterLimits()

Calls = dict[str, Callable[[], object]]
Measure = dict[str, Any]


def measure(folder: Path, *, rounds: int, short: bool) -> dict[str, Measure]:
    """Return each measure's ``ms`` and ``times`` that of what it is measured beside, which ``beside`` names."""
    template, scan = next(pair for pair in PAGES if pair[1].exists())
    found = _beside(_page_calls(template, scan), "decode the PNG", rounds)
    for kind, (picture, pdf) in write_pdfs(scan, folder).items():
        calls: Calls = {f"{kind}, PNG": lambda p=picture: _decode(p), f"{kind}, in a PDF": lambda p=pdf: _decode(p)}
        found |= _beside(calls, f"{kind}, PNG", rounds)
    found |= _beside(_command_calls(folder), "python, nothing", max(1, rounds // 2))
    if not short and EXAM_PAGE.exists():
        found |= _beside(_exam_calls(), "exam page, by its form", 2)
    return found


def _page_calls(name: str, scan: Path) -> Calls:
    template, every = load_templates()[name], load_recognizers()
    fast = replace(every, transcribe_general=None)
    page, kind, policy = _decode(scan), FormPages((template,)), AcceptPolicy()
    where = register_page(page, template)
    crops = extract_fields(page, template, where)
    longest = max(crops, key=lambda crop: (crop.spec.digit_range == (6, 6), -len(crop.spec.name)))
    digits = [field.digits for field in read_page(page, kind, fast, policy).fields]
    inks = [page.grey[int(d.box_px.y) :, int(d.box_px.x) :][:40, :30] for row in digits for d in row]
    inks = [255 - ink for ink in inks if ink.size][:130]
    return {
        "decode the PNG": lambda: _decode(scan),
        "decode and read": lambda: read_page(_decode(scan), kind, every, policy),
        "decode and read, no general reader": lambda: read_page(_decode(scan), kind, fast, policy),
        "register": lambda: register_page(page, template),
        "one field": lambda: read_fields([longest], every),
        "one field, no general reader": lambda: read_fields([longest], fast),
        f"classify {len(inks)} digits": lambda: every.classify_digits(normalize_digits(inks)),
    }


def write_pdfs(scan: Path, folder: Path) -> dict[str, tuple[Path, Path]]:
    """Write the page as scanners put it into a PDF, by kind of coding, and beside it as a PNG of the same pixels."""
    with Image.open(scan) as image:
        grey = image.convert("L")
    bits = grey.point(lambda v: 255 * (v > 127)).convert("1")
    made: dict[str, tuple[Image.Image, bytes]] = {
        "JPEG": (grey, _saved(grey, "PDF", resolution=300, quality=90)),
        "G4": (bits, _saved(bits, "PDF", resolution=300)),
        "JBIG2": (bits, as_jbig2_pdf(bits, 300)),
        "Flate": (grey, _flate_pdf(grey)),
    }
    pairs = {}
    for kind, (picture, content) in made.items():
        pairs[kind] = folder / f"{kind}.png", folder / f"{kind}.pdf"
        picture.save(pairs[kind][0])
        pairs[kind][1].write_bytes(content)
    return pairs


def _flate_pdf(grey: Image.Image) -> bytes:
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import DecodedStreamObject, NameObject

    writer = PdfWriter(PdfReader(io.BytesIO(_saved(grey, "PDF", resolution=300))))
    objects: Any = writer.pages[0]["/Resources"]
    stream: Any = next(iter(objects["/XObject"].values()))
    plain = DecodedStreamObject()
    plain.update({key: value for key, value in stream.get_object().items() if key != "/Filter"})
    plain.set_data(grey.tobytes())
    name = next(iter(objects["/XObject"]))
    objects["/XObject"][NameObject(name)] = writer._add_object(plain.flate_encode())
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def _command_calls(folder: Path) -> Calls:
    database = folder / "icr.db"
    upgrade_database(make_engine(f"sqlite:///{database}"))
    environment = os.environ | {"ICR_HOME": str(folder), "ICR_DATABASE_URL": f"sqlite:///{database}"}
    environment["ICR_BROKER_URL"] = f"unix://{folder}/nobody.sock"  # without one, Redis would not be asked at all
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")

    def run(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False)

    return {"python, nothing": run("-c", "pass"), **{f"icr {name}": run("-m", "worker", name) for name in COMMANDS}}


def _exam_calls() -> Calls:
    recognizers, policy = load_recognizers(), AcceptPolicy()
    form = FormPages((draft_id_template(),))
    ours: Calls = {
        "exam page, by its form": lambda: read_page(_decode(EXAM_PAGE), form, recognizers, policy),
        "exam page, free writing": lambda: read_page(_decode(EXAM_PAGE), FreePage(), recognizers, policy),
    }
    return ours | {f"exam page, {name}": call for name, call in find_peers(EXAM_PAGE).items()}


def _decode(path: Path) -> Page:
    page = next(open_pages(path, scan_id="", limits=LIMITS))
    assert isinstance(page, Page)
    return page


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _beside(calls: Calls, base: str, rounds: int) -> dict[str, Measure]:
    """Call everything in turns, once to warm up; return the least time of each, and its ratio to that of ``base``."""
    least = dict.fromkeys(calls, float("inf"))
    for turn in range(rounds + 1):
        for name, call in calls.items():
            began = _processor_s()
            call()
            if turn or rounds == 1:
                least[name] = min(least[name], _processor_s() - began)
    return {
        name: {"ms": round(1000 * spent, 2), "times": round(spent / max(least[base], 1e-3), 3), "beside": base}
        for name, spent in least.items()
    }


def _processor_s() -> float:
    own, children = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    """Print the table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--short", action="store_true", help="leave out the peers")
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    folder = Path(tempfile.mkdtemp(prefix="icr-ratios-"))
    try:
        found = measure(folder, rounds=chosen.rounds, short=chosen.short)
    finally:
        shutil.rmtree(folder)
    page = next(name for name, path in PAGES if path.exists())
    print(f"the page: {page}; milliseconds of the processor, and times the first line of each part")
    for name, one in found.items():
        print(f"{name:36} {one['ms']:10.1f} ms {one['times']:8.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"page": page, "measures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
