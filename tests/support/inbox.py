"""Files dropped into a watched folder."""

from __future__ import annotations

from pathlib import Path


def drop(inbox: Path, name: str, content: bytes = b"scan") -> Path:
    path = inbox / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return Path(name)
