"""Take the mends of hostile kinds out again, one line at a time, and run the test that is said to hold each.

    python -m tests.support.without_mends            # all of them, about half an hour
    python -m tests.support.without_mends redis TIFF # those whose name holds one of these words

It works on a copy of the tree. A test that passes without its mend holds nothing, and ends this with 1; so does a line
that is not found any more, because the code has moved on and this list has not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PATIENCE_S = 400


@dataclass(frozen=True, slots=True)
class Mend:
    """A mend in one place: the text that is replaced, by what, and the test that must fail then."""

    name: str
    file: str
    text: str
    without: str
    tests: str
    chosen: str


MENDS = [Mend(**each) for each in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mend"]]


def main(words: list[str]) -> int:
    """Try the mends whose names hold one of the words; return how many are held by nothing."""
    unheld = 0
    with tempfile.TemporaryDirectory(prefix="icr-without-") as folder:
        root = Path(folder)
        for name in subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).splitlines():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, root / name)
        for mend in MENDS:
            if not words or any(word.lower() in mend.name.lower() for word in words):
                verdict = try_without(mend, root)
                unheld += verdict not in ("fails", "hangs")
                print(f"{verdict:9} {mend.name} ({mend.tests})", flush=True)
    return unheld


def try_without(mend: Mend, root: Path) -> str:
    """Return what the test of a mend does without it: ``fails`` or ``hangs``, as it should, or ``passes``."""
    path = root / mend.file
    whole = path.read_text()
    if mend.text not in whole:
        return "not found"
    path.write_text(whole.replace(mend.text, mend.without, 1))
    chosen = ["-k", mend.chosen] if mend.chosen else []
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mend.tests.split(), *chosen]
    try:
        done = subprocess.run(
            command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    finally:
        path.write_text(whole)
    return {0: "passes", 1: "fails"}.get(done.returncode, f"ended {done.returncode}")


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
