"""Free fields read whole: transcribed by unlike readers, then judged."""

from __future__ import annotations

from collections.abc import Sequence

from worker.calibration import FieldCalibration
from worker.doubts import Doubt, DoubtKind
from worker.fields.judging.confidence import judge, list_alternatives, list_doubts, list_lasting_doubts
from worker.fields.judging.emptiness import judge_emptiness
from worker.fields.line_reader.transcription import Transcript, transcribe
from worker.values import FieldCrop, RawReading, Recognizers


def read_lines(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[RawReading]:
    """Read free fields as lines; each has one calibrated confidence."""
    return [describe_reading(seen, recognizers.calibration.free) for seen in transcribe(crops, recognizers)]


def describe_reading(seen: Transcript, calibration: FieldCalibration) -> RawReading:
    """Return a transcript as the decision wants it, with its doubts where it is not sure enough.

    A field that looks empty and holds a sign that a network sees and cannot name is looked at: a tally, a percent sign.
    """
    empty = judge_emptiness(seen)
    if empty is not None and not seen.has_unnamed_mark:
        return RawReading("", empty, seen.crop.box_px, blank=True, registration=seen.crop.registration)
    if empty is not None or not seen.digits:
        return describe_unread(seen)
    confidence = judge(seen, calibration)
    return RawReading(
        text=seen.text,
        confidence=confidence,
        box_px=seen.crop.box_px,
        digits=seen.digits,
        alternatives=list_alternatives(seen),
        doubts=(*list_lasting_doubts(seen), *(() if calibration.is_enough(confidence) else list_doubts(seen))),
        registration=seen.crop.registration,
        accept_threshold=calibration.accept_threshold,
        marks=seen.gap_marks,
        rival_marks=seen.rival_marks,
        sign=seen.sign,
    )


def describe_unread(seen: Transcript) -> RawReading:
    """Return a field that holds ink, and of which no digit was read: a person looks."""
    return RawReading(
        text="",
        confidence=0.0,
        box_px=seen.crop.box_px,
        alternatives=list_alternatives(seen),
        doubts=(Doubt(DoubtKind.UNREAD_INK),),
        registration=seen.crop.registration,
    )
