"""Draw the pictures of the tutorials from the shipped samples: ``python .ci/draw_docs_pictures.py``, from the clone.

Each picture is what a command of the tutorial draws, made smaller and reduced to few colours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

TARGET = Path("docs/images")
WIDTH_PX = 900
PHOTO_WIDTH_PX = 560
"""Grain and shadow of a photo do not compress."""
INKS = ((30, 140, 80), (225, 90, 20), (130, 150, 170), (220, 40, 40))
"""What is painted on a scan: accepted, review, blank, and a drafted box."""
CORRECTED = {0: ("meter_number", 9), 1: ("customer", 8), 8: ("consumption", None)}
"""What the tutorial changes in the drafted template, by place: the name, and the digits of a full field."""


def icr(*words: str | Path) -> None:
    """Run ``icr``; a scan whose fields await review is no error."""
    subprocess.run([sys.executable, "-m", "worker", *map(str, words)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # ours


def shrink(source: Path, name: str, width_px: int = WIDTH_PX) -> None:
    """Save a picture small enough for a repository."""
    with Image.open(source) as picture:
        small = picture.convert("RGB")
    small.thumbnail((width_px, 4 * width_px))
    small.quantize(palette=make_palette(), dither=Image.Dither.NONE).save(TARGET / name, optimize=True)


def make_palette() -> Image.Image:
    """Return 32 greys and each ink in five strengths, so that few colours do not tint the paper."""
    colours = [(grey, grey, grey) for grey in range(0, 256, 8)] + [(255, 255, 255)]
    for ink in INKS:
        colours += [tuple(round(255 - (255 - c) * share / 5) for c in ink) for share in range(1, 6)]  # type: ignore[misc]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in colours for value in colour])
    return palette


def keep_corrected(draft: Path) -> Path:
    """Write the template with the three fields of the tutorial."""
    template = json.loads(draft.read_text())
    kept = []
    for place, (name, digits) in CORRECTED.items():
        kept.append({**template["fields"][place], "name": name} | ({"digits": digits} if digits else {}))
    corrected = draft.with_name("my-meter.json")
    corrected.write_text(json.dumps({**template, "name": "my-meter", "fields": kept}))
    return corrected


def main() -> None:
    """Draw every picture."""
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        icr("read", "samples/meter-card/card-1.png", "--draw", folder / "card.png")
        shrink(folder / "card.png", "first-scan-card.png")
        icr("read", "samples/free/photo.jpg", "--layout", "free", "--draw", folder / "photo.png")
        shrink(folder / "photo.png", "first-scan-photo.png", PHOTO_WIDTH_PX)
        icr("read", "samples/meter-card/card-2.png", "--draw", folder / "card-2.png")
        shrink(folder / "card-2.png", "first-scan-card-2.png")
        icr("template", "draft", "docs/meter-card.pdf", "--out", folder / "meter.json")
        shrink(folder / "meter.png", "own-form-draft.png")
        corrected = keep_corrected(folder / "meter.json")
        icr("read", "samples/meter-card/card-3-skewed.png", "--template", corrected, "--draw", folder / "mine.png")
        shrink(folder / "mine.png", "own-form-read.png")


if __name__ == "__main__":
    main()
