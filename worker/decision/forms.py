"""Apply the rules across the fields of a form: a kept one is evidence, a broken one names its suspect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.form_template import FieldSpec, FormTemplate
from schemas.rules import AnyOfRule, DifferenceRule, EqualRule, FormRule, SumRule, fields_named
from worker.decision.confirmation import add_doubt, confirm_field, raise_by_odds
from worker.decision.repair import change_one_digit
from worker.doubts import Doubt, DoubtKind, Witness
from worker.grammar.rules import number_of
from worker.values import Alternative, FieldReading, FieldStatus, Money

TOTAL_ODDS = 10.0
"""How much more often, at least, a sum or difference in one hand is kept where all its numbers are read right than with
one read wrongly (docs/reference/accuracy.md)."""
REPEAT_ODDS = 3.0
"""The same for a number written twice; in a fifth of the cases one hand is misread alike in both."""


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
            adds_up = {Witness.SUM} if isinstance(rule, SumRule | DifferenceRule) else set()
            witnesses = frozenset({Witness.FORM_RULE, *adds_up})
            all_right = raise_by_odds(math.prod(by_name[name].confidence for name in names), odds)
            for name in filled:
                source = f"{rule.rule} with {', '.join(n for n in filled if n != name)}"
                by_name[name] = confirm_field(by_name[name], all_right, source, witnesses)
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
        for other in {a.text: a for a in (*change_one_digit(field), *field.alternatives)}.values():
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
