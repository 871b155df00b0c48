"""Which doubtful digits are still to be checked in groups: kept beside them, so that no list looks at the others."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, and_, exists, or_, update

from worker.store.review_tables import DigitCheckRow
from worker.store.tables import DigitRow, FieldRow
from worker.values import FieldStatus


def refresh_digits(connection: Connection, field_ids: Collection[int]) -> None:
    """Note anew which digits of fields are closed, after a decision, its undoing, or a check of digits.

    Open are those that nobody has checked, of a field that no person has decided and that is not blank.
    """
    of_field = FieldRow.id == DigitRow.field_id
    by_machine = and_(FieldRow.origin == "machine", FieldRow.status == FieldStatus.ACCEPTED)
    undecided = exists().where(of_field, or_(FieldRow.final_text.is_(None), by_machine))
    checked = exists().where(DigitCheckRow.field_id == DigitRow.field_id, DigitCheckRow.position == DigitRow.position)
    of_fields = DigitRow.field_id.in_(field_ids)
    connection.execute(update(DigitRow).where(of_fields).values(closed=or_(checked, ~undecided)))
