"""The evidence of one field: what speaks for and against its reading, in numbers with names."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np

from worker.fields.judging.unread_ink import tallest_unread_stroke
from worker.fields.line_reader.transcription import Transcript, Vote
from worker.values import NOT_A_DIGIT

FLOOR = 1e-6
SURE_TEXT, SURE_GENERAL = 4.0, 3.0
"""Log-odds from which more counts apart (docs/lab-notebook/confidence.md)."""
NEAR_SIDE = 1.0
"""Crop pixels between a digit and the side that it is taken to reach."""
NOT_ASKED = Vote("", 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class FieldEvidence:
    """What is known of one line that was read; log-odds are natural.

    ``text`` and ``runner_up`` are the pooled log-odds of the text and of the likeliest other string. ``network`` and
    ``other_network`` are the log-odds of the text in the network that holds most of it and in the one that holds least,
    ``general`` in the general reader; ``networks_differ`` and ``general_differs`` count those that read another string.
    ``uncertainty`` and ``general_uncertainty`` are what they leave open, in nats. ``weakest_alone`` is the log-odds of
    the least likely digit in the digit model, ``strangest_digit`` that one of them is no digit, ``alone_differs``
    counts the digits that it reads otherwise. ``touching`` is the log of the ink cut through, ``odd_size`` how far the
    least digit is below the median height. ``unread_ink`` is the share of ink in no digit's box, ``unread_stroke`` the
    tallest such stroke in digit heights. ``left_out`` counts pieces outside the line, ``lone_slashes`` slashes that
    nothing explains, ``passed_over`` pieces of a tall crop in no digit's box. ``other_marks`` and ``grammar`` are 1
    where a mark could not be named and where the count of digits does not fit, ``cut_off`` where an end digit
    reaches the side of the crop; ``length`` is the log of their count, ``lone_digit`` is 1 for one.
    ``text_surplus`` and ``general_surplus`` are how far the runner-up and the general reader's doubt lie below what is
    sure: the last steps to certainty count otherwise than the first.
    """

    text: float
    runner_up: float
    network: float
    other_network: float
    networks_differ: float
    uncertainty: float
    general: float
    general_differs: float
    general_uncertainty: float
    weakest_alone: float
    strangest_digit: float
    alone_differs: float
    touching: float
    odd_size: float
    unread_ink: float
    unread_stroke: float
    left_out: float
    lone_slashes: float
    other_marks: float
    grammar: float
    passed_over: float
    cut_off: float
    length: float
    lone_digit: float
    text_surplus: float
    general_surplus: float


def gather_evidence(seen: Transcript) -> FieldEvidence:
    """Return the evidence of one field in which digits were read."""
    count = len(seen.digits)
    runner_up = max((c.probability for c in seen.candidates[1:]), default=0.0)
    held = sorted(vote.probability for vote in seen.networks)
    general = seen.general or NOT_ASKED
    chosen = [int(digit) for digit in seen.text]
    least, most = seen.crop.spec.digit_range
    return FieldEvidence(
        text=log_odds(seen.candidates[0].probability),
        runner_up=log_odds(runner_up),
        network=log_odds(held[-1]),
        other_network=log_odds(held[0]),
        networks_differ=float(sum(vote.reading != seen.text for vote in seen.networks)),
        uncertainty=sum(vote.uncertainty for vote in seen.networks),
        general=log_odds(general.probability),
        general_differs=float(general.reading != seen.text),
        general_uncertainty=general.uncertainty,
        weakest_alone=log_odds(float(seen.alone[np.arange(count), chosen].min())),
        strangest_digit=log_odds(float(seen.alone[:, NOT_A_DIGIT].max())),
        alone_differs=float(min((seen.alone[:, :NOT_A_DIGIT].argmax(axis=1) != chosen).sum(), 3)),
        touching=math.log1p(sum(cut.touching for cut in seen.cuts)),
        odd_size=_odd_size(seen),
        unread_ink=_unread_ink(seen),
        unread_stroke=min(tallest_unread_stroke(seen), 1.5),
        left_out=float(min(seen.line.left_out, 3)),
        lone_slashes=float(min(seen.lone_slashes, 2)),
        other_marks=float(seen.has_unnamed_mark),
        grammar=float(count < least or (most is not None and count > most)),
        passed_over=float(min(seen.passed_over, 3)),
        cut_off=float(_is_cut_off(seen)),
        length=math.log(count),
        lone_digit=float(count == 1),
        text_surplus=max(-log_odds(runner_up) - SURE_TEXT, 0.0),
        general_surplus=max(log_odds(general.probability) - SURE_GENERAL, 0.0),
    )


def log_odds(probability: float) -> float:
    """Return the natural log-odds of a probability kept ``FLOOR`` away from 0 and 1."""
    p = min(max(probability, FLOOR), 1 - FLOOR)
    return math.log(p / (1 - p))


def _is_cut_off(seen: Transcript) -> bool:
    """Tell whether ink of the first or the last digit reaches the crop's side: a part of the number may lie beyond."""
    boxes = seen.digit_boxes
    width = seen.crop.grey.shape[1]
    return min(box.x for box in boxes) < NEAR_SIDE or max(box.x + box.w for box in boxes) > width - NEAR_SIDE


def _odd_size(seen: Transcript) -> float:
    """Return how far the least digit's height lies below the median: a mark read as a digit is small."""
    heights = [cut.box.h for cut in seen.cuts]
    return float(math.log(max(statistics.median(heights), 1) / max(min(heights), 1)))


def _unread_ink(seen: Transcript) -> float:
    """Return the share of a line's ink that lies in no digit's box, marks included."""
    image = seen.line.image
    total = float(np.count_nonzero(image > 127))
    read = sum(float(np.count_nonzero(cut.ink > 127)) for cut in seen.cuts)
    return max(0.0, 1 - read / total) if total else 0.0
