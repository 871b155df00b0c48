"""Which confidence keeps the promise on pages without a form, shown on whole pages: there a wrong cut counts, too.

The promises of ``worker.calibration`` are shown on fields that were cut out before. These are shown on pages that were
found, turned, cut and read, by ``icr calibrate-pages``, and hold for the models they were shown with only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.calibration import Promise, ReadersCalibration, keep_calibration

ONLY_DOUBT = frozenset({"alterations"})
"""Models that change no reading and no confidence, and only send fields to a person.

The promises hold with any version of them: none accepts a field that was not accepted without it. The rate of wrong
fields among the accepted could grow by the share of right ones that they send to a person: a fiftieth of itself for
free fields, a twentieth for rows of cells (docs/reference/accuracy.md).
"""


@dataclass(frozen=True, slots=True)
class PagePromises:
    """The promises for free numbers and for rows of cells; none where nothing is shown."""

    free: tuple[Promise, ...] = ()
    cells: tuple[Promise, ...] = ()

    def promising(self, max_substitution_rate: float) -> PagePromises:
        """Return the promises that are strict enough, and were shown: any other is none."""
        rate = max_substitution_rate + 1e-12
        free, cells = (tuple(p for p in kept if p.is_shown and p.rate <= rate) for kept in (self.free, self.cells))
        return PagePromises(free, cells)

    def threshold_for(self, layout: str) -> float | None:
        """Return the least confidence that is accepted of a field of this layout; None where nothing may be."""
        promises = self.cells if layout == "cells" else self.free
        return max(promises, key=lambda p: p.rate).accept_threshold if promises else None


NO_PAGE_PROMISES = PagePromises()
"""Nothing is shown for pages without a form."""


def parse_page_promises(
    kept: Mapping[str, Any], versions: Mapping[str, str], calibration: ReadersCalibration
) -> PagePromises:
    """Read page promises as ``keep_page_promises`` wrote them; none if they were shown with other readers.

    Raises
    ------
    ValueError, KeyError, TypeError
        They are none.
    """
    free, cells = (tuple(Promise(**promise) for promise in kept[layout]) for layout in ("free", "cells"))
    same = _readers_of(kept["models"]) == _readers_of(versions) and kept["evidence"] == digest_evidence(calibration)
    return PagePromises(free, cells) if same else NO_PAGE_PROMISES


def keep_page_promises(
    free: Sequence[Promise],
    cells: Sequence[Promise],
    versions: Mapping[str, str],
    calibration: ReadersCalibration,
    *,
    about: str = "",
) -> dict[str, Any]:
    """Return page promises as JSON holds them, with the models and the confidence that they were shown with.

    ``about`` says for people on which pages that was.
    """
    return {
        "about": about,
        "models": dict(versions),
        "evidence": digest_evidence(calibration),
        "free": [dataclasses.asdict(promise) for promise in free],
        "cells": [dataclasses.asdict(promise) for promise in cells],
    }


def _readers_of(versions: Mapping[str, str]) -> dict[str, str]:
    return {name: version for name, version in versions.items() if name not in ONLY_DOUBT}


def digest_evidence(calibration: ReadersCalibration) -> str:
    """Return a digest of what makes a confidence: the weights of all evidence, and how strings are pooled."""
    kept = keep_calibration(calibration)
    weighed = [kept["pooling"], *({k: kept[layout][k] for k in ("evidence", "bias")} for layout in ("free", "cells"))]
    return hashlib.sha256(json.dumps(weighed, sort_keys=True).encode()).hexdigest()
