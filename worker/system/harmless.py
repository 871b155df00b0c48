"""Text of strangers on a terminal: what it would obey, as escape codes and marks that turn a line round, is replaced.

File names, references, reasons and names of reviewers come from outside. A terminal would run their escape codes, and a
line break in one would forge a line.
"""

from __future__ import annotations

import re

_OBEYED_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
"""Controls beyond ASCII (ECMA-48), separators of lines, and marks of direction; JSON escapes those of ASCII itself."""


def make_harmless(text: str) -> str:
    """Return a line in which U+FFFD stands for every character that is not shown as itself."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def make_json_harmless(text: str) -> str:
    """Return the same JSON with such characters escaped: programs read what they did before."""
    return _OBEYED_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
