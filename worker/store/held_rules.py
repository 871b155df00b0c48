"""Rules across the fields of a page, held again once a person has decided one of them.

A kept rule had raised the confidence of the fields that it names. Where a person's answer breaks it, those that the
machine had accepted go to a person, too, once every field of the rule has a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from schemas.form_template import FieldGrammar, FormTemplate
from worker.decision.forms import BrokenRule, find_broken_rules
from worker.doubts import Doubt, DoubtKind
from worker.grammar.meaning import parse_typed
from worker.grammar.misfit import Misfit
from worker.store.readings import add_doubt
from worker.store.tables import FieldRow, PageRow
from worker.values import Alternative, Box, DigitReading, FieldReading, FieldStatus

UNREADABLE = "?"
"""The answer for ink that nobody can read: it holds as it stands and has no value, so that no sum takes it for 0."""


def grammar_of(field: Any) -> FieldGrammar:
    """Return what may be written in the field of a row."""
    return FieldGrammar.model_validate(field.grammar or {"kind": field.kind})


def standing_reading(row: Any, digits: Sequence[DigitReading] = ()) -> FieldReading:
    """Return the field of a row as it stands: what a person decided is certain, the rest as the machine read it."""
    grammar = grammar_of(row)
    by_person = row.origin == "reviewer"
    stands = row.final_text if by_person else row.written or row.text
    value = None if stands in ("", UNREADABLE) else parse_typed(grammar, stands)
    return FieldReading(
        name=row.name,
        text="".join(c for c in stands if c.isdigit()),
        confidence=1.0 if by_person else row.confidence,
        status=FieldStatus(row.status),
        box_px=Box(row.box_x, row.box_y, row.box_w, row.box_h),
        digits=() if by_person else tuple(digits),
        alternatives=() if by_person else tuple(Alternative(a["text"], a["confidence"]) for a in row.alternatives),
        value=None if isinstance(value, Misfit) else value,
        grammar=grammar,
    )


def hold_rules_again(connection: Connection, field: Any, templates: Mapping[str, FormTemplate]) -> None:
    """Send to a person what the machine had accepted of each rule that a decision on ``field`` leaves broken."""
    page = connection.execute(select(PageRow.template).where(PageRow.id == field.page_id)).one()
    template = templates.get(page.template or "")
    if template is None or not template.rules:
        return
    query = select(FieldRow).where(FieldRow.page_id == field.page_id).order_by(FieldRow.position)
    rows = {row.name: row for row in connection.execute(query)}
    for rule in find_broken_rules(template, [standing_reading(row) for row in rows.values()]):
        named = [rows[name] for name in rule.fields]
        if field.name in rule.fields and all(row.final_text is not None for row in named):
            for row in named:
                if row.origin == "machine":
                    _send_to_review(connection, row, rule)


def _send_to_review(connection: Connection, row: Any, rule: BrokenRule) -> None:
    """Take the machine's word on a field back; its ``status`` stays the verdict that others may have been told."""
    doubt = Doubt(DoubtKind.RULE_BROKEN, subject=rule.rule, explanation=rule.explanation)
    waits = {"final_text": None, "origin": None}
    connection.execute(update(FieldRow).where(FieldRow.id == row.id).values(waits))
    add_doubt(connection, row, doubt)
