"""Tell, from its label and its size, what a drafted field is for: a date, a time, a tick box, words, or digits.

A draft is corrected by a person. A kind is told only where the label says it, or a box is too small for a digit's form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from schemas.form_template import FieldSpec

LARGEST_TICK_MM, SQUARE = 6.5, 0.25
"""Longest side of a tick box, and how much its sides may differ: the smallest boxes for one digit measure 7 mm."""

DATES = "date datum geburtsdatum geburtstag fecha data dob birthday"
DAYS, DAYS_OF = frozenset(("day", "tag")), frozenset(("of", "der", "des"))
"""Words that tell a date alone, or before one of the others: "Day" and "Day of birth" do, "Day tariff" does not."""
DATE_CELLS = (6, 8)
NUMBERED = "no nr num number nummer numero code id zip plz postcode phone tel telephone telefon"
"""Words that tell digits, whatever stands beside them: a street number is no street."""
TIMES = "time uhrzeit heure hora"
WORDS = """
name firstname surname lastname address street city town country signature remarks remark comment comments note notes
description purpose reason title email vorname nachname anschrift adresse strasse ort land unterschrift bemerkung
bemerkungen zweck grund betreff nom prenom rue ville signature remarque remarques nombre apellido direccion firma
department division company occupation abteilung beruf
"""
_NUMBERED = frozenset(NUMBERED.split())
_KIND_OF = {word: kind for kind, words in (("date", DATES), ("time", TIMES), ("text", WORDS)) for word in words.split()}


def tell_kinds(fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
    """Return drafted fields with the kinds that their labels and sizes tell; the others stay codes."""
    return tuple(_with_kind(field) for field in fields)


def _with_kind(field: FieldSpec) -> FieldSpec:
    if field.kind != "code" or field.rules:
        return field
    if is_tick_box(field):
        return _changed(field, kind="mark", digits=None)
    words = re.findall(r"[^\W\d_]+", field.label.rsplit(", ", 1)[-1])
    told = _kind_in([word.lower() for word in words])
    order = _order_in(words)
    if (told == "date" or (told is None and order)) and field.cells in (None, *DATE_CELLS):
        return _changed(field, kind="date", order=order, digits=field.digits if field.cells else None)
    if told == "time":
        return _changed(field, kind="time", digits=field.digits if field.cells else None)
    if told == "text" and field.layout == "free":
        return _changed(field, kind="text", digits=None)
    return field


def _kind_in(words: Sequence[str]) -> str | None:
    """Return the kind that the words of a label tell, None where none does."""
    if words and words[0] in DAYS and (len(words) == 1 or words[1] in DAYS_OF):
        return "date"
    told = next((_KIND_OF[word] for word in words if word in _KIND_OF), None)
    return None if told == "text" and not _NUMBERED.isdisjoint(words) else told


def is_tick_box(field: FieldSpec) -> bool:
    """Tell whether a field is as small and as square as a tick box."""
    width, height = field.box_mm[2:]
    return field.layout == "free" and max(width, height) <= LARGEST_TICK_MM and abs(width / height - 1) <= SQUARE


def _order_in(words: Sequence[str]) -> str | None:
    """Return the order of a date that its label spells, as DD/MM/YYYY or TT.MM.JJJJ do; None where none does."""
    spelt = "".join(
        word.upper() for word in words if len(set(word.upper())) == 1 or re.fullmatch("[DMYTJA]{6,8}", word)
    )
    order = re.sub(r"(.)\1+", r"\1", spelt.translate(str.maketrans("TJA", "DYY")))
    return order if order in ("DMY", "MDY", "YMD") else None


def _changed(field: FieldSpec, **keys: Any) -> FieldSpec:
    return FieldSpec.model_validate({**field.model_dump(by_alias=True), **keys})
