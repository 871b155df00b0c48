"""What is handed in: small pictures of a number, each of its own bytes, and files that nobody can read."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import cv2
import numpy as np

SHOWN = 200
"""How many different numbers are drawn: what each reads is worked out once for all of its scans."""

TORN, KILLER, REPLACED = 0.02, 0.004, 0.02
"""Shares of the files that no decoder takes, that end whichever process opens them, and that are replaced by name."""

KILLER_NAME = "killer"


class Fate(StrEnum):
    """The state in which the job of a scan must end."""

    READ = "done"
    REFUSED = "failed"
    DEADLY = "dead"


@dataclass(frozen=True, slots=True)
class Scan:
    """A file to hand in, and what must come of it; ``required`` unless it may be replaced before it is seen."""

    number: int
    serial: int
    content: bytes
    shown: int
    fate: Fate = Fate.READ
    required: bool = True

    @property
    def name(self) -> str:
        return f"{KILLER_NAME}-{self.number}.png" if self.fate is Fate.DEADLY else f"{self.number}.png"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@cache
def _picture(shown: int) -> bytes:
    grey = np.full((64, 260), 255, np.uint8)
    cv2.putText(grey, f"{shown:06d}", (8, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 0, 3)
    done, encoded = cv2.imencode(".png", grey)
    assert done
    return encoded.tobytes()


def make_scan(number: int, *, serial: int = 0, fate: Fate = Fate.READ, required: bool = True) -> Scan:
    """Make the scan of a number; another serial is another picture, and no two have the same bytes."""
    shown = (number + 77 * serial) % SHOWN * 4567 + 1
    text = b"tEXtscan\0%d-%d" % (number, serial)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    content = _picture(shown)[:-12] + chunk + _picture(shown)[-12:]
    if fate is Fate.REFUSED:
        content = content[-60:-12] + content[: len(content) // 2] if number % 2 else content[: len(content) // 2] + text
    return Scan(number, serial, content, shown, fate, required)


def draw_fate(dice: random.Random) -> Fate:
    """Draw what becomes of a file of the folder."""
    drawn = dice.random()
    return Fate.REFUSED if drawn < TORN else Fate.DEADLY if drawn < TORN + KILLER else Fate.READ


def put(path: Path, content: bytes) -> bool:
    """Give a place its file at once and whole, whatever lay there; False where the disk has no room."""
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        return False
    return True


def read_directly(shown: set[int], folder: Path) -> dict[int, str]:
    """Read the same pictures in this process, with no queue and no fault."""
    from worker.bootstrap import build_runtime
    from worker.page_kinds import LoneField
    from worker.pipeline import read_page
    from worker.rasterizer import open_pages

    runtime, texts = build_runtime(), {}
    folder.mkdir(exist_ok=True)
    for each in shown:
        path = folder / f"{each}.png"
        path.write_bytes(_picture(each))
        (page,) = open_pages(path, scan_id="truth", limits=runtime.limits())
        reading = read_page(page, LoneField(), runtime.recognizers(), runtime.accept_policy)
        texts[each] = reading.fields[0].text
    return texts


def write_customization(folder: Path) -> Path:
    """Write what every Python process of a system loads first: the files that kill, and a sleep that any clock bears.

    A file kills the worker that opens it to read it. The watcher only counts its bytes, which ends nobody.

    libfaketime 0.9.10 breaks Python 3.11's sleep when the monotonic clock is left alone, as a set clock leaves it.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import os, select, signal, sys, time\n"
        "if 'FAKETIME_TIMESTAMP_FILE' in os.environ:\n"
        "    time.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
        "def watch(event, args):\n"
        "    if event == 'open' and sys.orig_argv[3:4] == ['worker']:\n"
        f"        if os.path.basename(os.fsdecode(args[0]) if isinstance(args[0], (str, bytes)) else '')"
        f".startswith('{KILLER_NAME}'):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(watch)\n"
    )
    return folder
