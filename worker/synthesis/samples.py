"""The shipped samples: ``python -m worker.synthesis.samples`` draws them anew, the same every time.

Cards of the template ``meter-card`` and slips of ``petty-cash`` (amounts, negative numbers, tick boxes) in folders
named after them, a slip like a check, a photo of numbers on a sheet (folder ``free``: no form), crops of single fields
(folder ``field``), a damaged file, and ``truth.csv`` with what every field holds. Beside them a blank card to print and
fill: ``docs/meter-card.pdf``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

import schemas
from schemas.form_template import FormTemplate
from worker.synthesis.allographs import ALLOGRAPHS
from worker.synthesis.fields import draw_field
from worker.synthesis.forms import FormSample, draw_blank, draw_form
from worker.synthesis.glyphs import Hand, Shape, draw_hand, shape_from_strokes, warp
from worker.synthesis.pages import Distortion, distort_form, draw_free_page, photograph
from worker.synthesis.paper import texture_tile
from worker.synthesis.pen import Pen, draw_pen
from worker.values import Grey

TEMPLATES = Path(schemas.__file__).parent / "templates"
CARDS = "meter-card"
SLIP = "petty-cash"
DPI = 200
COMMON_SHAPES = 6
CARD_NUMBERS = (5, 2, 3, 9, 11, 6, 1, 10)
"""Chosen so that every hand differs and a person can read every digit."""
SLIPS = (
    {"slip": "004217", "date": "14052026", "amount": "118,75", "change": "-264", "receipt": "x"},
    {"slip": "004218", "date": "02062026", "amount": "9.40", "change": "35", "refund": "x", "checked": "x"},
)
"""What stands on the petty cash slips."""
PHOTO_LINES = (("4072", "915"), ("2026",), ("38", "1650", "7"), ("500219",))
FIELDS = ((9, "12.480,-"), (20, "3,75,000/-"), (36, "907153"))
"""Seeds and texts of the single fields."""
TRUTH_COLUMNS = ("file", "page", "field", "digits")


@dataclass(frozen=True, slots=True)
class Sample:
    """One shipped file: its place in the folder, its bytes, and the digits of its fields page by page."""

    path: str
    content: bytes
    pages: tuple[Mapping[str, str], ...] = ()


def draw_samples() -> list[Sample]:
    """Draw every shipped sample."""
    cards = [draw_card(number) for number in CARD_NUMBERS]
    skewed = distort_form(cards[2], Distortion(skew_deg=2.3, shift=(0.01, -0.008)))
    slip = draw_slip()
    photo = draw_photo()
    lines = {f"line{r}_{i}": n for r, row in enumerate(PHOTO_LINES, 1) for i, n in enumerate(row, 1)}
    jpeg = encode([cards[3].grey], "JPEG", quality=80)
    return [
        _sample(f"{CARDS}/card-1.png", [cards[0]], "PNG"),
        _sample(f"{CARDS}/card-2.png", [cards[1]], "PNG"),
        _sample(f"{CARDS}/card-3-skewed.png", [skewed], "PNG"),
        _sample(f"{CARDS}/cards-4-6.tiff", cards[3:6], "TIFF", compression="group4"),
        _sample(f"{CARDS}/cards-7-8.pdf", cards[6:8], "PDF", resolution=DPI),
        _sample(f"{SLIP}/slip-1.png", [draw_petty_cash(0)], "PNG"),
        _sample(f"{SLIP}/slip-2.png", [draw_petty_cash(1)], "PNG"),
        _sample("check-slip.jpg", [slip], "JPEG", quality=75),
        Sample("free/photo.jpg", encode([photo], "JPEG", quality=70), (lines,)),
        Sample("damaged.jpg", jpeg[: len(jpeg) // 3]),
        *(_field_sample(seed, text) for seed, text in FIELDS),
    ]


def blank_card() -> bytes:
    """Return the meter card as a PDF to print."""
    return encode([draw_blank(load(CARDS), 300)], "PDF", resolution=300)


def draw_card(number: int) -> FormSample:
    """Draw the meter card of one household; everything follows from its number."""
    rng = np.random.default_rng(4200 + number)
    return draw_form(rng, load(CARDS), card_values(rng), writer=draw_writer(rng), dpi=DPI)


def card_values(rng: np.random.Generator) -> dict[str, str]:
    """Draw what a household writes; its readings differ by what it used, and its customer number checks."""
    before, used = int(rng.integers(1_000, 90_000)), int(rng.integers(80, 4_000))
    cents = str(int(rng.integers(500, 99_999))).zfill(3)
    values = {
        "meter_number": _number(rng, 9),
        "customer": with_luhn(_number(rng, 7)),
        "route": str(int(rng.integers(1, 900))),
        "reading_date": f"{rng.integers(1, 29):02d}{rng.integers(1, 13):02d}2026",
        "phone": "0" + _number(rng, int(rng.integers(7, 10))),
        "persons": str(int(rng.integers(1, 8))),
        "previous_reading": f"{before:06d}",
        "current_reading": f"{before + used:06d}",
        "consumption": str(used),
        "amount_paid": f"{cents[:-2]},{cents[-2:]}",
        "postcode": _number(rng, 5),
        "reader": str(int(rng.integers(10, 400))),
    }
    for name in ("phone", "persons", "amount_paid"):  # people leave out what they may
        if rng.random() < 0.2:
            del values[name]
    return values


def with_luhn(digits: str) -> str:
    """Append the check digit of ISO/IEC 7812-1 (Luhn)."""
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return digits + str(-sum(n // 10 + n % 10 for n in doubled) % 10)


def draw_writer(rng: np.random.Generator) -> tuple[Hand, Pen]:
    """Draw a writer who takes some care, as people do on a form, and forms his digits as most people do."""
    hand, pen = draw_hand(rng, digits=""), draw_pen(rng)
    shapes = tuple((_common_shape(rng, str(digit)),) for digit in range(10))
    slant, gap = float(np.clip(hand.slant, -0.1, 0.35)), float(np.clip(hand.gap, 0.08, 0.3))
    careful = replace(hand, shapes=shapes, slant=slant, gap=gap, link=0.0)
    return careful, replace(pen, width=float(np.clip(pen.width, 0.05, 0.12)), gaps=0.0, blobs=0.0)


def _common_shape(rng: np.random.Generator, digit: str) -> Shape:
    """Draw one of the first shapes of the table; new ones at its end leave the samples as they are."""
    text, _ = ALLOGRAPHS[digit][int(rng.integers(COMMON_SHAPES))]
    return warp(shape_from_strokes(text, rng, 0.02), rng, 0.02)


def draw_slip() -> FormSample:
    """Draw a slip like a check, on patterned paper."""
    rng = np.random.default_rng(4300)
    values = {"check_number": "004817", "date": "09052026", "amount": "1.284,50", "account": "7730041962"}
    slip = draw_form(rng, load("sample-check"), values, writer=draw_writer(rng), dpi=DPI)
    H, W = slip.grey.shape
    pattern = np.tile(texture_tile(7), (H // 256 + 1, W // 768 + 1))[:H, :W]
    grey = (slip.grey.astype(np.float32) - 28 + 7 * pattern).clip(0, 255).astype(np.uint8)
    return FormSample(grey, slip.page_from_mm, slip.digits)


def draw_petty_cash(number: int) -> FormSample:
    """Draw one of the petty cash slips."""
    rng = np.random.default_rng(4500 + number)
    return draw_form(rng, load(SLIP), SLIPS[number], writer=draw_writer(rng), dpi=DPI)


def draw_photo() -> Grey:
    """Draw a telephone's picture of numbers on a sheet."""
    rng = np.random.default_rng(4400)
    return photograph(rng, draw_free_page(rng, PHOTO_LINES, draw_writer(rng)))


