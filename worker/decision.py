"""Decide what becomes of a field that was read: accepted, blank, or review with its reasons.

Grammar and rules never change what was read. They send it to a person, and may offer another reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from schemas.form_template import FieldGrammar, FieldSpec, FormTemplate
from schemas.rules import (
    AnyOfRule,
    CheckDigitRule,
    DateRule,
    DifferenceRule,
    EqualRule,
    FieldRule,
    FormRule,
    SumRule,
    fields_named,
)
from worker.doubts import Doubt, DoubtKind, Witness
from worker.grammar.meaning import UNTOLD_SIGN, Meaning, find_meaning, is_sign_of, show_written
from worker.grammar.misfit import MisfitKind
from worker.grammar.rules import broken_by, number_of
from worker.values import CODE, Alternative, FieldReading, FieldStatus, Money, RawReading, Tick, spell_marks

DEFAULT_BLANK_THRESHOLD = 0.95
"""An empty field needs less, because its confidence says how little ink there is, not how clear a number is."""
MIN_REGISTRATION = 0.75
"""Least registration of a field: one of the four sides of its box may be lost, but not two."""
CLOSE_DIGIT = 0.01
"""Least probability of a digit's runner-up that may repair a number."""
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
TOTAL_ODDS = 10.0
"""The same for a sum or difference in one hand, with one of its numbers read wrongly."""
REPEAT_ODDS = 3.0
"""The same for a number written twice; in a fifth of the cases one hand is misread alike in both."""


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
    doubts += [Doubt(DoubtKind.KEYED_TWICE)] if spec.verify == "double" else []
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


