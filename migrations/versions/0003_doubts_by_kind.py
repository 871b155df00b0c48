"""Why pages and fields await review, one row a doubt, with its kind.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add an empty table: rows written before have their words, and no kinds."""
    op.create_table(
        "doubts",
        sa.Column("page_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("field_id", ID, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["page_id"], ["pages.id"], name="fk_doubts_page_id"),
        sa.ForeignKeyConstraint(["field_id"], ["fields.id"], name="fk_doubts_field_id"),
        sa.PrimaryKeyConstraint("page_id", "position", name="pk_doubts"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_doubts_field_id", "doubts", ["field_id"])


def downgrade() -> None:
    """Drop the kinds; the words stay with their pages and fields."""
    op.drop_table("doubts")
