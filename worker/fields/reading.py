"""Read field crops, each by the reader for its kind and layout.

Tick boxes are judged by their ink. Free fields are read whole by the line reader, rows of cells both cell by cell and
as a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.doubts import Doubt, DoubtKind
from worker.fields.cell_rows import read_cell_rows
from worker.fields.cutting.apart import read_apart
from worker.fields.judging.emptiness import hides_writing
from worker.fields.judging.lone_dashes import holds_dash
from worker.fields.judging.scrawls import holds_scrawl
from worker.fields.judging.second_look import see_digits
from worker.fields.line_reader.reading import read_lines
from worker.fields.tick_boxes import read_tick_box
from worker.imaging.polarity import darken_ink
from worker.values import FieldCrop, RawReading, Recognizers


def read_fields(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[RawReading]:
    """Read every crop with the reader for its kind and layout, in their order. Ink may be light on dark."""
    hidden = [crop.spec.kind != "mark" and hides_writing(crop.grey) for crop in crops]
    by_index = {i: read_tick_box(crop) for i, crop in enumerate(crops) if crop.spec.kind == "mark"}
    crops = [replace(crop, grey=darken_ink(crop.grey)) for crop in crops]
    for layout, read in (("free", _read_free), ("cells", read_cell_rows)):
        chosen = [i for i, crop in enumerate(crops) if crop.spec.layout == layout and i not in by_index]
        reads = read([crops[i] for i in chosen], recognizers) if chosen else []
        by_index.update(zip(chosen, reads, strict=True))
        _look_again(crops, by_index, chosen, recognizers)
    reads = [_doubt_blank(by_index[i]) if hidden[i] else by_index[i] for i in range(len(crops))]
    return [_doubt_place(crop, read) for crop, read in zip(crops, reads, strict=True)]


def _look_again(
    crops: Sequence[FieldCrop], reads: dict[int, RawReading], chosen: Sequence[int], recognizers: Recognizers
) -> None:
    """Send fields of ``chosen`` that would be called blank to a person where a digit or other ink is seen after all.

    The general reader sees the digit. A row of cells has no dashes and no scrawls: what is flat or wide there is print.
    """
    blank = [i for i in chosen if reads[i].blank]
    for i, is_seen in zip(blank, see_digits([crops[i] for i in blank], recognizers), strict=True):
        grey, is_free = crops[i].grey, crops[i].spec.layout == "free"
        if is_seen or (is_free and (holds_dash(grey) or holds_scrawl(grey))):
            reads[i] = _doubt_blank(reads[i])


def _doubt_blank(read: RawReading) -> RawReading:
    """Return a reading that is not blank: writing may be there that nobody read."""
    if not read.blank:
        return read
    return replace(read, blank=False, confidence=0.0, doubts=(*read.doubts, Doubt(DoubtKind.UNREAD_INK)))


def _read_free(crops: Sequence[FieldCrop], recognizers: Recognizers) -> list[RawReading]:
    """Read free fields as lines; if a line misses digits that stand far apart, read them one by one."""
    reads = read_lines(crops, recognizers)
    return [read_apart(crop, read, recognizers) for crop, read in zip(crops, reads, strict=True)]


def _doubt_place(crop: FieldCrop, read: RawReading) -> RawReading:
    """Return a reading with the doubts of its crop: what may be a part of a number is never called blank."""
    doubts: tuple[Doubt, ...] = () if crop.complete else (Doubt(DoubtKind.MAY_BE_PART),)
    doubts += () if crop.single or read.blank else (Doubt(DoubtKind.MAY_BE_TWO),)
    doubts += () if crop.upright or read.blank else (Doubt(DoubtKind.UNSURE_TURN),)
    return replace(read, blank=read.blank and crop.complete, doubts=(*doubts, *read.doubts)) if doubts else read
