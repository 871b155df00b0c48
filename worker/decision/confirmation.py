"""Raise or doubt a field that was decided: what a kept rule or another source is worth."""

from __future__ import annotations

from dataclasses import replace

from worker.doubts import Doubt, DoubtKind, Witness
from worker.values import FieldReading, FieldStatus


def raise_by_odds(confidence: float, ratio: float) -> float:
    """Return a probability whose odds are multiplied by a likelihood ratio (Bayes)."""
    return confidence * ratio / (confidence * ratio + 1 - confidence)


def confirm_field(field: FieldReading, confidence: float, source: str, witnesses: frozenset[Witness]) -> FieldReading:
    """Name a source that supports a field, raise its confidence to ``confidence``, and accept it if that is enough.

    A doubt that no witness excuses (``worker.doubts.EXCUSED_BY``) keeps the field in review. A field that was surer by
    itself stays so, and has its doubts excused by what is sure enough, too.
    """
    field = replace(field, validation_sources=(*field.validation_sources, source))
    needed = field.accept_threshold
    if needed is None or confidence <= min(field.confidence, needed):
        return field
    confidence = max(confidence, field.confidence)
    if confidence >= needed:
        doubts = tuple(d for d in field.doubts if not d.is_excused_by(witnesses))
    else:
        doubts = tuple(replace(d, found=confidence) if d.kind is DoubtKind.LOW_CONFIDENCE else d for d in field.doubts)
    status = FieldStatus.REVIEW if doubts else FieldStatus.ACCEPTED
    return replace(field, confidence=confidence, doubts=doubts, status=status)


def add_doubt(field: FieldReading, doubt: Doubt) -> FieldReading:
    """Send a field to a person, for one more reason."""
    return replace(field, status=FieldStatus.REVIEW, doubts=(*field.doubts, doubt))
