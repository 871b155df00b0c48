"""Readings as the world sees them: the JSON of a page, and a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.reading import AlternativeOut, DigitOut, DoubtOut, FieldOut, MoneyOut, PageOut, SeparatorOut
from worker.doubts import Doubt, describe_doubt
from worker.grammar.meaning import spell_value
from worker.output.tables import STYLES, TableRow, print_note, print_table, show_confidence
from worker.values import Box, FieldReading, Money, PageReading, Separator, Value


def to_page_out(reading: PageReading, source: str, reference: str | None = None) -> PageOut:
    """Return the JSON object of one page of the file ``source``; ``reference`` is that of its document."""
    return PageOut(
        source=source,
        page=reading.page,
        template=reading.template,
        registration=None if reading.registration is None else round(reading.registration, 4),
        error=reading.problem,
        doubt="; ".join(map(describe_doubt, reading.doubts)) or None,
        doubts=_doubts_out(reading.doubts),
        blank=reading.blank,
        separator=_separator_out(reading.separator),
        reference=reference,
        fields=[_field_out(f) for f in reading.fields],
    )


def print_page(out: PageOut) -> None:
    """Print a page's fields as a table, or why it could not be read."""
    which = f" ({out.template})" if out.template else ""
    which += f", {out.reference}" if out.reference else ""
    print_note(f"{out.source}, page {out.page + 1}{which}", "bold")
    if out.error:
        print_note(f"    {out.error}", STYLES["failed"])
    if out.blank and not out.error and not out.doubts:
        print_note("    blank page", STYLES["blank"])
    if out.separator and out.separator.sheet:
        print_note("    separator sheet", STYLES["blank"])
    for doubt in out.doubts:
        print_note(f"    {doubt.words}", STYLES["review"])
    rows = []
    for f in out.fields:
        cells = f.name, f.written or f.text, show_confidence(f.confidence, f.status), f.status
        rows.append(TableRow(cells, tuple(f.reasons), STYLES[f.status]))
    if rows:
        print_table(("field", "number", "confidence", "verdict"), rows)


def _field_out(field: FieldReading) -> FieldOut:
    return FieldOut(
        name=field.name,
        text=field.text,
        written=field.written,
        kind=field.grammar.kind,
        confidence=round(field.confidence, 5),
        status=field.status.value,
        reasons=[describe_doubt(doubt) for doubt in field.doubts],
        doubts=_doubts_out(field.doubts),
        box=_whole(field.box_px),
        digits=[DigitOut(digit=d.digit, confidence=round(d.confidence, 5), box=_whole(d.box_px)) for d in field.digits],
        alternatives=[AlternativeOut(text=a.text, confidence=round(a.confidence, 5)) for a in field.alternatives],
        validation_sources=list(field.validation_sources),
        value=value_out(field.value),
        unit=field.grammar.unit or None,
    )


def _separator_out(mark: Separator | None) -> SeparatorOut | None:
    return None if mark is None else SeparatorOut(template=mark.template, reference=mark.reference, sheet=mark.is_sheet)


def _doubts_out(doubts: Sequence[Doubt]) -> list[DoubtOut]:
    return [DoubtOut(kind=doubt.kind.value, words=describe_doubt(doubt)) for doubt in doubts]


def value_out(value: Value | None) -> MoneyOut | int | str | None:
    """Return a value as JSON has it: no date and no decimal number of its own."""
    if isinstance(value, Money):
        return MoneyOut(minor_units=value.minor_units, currency=value.currency)
    return value if value is None or isinstance(value, int) else spell_value(value)


def _whole(box: Box) -> tuple[int, int, int, int]:
    return box.rounded()
