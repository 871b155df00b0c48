"""Fields of text have rows: named and shown, and never read.

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OLD_STATUSES = "status IN ('accepted','review','blank')"
STATUSES = "status IN ('accepted','review','blank','not_read')"


def upgrade() -> None:
    """Allow one more status."""
    set_statuses(OLD_STATUSES, STATUSES)


def downgrade() -> None:
    """Take it back; fields of text that are stored count as blank."""
    op.execute("UPDATE fields SET status = 'blank' WHERE status = 'not_read'")
    set_statuses(STATUSES, OLD_STATUSES)


def set_statuses(old: str, new: str) -> None:
    """Put another list of statuses in place of the one that the table of fields allows.

    SQLite cannot alter a check, and to copy the fields would break what refers to them. A check changes nothing on the
    disk, so that its text is replaced, in the way of https://www.sqlite.org/lang_altertable.html#otheralter.
    """
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_fields_status"), "fields", type_="check")
        op.create_check_constraint(op.f("ck_fields_status"), "fields", new)
        return
    schema_version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute("PRAGMA writable_schema=ON")
    replaced = sa.text("UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE type = 'table' AND name = 'fields'")
    op.get_bind().execute(replaced, {"old": old, "new": new})
    op.execute(f"PRAGMA schema_version={schema_version + 1}")
    op.execute("PRAGMA writable_schema=OFF")