def load(name: str) -> FormTemplate:
    """Load a shipped template."""
    return FormTemplate.model_validate_json((TEMPLATES / f"{name}.json").read_bytes())


def encode(pages: list[Grey], kind: str, **options: object) -> bytes:
    """Encode pages as one file of Pillow's ``kind``; group4 makes them 1 bit."""
    bilevel = options.get("compression") == "group4"
    images = [Image.fromarray(page) for page in pages]
    if bilevel:
        images = [image.point(lambda tone: 255 * (tone > 150), mode="1") for image in images]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    if kind in ("PNG", "JPEG", "TIFF"):
        more["dpi"] = (DPI, DPI)
    if kind == "PDF":
        more |= {"creationDate": None, "modDate": None, "producer": "icr-worker"}
    images[0].save(buffer, kind, **more, **options)
    return buffer.getvalue()


def write_samples(folder: Path) -> list[Path]:
    """Write all samples and ``truth.csv`` under ``folder``; return their paths."""
    samples = draw_samples()
    for sample in samples:
        path = folder / sample.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.content)
    with (folder / "truth.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(TRUTH_COLUMNS)
        rows.writerows(truth_rows(samples))
    return [folder / sample.path for sample in samples]


def truth_rows(samples: list[Sample]) -> list[tuple[str, int, str, str]]:
    """Return (file, page, field, digits) of every field of every sample."""
    return [
        (sample.path, page, field, digits)
        for sample in samples
        for page, fields in enumerate(sample.pages)
        for field, digits in fields.items()
    ]


def _sample(path: str, forms: list[FormSample], kind: str, **options: object) -> Sample:
    return Sample(path, encode([f.grey for f in forms], kind, **options), tuple(f.digits for f in forms))


def _field_sample(seed: int, text: str) -> Sample:
    grey = draw_field(np.random.default_rng(seed), text).grey
    digits = "".join(c for c in text if c.isdigit())
    return Sample(f"field/{digits}.png", encode([grey], "PNG"), ({"field": digits},))


def _number(rng: np.random.Generator, length: int) -> str:
    return "".join(map(str, rng.integers(0, 10, length)))


if __name__ == "__main__":
    for written in write_samples(Path("samples")):
        print(f"{written.stat().st_size:8d} {written}")
    Path("docs/meter-card.pdf").write_bytes(blank_card())