def decide_form(template: FormTemplate, fields: Sequence[FieldReading]) -> tuple[FieldReading, ...]:
    """Apply the rules across fields: a kept one raises their confidence, a broken one sends fields to review.

    If one close reading of one field alone would keep a broken sum, that field is to blame. The others are sent to
    review only if they are no longer confident enough.
    """
    by_name = {f.name: f for f in fields}
    specs = {spec.name: spec for spec in template.fields}
    confirmed: set[frozenset[str]] = set()
    for rule in template.rules:
        broken = _form_rule_broken(rule, specs, by_name)
        names = fields_named(rule)
        if broken:
            by_name.update(_blame(rule, broken, specs, by_name))
        elif (filled := _confirmed_by(rule, by_name)) and frozenset(filled) not in confirmed:
            confirmed.add(frozenset(filled))  # a + b = c and c - b = a are the same evidence
            odds = REPEAT_ODDS if isinstance(rule, EqualRule) else TOTAL_ODDS
            all_right = raise_by_odds(math.prod(by_name[name].confidence for name in names), odds)
            for name in filled:
                source = f"{rule.rule} with {', '.join(n for n in filled if n != name)}"
                by_name[name] = confirm_field(by_name[name], all_right, source, frozenset({Witness.FORM_RULE}))
    return tuple(by_name[f.name] for f in fields)


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule across fields that does not hold: what is wrong, whom it names, and which field most likely broke it."""

    rule: str
    explanation: str
    fields: tuple[str, ...]
    suspect: str


def find_broken_rules(template: FormTemplate, fields: Sequence[FieldReading]) -> list[BrokenRule]:
    """Return the rules across fields that do not hold for ``fields`` as they stand.

    The suspect is the one field of which one close reading would keep the rule, else the least sure one.
    """
    by_name = {f.name: f for f in fields}
    specs = {spec.name: spec for spec in template.fields}
    found = []
    for rule in template.rules:
        names = fields_named(rule)
        if not by_name.keys() >= set(names) or not (broken := _form_rule_broken(rule, specs, by_name)):
            continue
        culprit = _find_culprit(rule, specs, by_name) if isinstance(rule, SumRule | DifferenceRule) else None
        suspect = culprit[0] if culprit else min(names, key=lambda name: by_name[name].confidence)
        found.append(BrokenRule(rule.rule, broken, names, suspect))
    return found


def add_doubt(field: FieldReading, doubt: Doubt) -> FieldReading:
    """Send a field to a person, for one more reason."""
    return replace(field, status=FieldStatus.REVIEW, doubts=(*field.doubts, doubt))


# --- what a kept rule is worth -----------------------------------------------------------------------------------


def raise_by_odds(confidence: float, ratio: float) -> float:
    """Return a probability whose odds are multiplied by a likelihood ratio (Bayes)."""
    return confidence * ratio / (confidence * ratio + 1 - confidence)


def confirm_field(field: FieldReading, confidence: float, source: str, witnesses: frozenset[Witness]) -> FieldReading:
    """Name a source that supports a field, raise its confidence to ``confidence``, and accept it if that is enough.

    A doubt that no witness excuses (``worker.doubts.EXCUSED_BY``) keeps the field in review.
    """
    field = replace(field, validation_sources=(*field.validation_sources, source))
    needed = field.accept_threshold
    if confidence <= field.confidence or needed is None:
        return field
    if confidence >= needed:
        doubts = tuple(d for d in field.doubts if not d.is_excused_by(witnesses))
    else:
        doubts = tuple(replace(d, found=confidence) if d.kind is DoubtKind.LOW_CONFIDENCE else d for d in field.doubts)
    status = FieldStatus.REVIEW if doubts else FieldStatus.ACCEPTED
    return replace(field, confidence=confidence, doubts=doubts, status=status)


def _confirmed_by(rule: FormRule, fields: Mapping[str, FieldReading]) -> tuple[str, ...]:
    """Return the fields that a kept rule supports; none if it is no evidence.

    A rule that one of several fields is filled is no evidence. Blank fields add nothing to a sum, and with fewer than
    two numbers filled in, the total only repeats one.
    """
    names = fields_named(rule)
    filled = tuple(name for name in names if fields[name].text)
    if isinstance(rule, AnyOfRule):
        return ()
    if not isinstance(rule, SumRule):
        return filled if len(filled) == len(names) else ()
    rest_is_blank = all(fields[name].status is FieldStatus.BLANK for name in names if name not in filled)
    return filled if rest_is_blank and rule.total in filled and len(filled) >= 3 else ()


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


# --- one field ---------------------------------------------------------------------------------------------------


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


def find_repair(rule: FieldRule, read: RawReading) -> Alternative | None:
    """Return the one close reading that keeps a broken check digit; None if none or several do.

    Close readings are the runners-up, and the text with one digit changed to its own runner-up. A repair is offered to
    a person and never accepted, because one wrong number in ten passes a check digit by chance.
    """
    if not isinstance(rule, CheckDigitRule):
        return None
    close = {a.text: a for a in (*_one_digit_changed(read), *read.alternatives)}
    keeping = [a for a in close.values() if a.text != read.text and broken_by(rule, a.text) is None]
    return keeping[0] if len(keeping) == 1 else None


def _one_digit_changed(read: RawReading | FieldReading) -> list[Alternative]:
    """Return the text with each digit in turn changed to its runner-up, if that is likely enough."""
    if len(read.digits) != len(read.text):
        return []
    changed = []
    for i, digit in enumerate(read.digits):
        (_, first), (second, probability) = digit.top(2)
        if probability >= CLOSE_DIGIT:
            text = f"{read.text[:i]}{second}{read.text[i + 1 :]}"
            changed.append(Alternative(text, read.confidence * probability / max(first, 1e-6)))
    return changed


def _with_repair(alternatives: tuple[Alternative, ...], repair: Alternative | None) -> tuple[Alternative, ...]:
    known = repair is None or any(a.text == repair.text for a in alternatives)
    return alternatives if known or repair is None else (repair, *alternatives)


def _satisfying_first(rule: FieldRule, alternatives: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    """Offer the runners-up that keep the broken rule before the others."""
    return tuple(sorted(alternatives, key=lambda a: broken_by(rule, a.text) is not None))


# --- across fields -----------------------------------------------------------------------------------------------


def _form_rule_broken(rule: FormRule, specs: Mapping[str, FieldSpec], fields: Mapping[str, FieldReading]) -> str | None:
    named = {name: fields[name] for name in fields_named(rule)}
    if isinstance(rule, AnyOfRule):
        return None if any(f.text for f in named.values()) else f"none of {', '.join(named)} is filled"
    if isinstance(rule, EqualRule):
        meant = {f.text if f.value is None else f.value for f in named.values()}
        return (
            None if len(meant) == 1 else " differs from ".join(f"{n} {f.text or '(empty)'}" for n, f in named.items())
        )
    if any(specs[name].kind not in ("code", "number", "amount") for name in named):
        return "only numbers and amounts can be added"
    quantities = {name: _quantity_of(specs[name], field) for name, field in named.items()}
    found, stated = _both_sides(rule, quantities)
    name = rule.total if isinstance(rule, SumRule) else rule.result
    return None if found == stated else f"makes {found}, but {name} says {stated}"


def _both_sides(rule: SumRule | DifferenceRule, quantities: Mapping[str, Decimal]) -> tuple[Decimal, Decimal]:
    """Return the computed value of a sum or difference, and the written one."""
    if isinstance(rule, SumRule):
        return sum((quantities[name] for name in rule.fields), Decimal(0)), quantities[rule.total]
    return quantities[rule.minuend] - quantities[rule.subtrahend], quantities[rule.result]


def _blame(
    rule: FormRule, broken: str, specs: Mapping[str, FieldSpec], fields: Mapping[str, FieldReading]
) -> dict[str, FieldReading]:
    """Return the fields of a broken rule that a person has to see, doubted.

    If a close reading of one field alone keeps the rule, each other field is wrong with the probability that Bayes
    gives: it is wrong by itself, and the close reading fits by chance, one time in ``TOTAL_ODDS``.
    """
    names = fields_named(rule)
    culprit = _find_culprit(rule, specs, fields) if isinstance(rule, SumRule | DifferenceRule) else None
    if culprit is None:
        by_confidence = sorted(names, key=lambda name: fields[name].confidence)
        least, next_least = (fields[name].confidence for name in by_confidence[:2])
        hint = f"; the least sure is {by_confidence[0]}" if len(names) > 2 and least < next_least else ""
        doubt = Doubt(DoubtKind.RULE_BROKEN, subject=rule.rule, explanation=broken + hint)
        return {name: add_doubt(fields[name], doubt) for name in names}
    blamed, repair = culprit
    doubt = Doubt(DoubtKind.RULE_BROKEN, subject=rule.rule, explanation=broken, readings=(repair.text,))
    changed = {blamed: add_doubt(fields[blamed], doubt)}
    others = [name for name in names if name != blamed]
    by_chance = {name: (1 - fields[name].confidence) / TOTAL_ODDS for name in others}
    total = repair.confidence + sum(by_chance.values())
    for name in others:
        needed = fields[name].accept_threshold
        if needed is None or 1 - by_chance[name] / max(total, 1e-12) < needed:
            changed[name] = add_doubt(fields[name], Doubt(DoubtKind.RULE_BROKEN, subject=rule.rule, explanation=broken))
    return changed


def _find_culprit(
    rule: SumRule | DifferenceRule, specs: Mapping[str, FieldSpec], fields: Mapping[str, FieldReading]
) -> tuple[str, Alternative] | None:
    """Return the one field, with its close reading, that alone would keep a broken rule; None unless it is one."""
    names = fields_named(rule)
    quantities = {name: _quantity_of(specs[name], fields[name]) for name in names}
    found = []
    for name in names:
        field = fields[name]
        written = number_of(field.text)
        for other in {a.text: a for a in (*_one_digit_changed(field), *field.alternatives)}.values():
            if written and other.text.isdigit() and other.text != field.text:
                changed = {**quantities, name: quantities[name] / written * number_of(other.text)}
                made, stated = _both_sides(rule, changed)
                found += [(name, other)] if made == stated else []
    return found[0] if len(found) == 1 else None


def _quantity_of(spec: FieldSpec, field: FieldReading) -> Decimal:
    """Return the number of a field, an amount in units of its currency; nothing for an empty field."""
    if isinstance(field.value, int | Decimal):
        return Decimal(field.value)
    minor_units = field.value.minor_units if isinstance(field.value, Money) else number_of(field.text)
    return Decimal(minor_units).scaleb(-spec.decimal_places)
