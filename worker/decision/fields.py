"""Decide what becomes of a field that was read: accepted, blank, or review with its reasons.

Grammar and rules never change what was read. They send it to a person, and may offer another reading.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from schemas.form_template import FieldGrammar, FieldSpec
from schemas.rules import CheckDigitRule, DateRule, FieldRule
from worker.decision.confirmation import confirm_field, raise_by_odds
from worker.decision.repair import find_repair
from worker.doubts import Doubt, DoubtKind, Witness
from worker.grammar.meaning import UNTOLD_SIGN, Meaning, find_meaning, is_sign_of, show_written
from worker.grammar.misfit import MisfitKind
from worker.grammar.rules import broken_by, wants_two_keyers
from worker.values import CODE, Alternative, Box, FieldReading, FieldStatus, RawReading, Tick, spell_marks

DEFAULT_BLANK_THRESHOLD = 0.95
"""An empty field needs less, because its confidence says how little ink there is, not how clear a number is."""
MIN_REGISTRATION = 0.75
"""Least registration of a field: one of the four sides of its box may be lost, but not two."""
NEAR_TIE = 0.05
"""If a runner-up is this close to the best reading, a person is asked."""
CHECK_DIGIT_ODDS = {
    "luhn": 10.0,
    "verhoeff": 10.0,
    "damm": 10.0,
    "iso7064.mod_11_10": 10.0,
    "iso7064.mod_97_10": 30.0,
}
"""How much more often, at least, right readings keep a check digit than wrong ones (docs/reference/accuracy.md).

Other schemes are checked and raise nothing, because some of python-stdnum look at the form of a number only."""


@dataclass(frozen=True, slots=True)
class AcceptPolicy:
    """What a field needs to be accepted.

    ``accept_threshold`` replaces the one of the reader's calibration; None keeps that.
    """

    accept_threshold: float | None = None
    min_registration: float = MIN_REGISTRATION

    def threshold_for(self, read: RawReading) -> float | None:
        """Return the confidence that this field needs; None if no confidence is enough."""
        if read.blank:
            return DEFAULT_BLANK_THRESHOLD
        return read.accept_threshold if self.accept_threshold is None else self.accept_threshold


def decide_field(spec: FieldSpec, read: RawReading, policy: AcceptPolicy) -> FieldReading:
    """Return the reading of one field with its status and its doubts."""
    grammar, meaning = spec.grammar, Meaning("")
    doubts = [*read.doubts, *_registration_doubts(read, policy)]
    alternatives = read.alternatives
    if read.blank:
        meaning = Meaning("", Tick.EMPTY if spec.kind == "mark" else None)
        if not spec.optional:
            doubts.append(Doubt(DoubtKind.MUST_BE_FILLED))
    elif not read.text:
        doubts.append(Doubt(DoubtKind.NOTHING_READ))
    else:
        meaning = find_meaning(grammar, read)
        doubts += [*_count_problems(spec, read.text), *_mark_doubts(grammar, read.text, meaning)]
        doubts += _currency_doubts(grammar, read.sign)
        for rule in spec.rules:
            broken = broken_by(rule, read.text, meaning.value)
            if broken:
                repair = find_repair(rule, replace(read, alternatives=alternatives))
                kept_by = (repair.text,) if repair else ()
                doubts.append(Doubt(DoubtKind.RULE_BROKEN, subject=rule.rule, explanation=broken, readings=kept_by))
                alternatives = _satisfying_first(rule, _with_repair(alternatives, repair))
        doubts += _near_ties(read)
    needed = policy.threshold_for(read)
    doubts += _too_little(read.confidence, needed)
    doubts += [Doubt(DoubtKind.KEYED_TWICE)] if wants_two_keyers(grammar, meaning.value) else []
    undoubted = FieldStatus.BLANK if read.blank else FieldStatus.ACCEPTED
    decided = FieldReading(
        name=spec.name,
        text=read.text,
        confidence=read.confidence,
        status=FieldStatus.REVIEW if doubts else undoubted,
        box_px=read.box_px,
        digits=read.digits,
        doubts=tuple(doubts),
        alternatives=alternatives,
        accept_threshold=needed,
        value=meaning.value,
        written=show_written(grammar, meaning.written).replace(UNTOLD_SIGN, read.sign or UNTOLD_SIGN),
        grammar=grammar,
    )
    return _confirm_by_check_digits(spec, read, decided)


def leave_unread(spec: FieldSpec, box_px: Box) -> FieldReading:
    """Return the row of a field of text, which people look at: it has a place, and nothing that was read."""
    return FieldReading(spec.name, "", 0.0, FieldStatus.NOT_READ, box_px, grammar=spec.grammar)


def _confirm_by_check_digits(spec: FieldSpec, read: RawReading, decided: FieldReading) -> FieldReading:
    """Raise a field's confidence by the best of the check digits that it keeps; two of one number are one evidence."""
    if not read.text or _count_problems(spec, read.text):
        return decided
    rules = [rule for rule in spec.rules if isinstance(rule, CheckDigitRule)]
    if any(broken_by(rule, read.text) for rule in rules):
        return decided
    witnesses = {Witness.CHECK_DIGIT}
    if any(broken_by(rule, other.text) for rule in rules for other in read.alternatives[:1]):
        witnesses.add(Witness.CHECK_DIGIT_REFUTES_RIVAL)
    for rule in sorted(rules, key=lambda rule: -CHECK_DIGIT_ODDS.get(rule.scheme, 1.0)):
        raised = raise_by_odds(read.confidence, CHECK_DIGIT_ODDS.get(rule.scheme, 1.0))
        decided = confirm_field(decided, raised, f"check digit {rule.scheme}", frozenset(witnesses))
    return decided


