"""Throw damaged scans at the rasterizer, in a process bounded as a worker's child is.

    python -m tests.support.fuzz_rasterizer --kind TIFF --seed 7 --seconds 600

Every case ends in pages or in one line of reason; anything else ends the program, and the case can be made
again from the seed and its number. The last line printed is a summary in JSON.
``--file`` tries one file in the same way.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import random
import resource
import signal
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.scan_files import drawing, encoded, pdf, png_chunk, tiff
from worker.errors import UnreadableScanError
from worker.rasterizer import RasterLimits, open_pages
from worker.system.child import prepare_child
from worker.values import UnreadablePage

LIMITS = RasterLimits(max_file_mb=1, max_pages=20, max_megapixels=4, pdf_dpi=72, page_timeout_s=2)
CHILD_MEMORY_MB = 1024
CASE_TIMEOUT_S = 30


def seeds(kind: str) -> list[bytes]:
    """Return the good files of a kind that mutation starts from."""
    grey, rgb = drawing(), drawing().convert("RGB")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    alpha = rgb.copy()
    alpha.putalpha(grey)
    bits = grey.convert("1")
    exif = Image.Exif()
    exif[0x0112] = 6
    made: dict[str, list[tuple[Image.Image, dict[str, object]]]] = {
        "PNG": [(grey, {}), (bits, {}), (deep, {}), (rgb.convert("P"), {}), (alpha, {"dpi": (300, 300)})],
        "JPEG": [(grey, {}), (rgb, {"exif": exif}), (rgb, {"progressive": True}), (rgb.convert("CMYK"), {})],
        "TIFF": [
            (bits, {"compression": "group4"}),
            (bits, {"compression": "group3"}),
            (rgb, {"compression": "tiff_lzw"}),
            (rgb, {"compression": "jpeg"}),
            (grey, {"compression": "tiff_adobe_deflate"}),
            (deep, {}),
        ],
    }
    made["PHOTO"] = [
        (rgb, {"format": "WEBP"}),
        (alpha, {"format": "WEBP", "lossless": True}),
        (rgb, {"format": "AVIF"}),
        (rgb, {"format": "HEIF"}),
    ]
    if kind == "PHOTO":
        import pillow_heif

        pillow_heif.register_heif_opener()  # the writer of the seeds; they are read by pillow_heif itself
    if kind == "PDF":
        return [pdf(1), pdf(3), picture_pdf("JPEG"), picture_pdf("1")]
    files = [encoded(image, str(options.pop("format", kind)), **options) for image, options in made[kind]]
    pages = [grey, drawing(1).convert("1"), drawing(2).convert("RGB")]
    several = [tiff(pages), tiff(pages, compression="tiff_lzw")]
    return [*files, *several] if kind == "TIFF" else files


def picture_pdf(mode: str) -> bytes:
    image = drawing().convert("1" if mode == "1" else "RGB")
    return encoded(image, "PDF", resolution=150)


def mutate(rng: random.Random, content: bytes) -> bytes:
    """Return the file with a few seeded wounds: flips, hostile numbers, cuts, repeats."""
    wounded = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        rng.choice((flip, overwrite, overwrite, cut, repeat))(rng, wounded)
    if content.startswith(b"\x89PNG") and rng.random() < 0.9:
        return sign_chunks(bytes(wounded))
    return bytes(wounded)


def flip(rng: random.Random, content: bytearray) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, content: bytearray) -> None:
    number = rng.choice((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32)))
    packed = struct.pack(rng.choice("<>") + "Q", number)
    width = rng.choice((1, 2, 4, 8))
    # Headers are where the numbers are: half of the wounds go to the first or the last 300 bytes.
    spans = ((0, len(content)), (0, min(300, len(content))), (max(0, len(content) - 300), len(content)))
    first, last = rng.choice(spans)
    at = rng.randrange(first, last + 1)
    content[at : at + width] = packed[:width] if packed[0] else packed[-width:]


def cut(rng: random.Random, content: bytearray) -> None:
    at = rng.randrange(len(content) + 1)
    del content[at : at + rng.choice((1, 4, 100, len(content)))]


def repeat(rng: random.Random, content: bytearray) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = content[at : at + rng.choice((1, 8, 200))] * rng.choice((1, 3, 50))


def sign_chunks(content: bytes) -> bytes:
    """Give every chunk of a PNG the checksum of what it holds now, so that decoders see it."""
    out, at = content[:8], 8
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + length]
        out += struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        at += 12 + length
    return out if out.endswith(png_chunk(b"IEND", b"")) else out + png_chunk(b"IEND", b"")


def attempt(path: Path, *, unlike: bool = False) -> str:
    """Read one file; return ``read``, or the reason why it cannot be.

    Where its pages are ``unlike`` each other, one that shows another's pixels is a mistake.
    """
    seen: set[bytes] = set()
    try:
        for page in open_pages(path, scan_id="fuzz", limits=LIMITS):
            if isinstance(page, UnreadablePage):
                assert "\n" not in page.problem and len(page.problem) < 400
                continue
            assert page.grey.dtype == np.uint8
            assert page.grey.ndim == 2
            assert 0 < page.grey.size <= 2 * LIMITS.max_megapixels * 1e6
            pixels = page.grey.tobytes()
            assert not unlike or pixels not in seen or page.grey.min() == page.grey.max(), (
                "two pages of the same pixels"
            )
            seen.add(pixels)
    except UnreadableScanError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400
        return str(error)
    return "read"


def fuzz(kind: str, seed: int, seconds: float, say: Callable[[str], object]) -> dict[str, object]:
    """Try seeded damage for a time; return what came of it."""
    originals = seeds(kind)
    outcomes: collections.Counter[str] = collections.Counter()
    slowest, number, end = 0.0, 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan"
        while time.monotonic() < end:
            rng = random.Random(f"{seed}/{kind}/{number}")
            path.write_bytes(mutate(rng, rng.choice(originals)))
            say(f"case {number}")
            signal.alarm(CASE_TIMEOUT_S)
            began = time.monotonic()
            outcomes[attempt(path, unlike=kind == "TIFF")[:24]] += 1
            slowest = max(slowest, time.monotonic() - began)
            signal.alarm(0)
            number += 1
    return {
        "cases": number,
        "read": outcomes["read"],
        "reasons": len(outcomes) - 1,
        "slowest_s": round(slowest, 2),
        "peak_mb": peak_mb(),
        "common": outcomes.most_common(6),
    }


def try_file(path: Path) -> dict[str, object]:
    """Try one file; return what came of it."""
    began = time.monotonic()
    signal.alarm(CASE_TIMEOUT_S)
    outcome = attempt(path)
    return {"outcome": outcome, "seconds": round(time.monotonic() - began, 2), "peak_mb": peak_mb()}


def peak_mb() -> int:
    """Return the most memory that this process or one of poppler's has held.

    ``ru_maxrss`` of this process would begin at its parent's, which the kernel carries over an exec: a test runner that
    had loaded PyTorch counted as a gigabyte of ours.
    """
    status = Path("/proc/self/status").read_text()
    own_kb = int(status.split("VmHWM:")[1].split()[0])
    return max(own_kb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["PNG", "JPEG", "TIFF", "PDF", "PHOTO"], default="PNG")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--log", type=Path, help="keeps the number of the case in hand, for after a crash")
    parser.add_argument("--file", type=Path)
    chosen = parser.parse_args()
    prepare_child(CHILD_MEMORY_MB)
    say: Callable[[str], object] = chosen.log.write_text if chosen.log else io.StringIO().write
    if chosen.file:
        print(json.dumps(try_file(chosen.file)))
    else:
        print(json.dumps(fuzz(chosen.kind, chosen.seed, chosen.seconds, say)))


if __name__ == "__main__":
    main()
