"""The evidence of one field: what speaks for and against its reading, in numbers with names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worker.fields.judging.unread_ink import tallest_unread_stroke
from worker.fields.line_reader.transcription import Transcript
from worker.values import NOT_A_DIGIT

FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class FieldEvidence:
    """What is known of one line that was read; log-odds are natural.

    ``best_string`` and ``runner_up`` are log-odds of the two likeliest strings, ``least_agreed`` those of the best
    string in the network that doubts it most. ``weakest_digit`` is the log-odds of the least likely digit,
    ``weakest_alone`` its digit model's, ``weakest_in_line`` its network's log-probability, ``strangest_digit`` the
    log-odds that a digit is none. ``readers_differ`` counts digits that networks and digit model read differently,
    ``networks_differ`` the networks that read another string; ``uncertainty`` is what the networks leave open, in nats.
    ``touching`` is the log of the ink cut through, ``odd_size`` how far the least digit is below the median height,
    ``unread_ink`` the share of ink in no digit's box, ``unread_stroke`` the tallest such stroke in digit heights.
    ``left_out`` counts pieces outside the line, ``lone_slashes`` slashes that nothing explains; ``other_marks`` and
    ``grammar`` are 1 where a mark could not be named and where the count of digits does not fit.
    """

    best_string: float
    runner_up: float
    weakest_digit: float
    weakest_alone: float
    weakest_in_line: float
    strangest_digit: float
    readers_differ: float
    networks_differ: float
    least_agreed: float
    uncertainty: float
    other_marks: float
    length: float
    touching: float
    odd_size: float
    unread_ink: float
    unread_stroke: float
    left_out: float
    lone_slashes: float
    grammar: float


def gather_evidence(seen: Transcript) -> FieldEvidence:
    """Return the evidence of one field in which digits were read."""
    count = len(seen.digits)
    best = seen.candidates[0].probability
    second = seen.candidates[1].probability if len(seen.candidates) > 1 else 0.0
    chosen = [d.digit for d in seen.digits]
    alone = seen.alone[np.arange(count), chosen]
    in_line = seen.sequence[np.arange(count), chosen]
    differ = float((seen.alone[:, :NOT_A_DIGIT].argmax(axis=1) != seen.sequence.argmax(axis=1)).sum())
    strings = [c.digits for c in seen.candidates[:1]]
    others = sum(reading != strings[0] for reading in seen.readings)
    least, most = seen.crop.spec.digit_range
    return FieldEvidence(
        best_string=log_odds(best),
        runner_up=log_odds(second),
        weakest_digit=log_odds(min(d.confidence for d in seen.digits)),
        weakest_alone=log_odds(float(alone.min())),
        weakest_in_line=math.log(max(float(in_line.min()), FLOOR)),
        strangest_digit=log_odds(float(seen.alone[:, NOT_A_DIGIT].max())),
        readers_differ=min(differ, 3.0),
        networks_differ=float(others),
        least_agreed=log_odds(seen.least_agreed),
        uncertainty=seen.uncertainty,
        other_marks=float("#" in seen.written),
        length=math.log(count),
        touching=math.log1p(sum(cut.touching for cut in seen.cuts)),
        odd_size=_odd_size(seen),
        unread_ink=_unread_ink(seen),
        unread_stroke=min(tallest_unread_stroke(seen), 1.5),
        left_out=float(min(seen.line.left_out, 3)),
        lone_slashes=float(min(seen.lone_slashes, 2)),
        grammar=float(count < least or (most is not None and count > most)),
    )


def log_odds(probability: float) -> float:
    """Return the natural log-odds of a probability kept ``FLOOR`` away from 0 and 1."""
    p = min(max(probability, FLOOR), 1 - FLOOR)
    return math.log(p / (1 - p))


def _odd_size(seen: Transcript) -> float:
    """Return how far the least digit's height lies below the median: a mark read as a digit is small."""
    heights = np.array([cut.box.h for cut in seen.cuts])
    return float(math.log(max(np.median(heights), 1) / max(heights.min(), 1)))


def _unread_ink(seen: Transcript) -> float:
    """Return the share of a line's ink that lies in no digit's box, marks included."""
    image = seen.line.image
    total = float((image > 127).sum())
    read = sum(float((cut.ink > 127).sum()) for cut in seen.cuts)
    return max(0.0, 1 - read / total) if total else 0.0