def _too_little(confidence: float, needed: float | None) -> list[Doubt]:
    if needed is None:
        return [Doubt(DoubtKind.NOT_CALIBRATED)]
    return [Doubt(DoubtKind.LOW_CONFIDENCE, found=confidence, needed=needed)] if confidence < needed else []


def _count_problems(spec: FieldSpec, text: str) -> list[Doubt]:
    if spec.kind == "mark":
        return []
    least, most = spec.digit_range
    count = sum(c.isdigit() for c in text)
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"{least} to {most}" if most else f"at least {least}"
        return [Doubt(DoubtKind.WRONG_COUNT, found=count, explanation=wanted)]
    return []


def _mark_doubts(grammar: FieldGrammar, text: str, meaning: Meaning) -> list[Doubt]:
    """Return what is wrong with the marks among the digits; a date that keeps no calendar is its rule's to name."""
    found, rival = meaning.misfit, meaning.rival
    shown = show_written(grammar, meaning.written)
    if found is None:
        if rival is None:
            return []
        other = show_written(grammar, spell_marks(text, rival.marks))
        return [Doubt(DoubtKind.UNSURE_MARK, readings=(shown, other), found=rival.probability)]
    if found.kind is not MisfitKind.NO_VALUE:
        unexpected = found.kind is MisfitKind.UNEXPECTED_MARK
        kind = DoubtKind.UNEXPECTED_MARK if unexpected else DoubtKind.MISSING_MARK
        return [Doubt(kind, readings=(show_written(CODE, found.mark), shown))]
    if any(isinstance(rule, DateRule) for rule in grammar.rules):
        return []
    return [Doubt(DoubtKind.GRAMMAR_BROKEN, subject=grammar.kind, explanation=found.explanation)]


def _currency_doubts(grammar: FieldGrammar, sign: str) -> list[Doubt]:
    """Return what is wrong with a currency sign: it decides, and one that cannot be told apart is no witness."""
    if not sign or grammar.currency is None or is_sign_of(sign, grammar.currency):
        return []
    return [Doubt(DoubtKind.OTHER_CURRENCY, readings=(sign, grammar.currency))]


def _near_ties(read: RawReading) -> list[Doubt]:
    return [
        Doubt(DoubtKind.NEAR_TIE, found=NEAR_TIE, readings=(read.text, other.text))
        for other in read.alternatives[:1]
        if read.confidence - other.confidence < NEAR_TIE
    ]


def _registration_doubts(read: RawReading, policy: AcceptPolicy) -> list[Doubt]:
    if read.registration is None or read.registration >= policy.min_registration:
        return []
    return [Doubt(DoubtKind.REGISTRATION_UNCERTAIN, found=read.registration, needed=policy.min_registration)]


def _with_repair(alternatives: tuple[Alternative, ...], repair: Alternative | None) -> tuple[Alternative, ...]:
    known = repair is None or any(a.text == repair.text for a in alternatives)
    return alternatives if known or repair is None else (repair, *alternatives)


def _satisfying_first(rule: FieldRule, alternatives: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    """Offer the runners-up that keep the broken rule before the others."""
    return tuple(sorted(alternatives, key=lambda a: broken_by(rule, a.text) is not None))
