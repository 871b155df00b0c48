"""Reads handwritten numbers off scanned paper: from files to numbers with calibrated confidences.

``read`` is the import API, together with ``worker.reader.Reader`` and the models of ``schemas``.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from schemas.reading import PageOut

__all__ = ["read"]


def read(
    path: str | PathLike[str],
    *,
    template: str | PathLike[str] | None = None,
    layout: Literal["field", "free", "check"] | None = None,
) -> list[PageOut]:
    """Read one file and return its pages in order; see ``worker.reader.Reader.read``.

    The settings come from the environment. Importing ``worker`` loads nothing; each call loads the models, so use a
    ``worker.reader.Reader`` for many files.
    """
    from worker.reader import Reader

    return Reader().read(path, template=template, layout=layout)
