"""Why a person should look: the kinds of doubt, what may excuse each, and the words for people.

A doubt is made where something is noticed, and judged in ``worker.decision.fields``. Both know it by its kind, never by
its words: those are made by ``describe_doubt`` where a reading leaves the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DoubtKind(StrEnum):
    """What is doubted; the database keeps these names, so that they stay what they are."""

    LOW_CONFIDENCE = "low_confidence"
    NOT_CALIBRATED = "not_calibrated"
    CLOSE_READINGS = "close_readings"
    NEAR_TIE = "near_tie"
    READERS_DIFFER = "readers_differ"
    CELLS_AND_LINE_DIFFER = "cells_and_line_differ"
    TOUCHING_DIGITS = "touching_digits"
    MAY_BE_NO_DIGIT = "may_be_no_digit"
    UNREAD_MARK = "unread_mark"
    UNREAD_INK = "unread_ink"
    MAY_BE_PART = "may_be_part"
    MAY_BE_TWO = "may_be_two"
    UNSURE_TURN = "unsure_turn"
    NO_PROMISE = "no_promise"
    MAY_BE_PRINT = "may_be_print"
    WRITING_IN_NO_FIELD = "writing_in_no_field"
    UNEXPECTED_MARK = "unexpected_mark"
    MISSING_MARK = "missing_mark"
    UNSURE_MARK = "unsure_mark"
    UNSURE_TICK = "unsure_tick"
    STRUCK_DIGIT = "struck_digit"
    EMPTY_CELL = "empty_cell"
    DIGITS_FAR_APART = "digits_far_apart"
    MUST_BE_FILLED = "must_be_filled"
    NOTHING_READ = "nothing_read"
    WRONG_COUNT = "wrong_count"
    RULE_BROKEN = "rule_broken"
    REGISTRATION_UNCERTAIN = "registration_uncertain"
    DAMAGED_FILE = "damaged_file"
    NO_WRITING_FOUND = "no_writing_found"
    FIELD_NOT_FOUND = "field_not_found"
    GRAMMAR_BROKEN = "grammar_broken"
    NO_CURRENCY_SIGN = "no_currency_sign"
    OTHER_CURRENCY = "other_currency"
    LIMIT_BROKEN = "limit_broken"
    SOURCES_DIFFER = "sources_differ"
    NO_ROUTING_NUMBER = "no_routing_number"
    UNSURE_CHARACTER = "unsure_character"
    UNEVEN_PITCH = "uneven_pitch"
    KEYED_TWICE = "keyed_twice"


class Witness(StrEnum):
    """What can speak for a reading beside its reader."""

    CHECK_DIGIT = "check_digit"
    CHECK_DIGIT_REFUTES_RIVAL = "check_digit_refutes_rival"
    FORM_RULE = "form_rule"
    SUM = "sum"
    SECOND_PRINT = "second_print"


_KEPT_RULES = frozenset({Witness.CHECK_DIGIT, Witness.FORM_RULE})

EXCUSED_BY: dict[DoubtKind, frozenset[Witness]] = {
    # The reader was not sure enough. A kept rule that makes it sure enough answers that.
    DoubtKind.LOW_CONFIDENCE: frozenset(Witness),
    DoubtKind.CLOSE_READINGS: _KEPT_RULES,
    DoubtKind.READERS_DIFFER: _KEPT_RULES,
    DoubtKind.CELLS_AND_LINE_DIFFER: _KEPT_RULES,
    DoubtKind.TOUCHING_DIGITS: _KEPT_RULES,
    DoubtKind.MAY_BE_NO_DIGIT: _KEPT_RULES,
    DoubtKind.NEAR_TIE: frozenset({Witness.CHECK_DIGIT_REFUTES_RIVAL}),
    # A sum of at least three numbers that is kept to the cent would be broken by another sign or decimal mark.
    DoubtKind.UNSURE_MARK: frozenset({Witness.SUM}),
    # The paper, the page or the form is in doubt. No number that fits a rule answers that.
    **dict.fromkeys(
        (
            DoubtKind.NOT_CALIBRATED,
            DoubtKind.UNREAD_MARK,
            DoubtKind.UNREAD_INK,
            DoubtKind.MAY_BE_PART,
            DoubtKind.MAY_BE_TWO,
            DoubtKind.UNSURE_TURN,
            DoubtKind.NO_PROMISE,
            DoubtKind.MAY_BE_PRINT,
            DoubtKind.WRITING_IN_NO_FIELD,
            DoubtKind.UNEXPECTED_MARK,
            DoubtKind.MISSING_MARK,
            DoubtKind.UNSURE_TICK,
            DoubtKind.STRUCK_DIGIT,
            DoubtKind.EMPTY_CELL,
            DoubtKind.DIGITS_FAR_APART,
            DoubtKind.MUST_BE_FILLED,
            DoubtKind.NOTHING_READ,
            DoubtKind.WRONG_COUNT,
            DoubtKind.RULE_BROKEN,
            DoubtKind.REGISTRATION_UNCERTAIN,
            DoubtKind.DAMAGED_FILE,
            DoubtKind.NO_WRITING_FOUND,
            DoubtKind.FIELD_NOT_FOUND,
            DoubtKind.GRAMMAR_BROKEN,
            DoubtKind.NO_CURRENCY_SIGN,
            DoubtKind.OTHER_CURRENCY,
            DoubtKind.LIMIT_BROKEN,
            DoubtKind.SOURCES_DIFFER,
            DoubtKind.NO_ROUTING_NUMBER,
            DoubtKind.UNSURE_CHARACTER,
            DoubtKind.UNEVEN_PITCH,
            DoubtKind.KEYED_TWICE,
        ),
        frozenset[Witness](),
    ),
}
"""Which witnesses answer a doubt of each kind, once they have raised the confidence to what is needed."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason why a person should look, with what is known of it.

    ``position`` counts digits, cells or characters from 1. ``readings`` are what the place or the field may read, or
    what each of two readers makes of it, the better one first. ``found`` is a measured value, ``needed`` what would
    have done. ``subject`` names the rule, grammar or field that is meant, and ``explanation`` is what its own module
    says, as half a sentence. ``places_px`` are boxes on the page: left, top, width and height.
    """

    kind: DoubtKind
    position: int | None = None
    readings: tuple[str, ...] = ()
    found: float | None = None
    needed: float | None = None
    subject: str = ""
    explanation: str = ""
    places_px: tuple[tuple[int, int, int, int], ...] = ()

    def is_excused_by(self, witnesses: frozenset[Witness]) -> bool:
        """Tell whether one of the witnesses answers this doubt."""
        return not EXCUSED_BY[self.kind].isdisjoint(witnesses)


UNNAMED_MARK = "#"
"""What the readers write for a mark of which they have no class of its own."""

MOST_PLACES = 5
"""So many places of unread writing are named in words."""

_WORDS = {
    DoubtKind.LOW_CONFIDENCE: "confidence {found} is below the {needed} needed",
    DoubtKind.NOT_CALIBRATED: "no confidence is enough: the model is not calibrated on enough fields",
    DoubtKind.CLOSE_READINGS: "two readings are close: {both}",
    DoubtKind.NEAR_TIE: "it may as well say {second}",
    DoubtKind.READERS_DIFFER: "digit {position} reads {first} among its neighbours and {second} alone",
    DoubtKind.CELLS_AND_LINE_DIFFER: "its cells read {first}, its line {second}",
    DoubtKind.TOUCHING_DIGITS: "touching digits",
    DoubtKind.MAY_BE_NO_DIGIT: "digit {position} may be no digit",
    DoubtKind.UNREAD_MARK: "something beside the digits could not be read",
    DoubtKind.UNREAD_INK: "ink beside the digits was not read",
    DoubtKind.MAY_BE_PART: "the number may be a part of what is written there",
    DoubtKind.MAY_BE_TWO: "its digits stand so far apart that it may be two numbers",
    DoubtKind.UNSURE_TURN: "which way up the page lies is not sure",
    DoubtKind.NO_PROMISE: "no promise this strict is shown for this source",
    DoubtKind.MAY_BE_PRINT: "it may be printed on the form: a template drafted from the blank form knows",
    DoubtKind.WRITING_IN_NO_FIELD: "what may be writing is in no field: {places}",
    DoubtKind.UNEXPECTED_MARK: "a mark that the field does not expect: {first} in {second}",
    DoubtKind.MISSING_MARK: "a mark is missing that the field expects: {first} in {second}",
    DoubtKind.UNSURE_TICK: "the box may be ticked, and may not: ink covers {found} of it",
    DoubtKind.UNSURE_MARK: "a mark is not sure: it may say {either}",
    DoubtKind.STRUCK_DIGIT: "digit {position} may be struck out or written over another",
    DoubtKind.EMPTY_CELL: "cell {position} is empty between digits",
    DoubtKind.DIGITS_FAR_APART: "digits stand far apart: one by one they read {first}, as a line {second}",
    DoubtKind.MUST_BE_FILLED: "empty, but must be filled",
    DoubtKind.NOTHING_READ: "nothing could be read",
    DoubtKind.WRONG_COUNT: "{digits} read, {explanation} expected",
    DoubtKind.RULE_BROKEN: "rule {subject}: {explanation}",
    DoubtKind.REGISTRATION_UNCERTAIN: "its place on the page is uncertain: {found} of the print around it is found",
    DoubtKind.DAMAGED_FILE: "the file is damaged: {explanation}",
    DoubtKind.NO_WRITING_FOUND: "no handwritten digits were found on the page",
    DoubtKind.FIELD_NOT_FOUND: "no {subject} is found on the check",
    DoubtKind.GRAMMAR_BROKEN: "grammar {subject}: {explanation}",
    DoubtKind.OTHER_CURRENCY: "the currency sign may be {first}; {second} is expected",
    DoubtKind.NO_CURRENCY_SIGN: "no currency sign is found: taken from its usual place",
    DoubtKind.LIMIT_BROKEN: "{subject}: {explanation}",
    DoubtKind.SOURCES_DIFFER: "the printed number {first} differs from the MICR serial {second}",
    DoubtKind.NO_ROUTING_NUMBER: "no routing number between two transit symbols",
    DoubtKind.UNSURE_CHARACTER: "character {position} leads the next likely by only {found}",
    DoubtKind.UNEVEN_PITCH: "characters {position} and {next_position} stand {found} pitches apart",
    DoubtKind.KEYED_TWICE: "the template wants it keyed twice",
}


def describe_doubt(doubt: Doubt) -> str:
    """Return a doubt in words, as one line for a person."""
    first, second = (*doubt.readings, "", "")[:2]
    found, needed = _spell_numbers(doubt)
    if doubt.kind is DoubtKind.UNEXPECTED_MARK and first == UNNAMED_MARK:
        return f"a mark that no reader can name, shown as {UNNAMED_MARK}: {second}"
    words = _WORDS[doubt.kind].format(
        position=doubt.position,
        next_position=(doubt.position or 0) + 1,
        first=first or "nothing",
        second=second or "nothing",
        either=" or ".join(reading or "nothing" for reading in doubt.readings),
        both=" / ".join(reading or "nothing" for reading in doubt.readings),
        found=found,
        digits="1 digit" if doubt.found == 1 else f"{found} digits",
        needed=needed,
        subject=doubt.subject,
        explanation=doubt.explanation,
        places=_spell_places(doubt),
    )
    repairs = doubt.readings if doubt.kind is DoubtKind.RULE_BROKEN else ()
    return words + (f"; only {repairs[0]} keeps it" if repairs else "")


def _spell_places(doubt: Doubt) -> str:
    named = ", ".join(f"{w} x {h} at {x}, {y}" for x, y, w, h in doubt.places_px[:MOST_PLACES])
    more = len(doubt.places_px) - MOST_PLACES
    return f"{named} and {more} more" if more > 0 else named


def _spell_numbers(doubt: Doubt) -> tuple[str, str]:
    found, needed = doubt.found or 0.0, doubt.needed or 0.0
    if doubt.kind is DoubtKind.LOW_CONFIDENCE:
        places = next((n for n in range(3, 8) if f"{found:.{n}f}" != f"{needed:.{n}f}"), 8)
        return f"{found:.{places}f}", f"{needed:.{places}f}"
    if doubt.kind in (DoubtKind.REGISTRATION_UNCERTAIN, DoubtKind.UNSURE_TICK):
        return f"{found:.0%}", ""
    decimals = {DoubtKind.UNSURE_CHARACTER: ".2f", DoubtKind.UNEVEN_PITCH: ".1f"}
    return format(found, decimals.get(doubt.kind, "g")), ""
