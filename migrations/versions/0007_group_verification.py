"""Digits that people checked in groups, and how many known wrong ones they missed.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Add two empty tables."""
    op.create_table(
        "digit_groups",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("digit", sa.SmallInteger(), nullable=False),
        sa.Column("tiles", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("planted", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=True),
        sa.Column("corrected", sa.Integer(), nullable=True),
        sa.Column("keys", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_digit_groups"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_digit_groups_who", "digit_groups", ["who"])
    op.create_table(
        "digit_checks",
        sa.Column("field_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["field_id"], ["fields.id"], name="fk_digit_checks_field_id"),
        sa.PrimaryKeyConstraint("field_id", "position", name="pk_digit_checks"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop them; what was decided by them stays in the reviews."""
    op.drop_table("digit_checks")
    op.drop_table("digit_groups")
