"""Rules across the fields of a page, held again once a person has decided one of them.

A kept rule had raised the confidence of the fields that it names. Where a person's answer breaks it, those that the
machine had accepted go to a person, too, once every field of the rule has a number. Where a later answer keeps it, as
after a slip of the keys, those that nobody has looked at yet are accepted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, exists, select, update

from schemas.form_template import FORMLESS, FieldGrammar, FormTemplate
from schemas.rules import fields_named
from worker.decision.forms import BrokenRule, find_broken_rules
from worker.doubts import Doubt, DoubtKind
from worker.grammar.meaning import parse_typed
from worker.grammar.misfit import Misfit
from worker.store.readings import add_doubt
from worker.store.tables import DoubtRow, FieldRow, PageRow, ReviewRow
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


def hold_rules_again(connection: Connection, field: Any, templates: Mapping[str, FormTemplate]) -> str | None:
    """Send to a person what the machine had accepted of each rule that a decision on ``field`` leaves broken.

    What had been sent so, and nobody has looked at, is accepted again where its rules hold.

    Returns
    -------
    The name of the page's template if it is not known here, so that its rules cannot be held; else None.
    """
    name = connection.execute(select(PageRow.template).where(PageRow.id == field.page_id)).scalar_one()
    template = templates.get(name or "")
    if template is None or not template.rules:
        return name if template is None and name not in (None, *FORMLESS) else None
    query = select(FieldRow).where(FieldRow.page_id == field.page_id).order_by(FieldRow.position)
    rows = {row.name: row for row in connection.execute(query)}
    broken = find_broken_rules(template, [standing_reading(row) for row in rows.values()])
    for rule in broken:
        named = [rows[name] for name in rule.fields]
        if field.name in rule.fields and all(row.final_text is not None for row in named):
            for row in named:
                if row.origin == "machine":
                    _send_to_review(connection, row, rule)
    still = {name for rule in broken for name in rule.fields}
    for names in map(fields_named, template.rules):
        if field.name in names and rows.keys() >= set(names) and all(_is_settled(rows[name]) for name in names):
            for name in set(names) - still:
                _accept_again(connection, rows[name])
    return None


def _is_settled(row: Any) -> bool:
    """Tell whether a field has a number, or had one until a rule was broken."""
    return row.final_text is not None or row.status == FieldStatus.ACCEPTED.value


def _accept_again(connection: Connection, row: Any) -> None:
    """Let the machine's word on a field count again if only a broken rule had taken it back, and nobody has looked."""
    if row.final_text is not None or connection.execute(select(exists().where(ReviewRow.field_id == row.id))).scalar():
        return
    ours = (DoubtRow.field_id == row.id, DoubtRow.kind == DoubtKind.RULE_BROKEN.value)
    told = set(connection.execute(select(DoubtRow.words).where(*ours)).scalars())
    if not told:
        return
    holds = {"final_text": row.text, "origin": "machine", "reasons": [r for r in row.reasons if r not in told]}
    connection.execute(update(FieldRow).where(FieldRow.id == row.id).values(holds))
    connection.execute(delete(DoubtRow).where(*ours))


def _send_to_review(connection: Connection, row: Any, rule: BrokenRule) -> None:
    """Take the machine's word on a field back; its ``status`` stays the verdict that others may have been told."""
    doubt = Doubt(DoubtKind.RULE_BROKEN, subject=rule.rule, explanation=rule.explanation)
    waits = {"final_text": None, "origin": None}
    connection.execute(update(FieldRow).where(FieldRow.id == row.id).values(waits))
    add_doubt(connection, row, doubt)
